//! Tables over whole journeys.

use super::Kind::{Float, Int, Money, Text, TextList};
use super::{OutputSpec, c};

pub(super) const ATTRIBUTION_CHANNEL: OutputSpec = OutputSpec {
    name: "attribution_channel",
    doc: "What the models that learn from all journeys give each channel: markov, shapley, shapley_ordered, shapley_rate, leave_one_out. Sums per model, type and level agree with conversions. Empty unless such a model is named.",
    key: &["period", "conversion_type", "model", "level", "member", "position"],
    partition_by: None,
    columns: &[
        c("period", Text, "`from`/`to` of the settings, open ends as `..`; all without both"),
        c("conversion_type", Text, "each type is a game of its own"),
        c("model", Text, ""),
        c("level", Text, "channel; position: of shapley_ordered, channel and place in the path"),
        c("member", Text, "channel_id; (none): what no touch brought"),
        c("position", Int, "place in the path from 1; 0 at level channel and for (none)"),
        c("conversions", Float, ""),
        c("gross", Money, ""),
        c("net", Money, "gross less refunds, by the same shares"),
        c("removal_effect", Float, "markov: share of conversions lost without the channel"),
        c("removal_effect_value", Float, "markov: share of value lost without the channel"),
        c("markov_order", Int, "markov: the order used, chosen where the setting is auto"),
        c("model_run_id", Text, "the same settings over the same totals have the same"),
    ],
};

pub(super) const PATHS: OutputSpec = OutputSpec {
    name: "paths",
    doc: "How many people went a path of channels and what came of it, by conversion type. Empty unless a model learns from paths or `paths` is set.",
    key: &["window", "conversion_type", "path_hash"],
    partition_by: None,
    columns: &[
        c("window", Text, "as attribution_channel.period"),
        c("conversion_type", Text, ""),
        c("path_hash", Text, "of the channels in order"),
        c("path", TextList, "channels in order, after path transforms; empty: no touch"),
        c("conversions", Int, "conversions that saw this path"),
        c("nulls", Int, "persons with this path who did not convert"),
        c("value", Money, "gross of the conversions"),
        c("value_net", Money, "net of the conversions"),
    ],
};
