//! `[attribution]` of the pipeline file.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use throughline_core::connector::option_error;
use throughline_core::{Error, PointerAt};

use crate::ab::AbMetric;
use crate::alerts::Alerts;
use crate::channels::{ChannelRule, RESERVED};
use crate::hours::WorkingHours;
use crate::keywords::Language;
use crate::markov_order::MarkovOrder;
use crate::periods::CohortPeriod;
use crate::segments::SegmentRule;
use crate::transforms::Transform;

/// How touches become credit: windows, models, money, identity and channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Currency of all money in the output tables, ISO 4217, e.g. `"RUB"`. May be left out while all
    /// money of the data is in one currency; amounts in others are converted by `exchange_rates`.
    pub reporting_currency: Option<String>,
    /// A touch counts for a conversion up to this many days of 24 hours before it, both ends included.
    pub lookback_days: u32,
    /// The models to compute; each gives its own rows in `attribution` and `channel_daily`. Default: the six
    /// rule models. `markov`, `shapley`, `shapley_ordered`, `shapley_rate` and `leave_one_out` learn from all
    /// journeys, those of people who did not convert included, and fill `attribution_channel` and `paths` too.
    pub models: Vec<Model>,
    /// `markov`: how many channels back a state looks, 1 to 10, or `"auto"`: the smallest order that
    /// foretells conversions of people held out as well as the next one.
    pub markov_order: MarkovOrder,
    /// `shapley_rate`: the most channels of one path of which every subset is weighed. A longer one is an error
    /// once more than 2 to this power different sets of channels convert.
    pub shapley_max_players: u32,
    /// Fill `paths` even when no model learns from them.
    pub paths: bool,
    /// `position_based`: the share of the first and of the last touch; the rest is split between.
    pub position_weights: [f64; 2],
    /// `time_decay`: a touch this many days older than another weighs half as much.
    pub half_life_days: f64,
    /// `all`: every conversion sees all touches of its look-back. `reset`: only those after the
    /// person's previous conversion of the same type.
    pub multi_conversion: MultiConversion,
    /// Changes to the path of a conversion before credit is given, in this order: `exposure` (drop
    /// consecutive repeats of a channel), `unique` (no change), `first` (keep each channel's first
    /// touch), `frequency` (as `first` for these models), `drop_unless_all(CHANNEL)`,
    /// `drop_last_unless_all(CHANNEL)`, `last_n(COUNT)`.
    pub path_transforms: Vec<String>,
    /// Channels that `last_non_direct` passes over while there is any other.
    pub direct_channels: Vec<String>,
    /// Leave conversions whose money was given back in full out of `conversions` and `attribution`.
    /// Without it they stay with net 0.
    pub exclude_refunded: bool,
    /// What a deal gives: `lead` when it is created, `qualified` when it first reaches one of
    /// `qualified_statuses`, `won` when it is closed and won. Only `won` carries money.
    pub conversions: Vec<ConversionType>,
    /// CRM status ids that make a deal `qualified`.
    pub qualified_statuses: Vec<String>,
    /// Report conversions from this instant on: a date (its UTC midnight) or an RFC 3339 instant.
    /// Touches may be older, and history before it still decides who is a new customer.
    pub from: Option<String>,
    /// Report conversions before this instant.
    pub to: Option<String>,
    /// A customer message opens a new inquiry when neither side wrote for this many hours.
    pub inquiry_gap_hours: f64,
    /// A broadcast counts as answered by a customer message within this many hours.
    pub response_window_hours: f64,
    /// Which broadcasts are touches: `delivered`, `clicked` or `none`.
    pub broadcast_touches: BroadcastTouches,
    /// Match an inquiry that nothing else explains to the only click on a link to its number within
    /// this many minutes before it. 0: off.
    pub time_window_minutes: u32,
    /// Use source, medium and campaign from a deal's own fields as a touch when its person has none.
    pub deal_source_touches: bool,
    /// Languages whose words for opting out (and in again) are known: `en`, `ru`, `ar`.
    pub unsubscribe_languages: Vec<Language>,
    /// Your own words that opt out, beside those of the languages: a message that is nothing but one of
    /// them, in lower case without punctuation.
    pub unsubscribe_keywords: Vec<String>,
    /// Your own words that opt in again.
    pub subscribe_keywords: Vec<String>,
    /// When somebody is there to answer. Without it response times are by the clock alone.
    pub working_hours: Option<WorkingHours>,
    /// What a message or an inquiry should lead to: `lead`, `qualified` or `won`. Default: `lead` if it is
    /// among `conversions`, else `won`.
    pub target_conversion: Option<ConversionType>,
    /// Within how many hours it counts as reached because of the message or inquiry.
    pub target_window_hours: f64,
    /// What variants of A/B tests are compared by: `delivered`, `read`, `clicked`, `replied`, `converted`.
    pub ab_metric: AbMetric,
    /// Cohorts and their ages in `cohort_retention`: `week` or `month`.
    pub cohort_period: CohortPeriod,
    /// What sold goods cost, as a share of the net of sales that do not tell it themselves
    /// (`goods_cost_minor` of deals and conversions). For ROMI.
    pub goods_cost_share: f64,
    /// Segments of persons, in order; the first rule that holds names the segment. Without any:
    /// `inactive` (nothing for 180 days), `repeat` (two sales or inquiries), `new`.
    #[serde(rename = "segment")]
    pub segments: Vec<SegmentRule>,
    pub alerts: Alerts,
    pub identity: Identity,
    /// Channels, in order; the first rule that fits names the channel. They come before the built-in
    /// ones.
    #[serde(rename = "channel")]
    pub channels: Vec<ChannelRule>,
    /// Go on with the built-in channel rules where no rule of `channel` fits. Otherwise what fits none
    /// is `(other)`.
    pub builtin_channels: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reporting_currency: None,
            lookback_days: 30,
            models: Model::RULES.to_vec(),
            markov_order: MarkovOrder::Fixed(1),
            shapley_max_players: 15,
            paths: false,
            position_weights: [0.4, 0.4],
            half_life_days: 7.0,
            multi_conversion: MultiConversion::All,
            path_transforms: Vec::new(),
            direct_channels: vec!["direct".into()],
            exclude_refunded: false,
            conversions: vec![ConversionType::Lead, ConversionType::Qualified, ConversionType::Won],
            qualified_statuses: Vec::new(),
            from: None,
            to: None,
            inquiry_gap_hours: 24.0,
            response_window_hours: 24.0,
            broadcast_touches: BroadcastTouches::Delivered,
            time_window_minutes: 0,
            deal_source_touches: true,
            unsubscribe_languages: Language::ALL.to_vec(),
            unsubscribe_keywords: Vec::new(),
            subscribe_keywords: Vec::new(),
            working_hours: None,
            target_conversion: None,
            target_window_hours: 168.0,
            ab_metric: AbMetric::Converted,
            cohort_period: CohortPeriod::Month,
            goods_cost_share: 0.0,
            segments: Vec::new(),
            alerts: Alerts::default(),
            identity: Identity::default(),
            channels: Vec::new(),
            builtin_channels: true,
        }
    }
}

/// How identifiers become persons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// A phone, e-mail or other identifier linked to more CRM contacts than this is shared (a
    /// switchboard, say): it joins nobody.
    pub max_contacts: u32,
    /// A browser whose visits lead to more known people than this is shared: each of its visits
    /// belongs to the one who wrote from it, the others to nobody known.
    pub max_people_per_device: u32,
    /// Identifiers that join nobody, as `type:value`, e.g. `"phone:+74950000000"`.
    pub ignore: Vec<String>,
}

impl Default for Identity {
    fn default() -> Self {
        Self { max_contacts: 3, max_people_per_device: 1, ignore: Vec::new() }
    }
}

/// What splits a conversion between the touches before it: a rule over its own path, or a model that learns
/// from all paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    FirstTouch,
    LastTouch,
    LastNonDirect,
    Linear,
    PositionBased,
    TimeDecay,
    Markov,
    Shapley,
    ShapleyOrdered,
    ShapleyRate,
    LeaveOneOut,
}

impl Model {
    pub const ALL: [Self; 11] = [
        Self::FirstTouch,
        Self::LastTouch,
        Self::LastNonDirect,
        Self::Linear,
        Self::PositionBased,
        Self::TimeDecay,
        Self::Markov,
        Self::Shapley,
        Self::ShapleyOrdered,
        Self::ShapleyRate,
        Self::LeaveOneOut,
    ];

    /// Those that need a conversion's own path alone.
    pub const RULES: [Self; 6] = [
        Self::FirstTouch,
        Self::LastTouch,
        Self::LastNonDirect,
        Self::Linear,
        Self::PositionBased,
        Self::TimeDecay,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstTouch => "first_touch",
            Self::LastTouch => "last_touch",
            Self::LastNonDirect => "last_non_direct",
            Self::Linear => "linear",
            Self::PositionBased => "position_based",
            Self::TimeDecay => "time_decay",
            Self::Markov => "markov",
            Self::Shapley => "shapley",
            Self::ShapleyOrdered => "shapley_ordered",
            Self::ShapleyRate => "shapley_rate",
            Self::LeaveOneOut => "leave_one_out",
        }
    }

    pub fn is_rule(self) -> bool {
        Self::RULES.contains(&self)
    }

    /// Why a touch got its share, for `explain`.
    pub fn rule(self) -> &'static str {
        match self {
            Self::FirstTouch => "all to the first touch in the look-back",
            Self::LastTouch => "all to the last touch before the conversion",
            Self::LastNonDirect => {
                "all to the last touch whose channel is not direct; to the last one when all are direct"
            }
            Self::Linear => "equal shares",
            Self::PositionBased => "fixed shares to the first and last touch, the rest split between",
            Self::TimeDecay => "the share halves with every half-life of age",
            Self::Markov => "channels in proportion to the conversions that would be lost without each",
            Self::Shapley | Self::ShapleyOrdered => {
                "equal to every channel, a channel's part equally over its touches"
            }
            Self::ShapleyRate => {
                "channels in proportion to what each adds to the conversion rate of the others"
            }
            Self::LeaveOneOut => "in proportion to what the path's conversion rate loses without the touch",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MultiConversion {
    All,
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConversionType {
    Lead,
    Qualified,
    Won,
}

impl ConversionType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Qualified => "qualified",
            Self::Won => "won",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BroadcastTouches {
    Delivered,
    Clicked,
    None,
}

const US_PER_HOUR: f64 = 3_600_000_000.0;
const US_PER_DAY: i64 = 86_400_000_000;

impl Settings {
    /// All that is wrong with the values; places are JSON pointers into the `[attribution]` table.
    pub fn check(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        let mut wrong = |pointer: String, message: String| {
            errors.push(option_error(message, pointer, PointerAt::Value));
        };
        if let Some(currency) = &self.reporting_currency
            && !is_currency(currency)
        {
            wrong("/reporting_currency".into(), format!("`{currency}` is no ISO 4217 code such as \"EUR\""));
        }
        if self.lookback_days == 0 || self.lookback_days > 3650 {
            wrong("/lookback_days".into(), format!("{} is not within 1 to 3650 days", self.lookback_days));
        }
        if self.models.is_empty() {
            wrong("/models".into(), "no model is named; leave the line out for the six rule models".into());
        }
        for (i, model) in self.models.iter().enumerate() {
            if self.models[..i].contains(model) {
                wrong(format!("/models/{i}"), format!("`{}` is named twice", model.as_str()));
            }
        }
        if self.shapley_max_players == 0 || self.shapley_max_players > 24 {
            wrong(
                "/shapley_max_players".into(),
                format!("{} is not within 1 to 24", self.shapley_max_players),
            );
        }
        let [first, last] = self.position_weights;
        let share = |x: f64| x.is_finite() && (0.0..=1.0).contains(&x);
        if !share(first) || !share(last) || first + last <= 0.0 || first + last > 1.0 + 1e-9 {
            wrong(
                "/position_weights".into(),
                format!(
                    "[{first}, {last}]: both must lie within 0 to 1 and their sum be above 0 and at most 1"
                ),
            );
        }
        let positive = |x: f64, most: f64| x.is_finite() && x > 0.0 && x <= most;
        if !positive(self.half_life_days, 3650.0) {
            wrong(
                "/half_life_days".into(),
                format!("{} is not above 0 and at most 3650", self.half_life_days),
            );
        }
        for (name, hours) in [
            ("inquiry_gap_hours", self.inquiry_gap_hours),
            ("response_window_hours", self.response_window_hours),
            ("target_window_hours", self.target_window_hours),
        ] {
            if !positive(hours, 24.0 * 366.0) {
                wrong(format!("/{name}"), format!("{hours} is not above 0 and at most a year"));
            }
        }
        if self.time_window_minutes > 1440 {
            wrong("/time_window_minutes".into(), format!("{} is more than a day", self.time_window_minutes));
        }
        for (i, text) in self.path_transforms.iter().enumerate() {
            if let Err(message) = Transform::parse(text) {
                wrong(format!("/path_transforms/{i}"), message);
            }
        }
        for (name, text) in [("from", &self.from), ("to", &self.to)] {
            if let Some(text) = text
                && parse_instant(text).is_none()
            {
                wrong(
                    format!("/{name}"),
                    format!(
                        "`{text}` is neither a date like 2026-09-01 nor an instant like 2026-09-01T00:00:00Z"
                    ),
                );
            }
        }
        if let (Some(from), Some(to)) = (self.begin_us(), self.end_us())
            && from >= to
        {
            wrong("/to".into(), "the report would end before it begins".into());
        }
        for (i, text) in self.identity.ignore.iter().enumerate() {
            if !text.split_once(':').is_some_and(|(kind, value)| !kind.is_empty() && !value.is_empty()) {
                wrong(format!("/identity/ignore/{i}"), format!("`{text}` is not written as type:value"));
            }
        }
        if self.identity.max_contacts == 0 {
            wrong("/identity/max_contacts".into(), "0 would let nothing join anybody".into());
        }
        if !self.goods_cost_share.is_finite() || !(0.0..=1.0).contains(&self.goods_cost_share) {
            wrong("/goods_cost_share".into(), format!("{} is no share of 0 to 1", self.goods_cost_share));
        }
        if self.target_conversion.is_some_and(|t| !self.gives(t)) {
            wrong(
                "/target_conversion".into(),
                "is none of `conversions`, so nothing would ever reach it".into(),
            );
        }
        for (place, message) in self.working_hours.iter().flat_map(WorkingHours::check) {
            wrong(format!("/working_hours{place}"), message);
        }
        for (place, message) in self.alerts.check() {
            wrong(format!("/alerts{place}"), message);
        }
        for (i, rule) in self.segments.iter().enumerate() {
            for (place, message) in rule.check() {
                wrong(format!("/segment/{i}{place}"), message);
            }
        }
        for (i, rule) in self.channels.iter().enumerate() {
            if rule.name.trim().is_empty() {
                wrong(format!("/channel/{i}/name"), "a channel needs a name".into());
            }
            if RESERVED.contains(&rule.name.as_str()) {
                wrong(format!("/channel/{i}/name"), format!("`{}` is reserved", rule.name));
            }
            if rule.when.is_empty() {
                wrong(
                    format!("/channel/{i}"),
                    format!("channel `{}` has no condition in `when` and would take everything", rule.name),
                );
            }
        }
        errors
    }

    pub(crate) fn lookback_us(&self) -> i64 {
        i64::from(self.lookback_days) * US_PER_DAY
    }
    pub(crate) fn half_life_us(&self) -> i64 {
        ((self.half_life_days * US_PER_DAY as f64).round() as i64).max(1)
    }
    pub(crate) fn inquiry_gap_us(&self) -> i64 {
        ((self.inquiry_gap_hours * US_PER_HOUR).round() as i64).max(1)
    }
    pub(crate) fn response_window_us(&self) -> i64 {
        (self.response_window_hours * US_PER_HOUR).round() as i64
    }
    pub(crate) fn target(&self) -> ConversionType {
        let lead = self.gives(ConversionType::Lead);
        self.target_conversion.unwrap_or(if lead { ConversionType::Lead } else { ConversionType::Won })
    }
    pub(crate) fn goods_cost_millionths(&self) -> i64 {
        (self.goods_cost_share * 1_000_000.0).round() as i64
    }
    pub(crate) fn target_window_us(&self) -> i64 {
        (self.target_window_hours * US_PER_HOUR).round() as i64
    }
    pub(crate) fn begin_us(&self) -> Option<i64> {
        self.from.as_deref().and_then(parse_instant)
    }
    pub(crate) fn end_us(&self) -> Option<i64> {
        self.to.as_deref().and_then(parse_instant)
    }
    pub(crate) fn transforms(&self) -> Vec<Transform> {
        self.path_transforms.iter().filter_map(|t| Transform::parse(t).ok()).collect()
    }
    pub(crate) fn gives(&self, kind: ConversionType) -> bool {
        self.conversions.contains(&kind)
    }

    /// First, last and middle weight of `position_based` as the smallest whole numbers in the same
    /// ratio, so that money can be split without a rounding error: 0.4, 0.4 is 2, 2 and 1.
    pub(crate) fn position_units(&self) -> (i64, i64, i64) {
        const SCALE: f64 = 1_000_000.0;
        let first = (self.position_weights[0] * SCALE).round() as i64;
        let last = (self.position_weights[1] * SCALE).round() as i64;
        let between = (SCALE as i64 - first - last).max(0);
        let divisor = gcd(gcd(first, last), between).max(1);
        (first / divisor, last / divisor, between / divisor)
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase())
}

fn parse_instant(text: &str) -> Option<i64> {
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros());
    }
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_micros())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert!(Settings::default().check().is_empty());
        let empty: Settings = serde_json::from_str("{}").unwrap();
        assert_eq!(empty, Settings::default());
    }

    #[test]
    fn position_weights_become_small_whole_numbers() {
        assert_eq!(Settings::default().position_units(), (2, 2, 1));
        let thirds = Settings { position_weights: [0.5, 0.5], ..Settings::default() };
        assert_eq!(thirds.position_units(), (1, 1, 0));
        let uneven = Settings { position_weights: [0.3, 0.5], ..Settings::default() };
        assert_eq!(uneven.position_units(), (3, 5, 2));
    }

    #[test]
    fn every_wrong_value_is_found_with_its_place() {
        let settings: Settings = serde_json::from_str(
            r#"{"reporting_currency": "rub", "lookback_days": 0, "models": ["linear", "linear"],
                "position_weights": [0.9, 0.9], "shapley_max_players": 40, "half_life_days": 0, "inquiry_gap_hours": -1,
                "path_transforms": ["exposure", "last_n(x)"], "from": "2026-13-01",
                "identity": {"ignore": ["+7"], "max_contacts": 0},
                "channel": [{"name": "(none)", "when": {}}]}"#,
        )
        .unwrap();
        let errors: Vec<String> = settings.check().iter().map(ToString::to_string).collect();
        for pointer in [
            "/reporting_currency",
            "/lookback_days",
            "/models/1",
            "/position_weights",
            "/shapley_max_players",
            "/half_life_days",
            "/inquiry_gap_hours",
            "/path_transforms/1",
            "/from",
            "/identity/ignore/0",
            "/identity/max_contacts",
            "/channel/0/name",
            "/channel/0",
        ] {
            assert!(
                errors.iter().any(|e| e.starts_with(&format!("option {pointer}:"))),
                "{pointer} is missing in {errors:#?}"
            );
        }
    }

    #[test]
    fn wrong_metric_settings_are_found_with_their_place() {
        let settings: Settings = serde_json::from_str(
            r#"{"working_hours": {"time_zone": "Mars/Base", "hours": ["18:00-09:00"]},
                "alerts": {"token_share": 90, "token_window_days": 0},
                "segment": [{"name": "", "consent": "perhaps"}],
                "conversions": ["won"], "target_conversion": "lead", "target_window_hours": 0,
                "goods_cost_share": 1.5}"#,
        )
        .unwrap();
        let errors: Vec<String> = settings.check().iter().map(ToString::to_string).collect();
        for pointer in [
            "/working_hours/time_zone",
            "/working_hours/hours/0",
            "/alerts/token_share",
            "/alerts/token_window_days",
            "/segment/0/name",
            "/segment/0/consent",
            "/target_conversion",
            "/target_window_hours",
            "/goods_cost_share",
        ] {
            assert!(
                errors.iter().any(|e| e.starts_with(&format!("option {pointer}:"))),
                "{pointer} is missing in {errors:#?}"
            );
        }
        // Only won deals: then they are what messages should lead to.
        let won: Settings = serde_json::from_str(r#"{"conversions": ["won"]}"#).unwrap();
        assert!(won.check().is_empty());
        assert_eq!(won.target(), ConversionType::Won);
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(serde_json::from_str::<Settings>(r#"{"lookback": 3}"#).is_err());
        assert!(serde_json::from_str::<Settings>(r#"{"identity": {"max": 3}}"#).is_err());
    }
}
