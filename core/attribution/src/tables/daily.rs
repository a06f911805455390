//! The daily tables and the other tables of metrics. Sums and counts add up over days; ratios stand beside
//! them for one row and are null where their divisor is 0.

use super::Kind::{Bool, Date, Float, Instant, Int, Money, Text};
use super::{OutputColumn, OutputSpec, c};

/// Columns of `channel_daily` and `campaign_daily` behind their own key.
macro_rules! income {
    ($member:expr) => {
        &[
            c("date", Date, ""),
            $member,
            c("model", Text, "visits, inquiries and cost are the same under every model"),
            c("visits", Int, ""),
            c("inquiries", Int, "by the touch that was matched"),
            c("new_inquiries", Int, ""),
            c("repeat_inquiries", Int, ""),
            c("leads", Float, "credit of conversions of type lead"),
            c("sales", Float, "credit of conversions of type won"),
            c("gross", Money, ""),
            c("net", Money, "gross less refunds: the income of all ratios"),
            c("goods_cost", Money, "what the sold goods cost; 0 where nobody told"),
            c("potential", Money, "value of open deals, by the credit of their lead; never part of income"),
            c("cost", Money, ""),
            c("impressions", Int, ""),
            c("clicks", Int, ""),
            c("roi", Float, "percent: (net - cost) / cost * 100"),
            c("romi", Float, "percent: (net - goods_cost - cost) / cost * 100"),
            c("roas", Float, "net / cost"),
            c("cost_per_inquiry", Float, "cost / inquiries"),
            c("cpl", Float, "cost / leads"),
            c("cac", Float, "cost / sales, also called CPO"),
            c("cpc", Float, "cost / clicks"),
            c("ctr", Float, "clicks / impressions"),
            c("inquiry_conversion", Float, "inquiries / visits"),
            c("sale_conversion", Float, "sales / inquiries"),
            c("average_sale", Float, "net / sales"),
        ]
    };
}

const CHANNEL_COLUMNS: &[OutputColumn] = income!(c("channel_id", Text, "row of dim_channel"));
const CAMPAIGN_COLUMNS: &[OutputColumn] = income!(c("campaign_key", Text, "row of dim_campaign, or (none)"));

pub(super) const CHANNEL_DAILY: OutputSpec = OutputSpec {
    name: "channel_daily",
    doc: "Day by channel and model. Sums add up over days and channels within one model; ratios do not.",
    key: &["date", "channel_id", "model"],
    partition_by: None,
    columns: CHANNEL_COLUMNS,
};

pub(super) const CAMPAIGN_DAILY: OutputSpec = OutputSpec {
    name: "campaign_daily",
    doc: "Day by campaign and model. A cost goes to the campaigns whose touches of that day share its words down to \
          the finest level both sides have, split by their touches; a cost no touch answers to stays with its own row.",
    key: &["date", "campaign_key", "model"],
    partition_by: None,
    columns: CAMPAIGN_COLUMNS,
};

macro_rules! slice {
    ($name:literal, $doc:literal, $member:expr, $key:expr) => {
        OutputSpec {
            name: $name,
            doc: $doc,
            key: $key,
            partition_by: None,
            columns: &[
                c("date", Date, ""),
                $member,
                c("visits", Int, ""),
                c("inquiries", Int, "by the visit that was matched"),
                c("conversion", Float, "inquiries / visits"),
            ],
        }
    };
}

pub(super) const PAGE_DAILY: OutputSpec = slice!(
    "page_daily",
    "Day by page: visits that began there and inquiries they brought.",
    c("page_key", Text, "row of dim_page, or (none)"),
    &["date", "page_key"]
);
pub(super) const DEVICE_DAILY: OutputSpec = slice!(
    "device_daily",
    "Day by kind of device.",
    c("device", Text, "desktop, phone, tablet, tv, or (none)"),
    &["date", "device"]
);
pub(super) const REGION_DAILY: OutputSpec = slice!(
    "region_daily",
    "Day by region.",
    c("region", Text, "as web analytics names it, or (none)"),
    &["date", "region"]
);

pub(super) const MESSENGER_DAILY: OutputSpec = OutputSpec {
    name: "messenger_daily",
    doc: "Day by platform and business number. Messages by the day they were sent, inquiries and their turns by the \
          day the inquiry began, persons by each day on which something happened to them.",
    key: &["date", "platform", "business_number"],
    partition_by: None,
    columns: &[
        c("date", Date, ""),
        c("platform", Text, ""),
        c("business_number", Text, "empty when unknown"),
        c("sent", Int, "outgoing messages sent"),
        c("delivered", Int, "of them delivered"),
        c("read", Int, "of them read"),
        c("read_base", Int, "of `delivered`, those on platforms that report reads"),
        c("failed", Int, "of `sent`, failed"),
        c("delivery_rate", Float, "delivered / sent"),
        c("read_rate", Float, "read / read_base"),
        c("broadcasts", Int, "broadcast messages that did not fail"),
        c("broadcasts_delivered", Int, ""),
        c("replied", Int, "of `broadcasts`, answered within the response window"),
        c("response_rate", Float, "replied / broadcasts"),
        c("delivered_persons", Int, "persons a message was delivered to that day"),
        c("clicked_persons", Int, "of them, who clicked a tracked link in one"),
        c("click_rate", Float, "clicked_persons / delivered_persons"),
        c("inquiries", Int, ""),
        c("new", Int, "the person's first"),
        c("repeat", Int, ""),
        c("repeat_share", Float, "repeat / inquiries"),
        c("missed", Int, "closed without an answer"),
        c("answered", Int, "with an answer"),
        c("first_response_sum_s", Int, "over `answered`"),
        c("avg_first_response_s", Float, "first_response_sum_s / answered"),
        c("p50_first_response_s", Int, "nearest rank"),
        c("p90_first_response_s", Int, "nearest rank"),
        c("first_response_working_sum_s", Int, "in working hours; null when none are set"),
        c("avg_first_response_working_s", Float, ""),
        c("p50_first_response_working_s", Int, ""),
        c("p90_first_response_working_s", Int, ""),
        c("operator_answered", Int, "inquiries an operator answered"),
        c("first_operator_response_sum_s", Int, "over `operator_answered`"),
        c("avg_first_operator_response_s", Float, ""),
        c("turns", Int, "customer messages answered, one per run of them"),
        c("response_sum_s", Int, "over `turns`"),
        c("avg_response_s", Float, "response_sum_s / turns"),
        c("p50_response_s", Int, "nearest rank"),
        c("p90_response_s", Int, "nearest rank"),
        c("response_working_sum_s", Int, "in working hours; null when none are set"),
        c("avg_response_working_s", Float, ""),
        c("p50_response_working_s", Int, ""),
        c("p90_response_working_s", Int, ""),
        c("csat_sum", Int, ""),
        c("csat_n", Int, ""),
        c("csat_good", Int, "scores of 4 and 5"),
        c("csat_avg", Float, "csat_sum / csat_n"),
        c("csat_share", Float, "csat_good / csat_n"),
        c("feedback", Int, "inquiries with a score or a review"),
        c("feedback_rate", Float, "feedback / inquiries"),
        c("unsubscribes", Int, "people who opted out that day"),
        c("unsubscribe_rate", Float, "unsubscribes / broadcasts_delivered"),
        c("bot", Int, "inquiries a bot took part in"),
        c("contained", Int, "of them resolved by the bot alone"),
        c("escalated", Int, "of them that reached an operator"),
        c("containment_rate", Float, "contained / bot"),
        c("escalation_rate", Float, "escalated / bot"),
        c("abandoned", Int, "closed with no answer, an open question of ours, or a scenario left half-way"),
        c("abandonment_rate", Float, "abandoned / inquiries"),
        c("transferred", Int, "inquiries in which several operators wrote"),
        c("messaged_persons", Int, "persons reached by a message that day"),
        c("messaged_converted", Int, "of them, who reached the target within its window after that"),
        c("conversion_of_messaged", Float, "messaged_converted / messaged_persons"),
        c("inquiring_persons", Int, "persons with an inquiry that day"),
        c("inquiring_converted", Int, "of them, who reached the target within its window after that"),
        c("conversion_of_inquiring", Float, "inquiring_converted / inquiring_persons"),
        c("recipients", Int, "persons a broadcast was sent to that day"),
        c("recipients_consented", Int, "of them, with a valid opt-in at every such instant"),
        c("opt_in_coverage", Float, "recipients_consented / recipients; must be 1"),
    ],
};

pub(super) const OPERATOR_DAILY: OutputSpec = OutputSpec {
    name: "operator_daily",
    doc: "Day by operator and messenger. An inquiry counts with who answered it first, else with who owns its deal; a \
          turn with who answered it; a sale with who owns the deal.",
    key: &["date", "operator_id", "platform"],
    partition_by: None,
    columns: &[
        c("date", Date, ""),
        c("operator_id", Text, "row of dim_operator, or (none)"),
        c("platform", Text, "messenger; (none) for sales that grew from no inquiry"),
        c("inquiries", Int, ""),
        c("answered", Int, "by whomever"),
        c("missed", Int, "closed without an answer"),
        c("transferred", Int, "inquiries in which several operators wrote"),
        c("transferred_share", Float, "transferred / inquiries"),
        c("turns", Int, "customer messages this operator answered, by the day the inquiry began"),
        c("response_sum_s", Int, "over `turns`"),
        c("avg_response_s", Float, "response_sum_s / turns"),
        c("response_working_sum_s", Int, "in working hours; null when none are set"),
        c("avg_response_working_s", Float, ""),
        c("messages", Int, "this operator sent that day"),
        c("active_hours", Int, "clock hours in which this operator wrote in this messenger"),
        c("inquiries_per_hour", Float, "inquiries / active_hours"),
        c("turns_per_hour", Float, "turns / active_hours"),
        c("messages_per_hour", Float, "messages / active_hours"),
        c("csat_sum", Int, ""),
        c("csat_n", Int, ""),
        c("sales", Int, "won conversions"),
        c("net", Money, ""),
    ],
};

pub(super) const CONSENTS: OutputSpec = OutputSpec {
    name: "consents",
    doc: "Every opt-in and opt-out, with how it was given and the record that proves it.",
    key: &["consent_id"],
    partition_by: None,
    columns: &[
        c("consent_id", Text, "event:<platform>:<user>:<µs>:<action>, or message:<platform>:<message>"),
        c("person_id", Text, ""),
        c("platform", Text, ""),
        c("user_id", Text, "the platform's id of the customer"),
        c("ts", Instant, ""),
        c("action", Text, "opt_in, opt_out"),
        c("method", Text, "form, keyword, button, link, platform"),
        c("evidence", Text, "message id or vendor record"),
    ],
};

pub(super) const AB_RESULTS: OutputSpec = OutputSpec {
    name: "ab_results",
    doc: "Variants of A/B tests of messages, each against the control: the variant whose name comes first.",
    key: &["test", "variant"],
    partition_by: None,
    columns: &[
        c("test", Text, "ab_test of the messages, else their template"),
        c("variant", Text, ""),
        c("recipients", Int, "people it was sent to and did not fail for"),
        c("delivered", Int, "of them"),
        c("read", Int, ""),
        c("clicked", Int, ""),
        c("replied", Int, "within the response window"),
        c("converted", Int, "reached the target within its window after the message reached them"),
        c("metric", Text, "what variants are compared by: setting ab_metric"),
        c("is_control", Bool, ""),
        c("rate", Float, "metric / recipients"),
        c(
            "z",
            Float,
            "of the difference to the control, pooled variance; null for the control and without spread",
        ),
        c("p_value", Float, "two-sided"),
    ],
};

pub(super) const COHORT_RETENTION: OutputSpec = OutputSpec {
    name: "cohort_retention",
    doc: "Persons by the week or month of their first inquiry, and how many came again so many periods later.",
    key: &["cohort", "age"],
    partition_by: None,
    columns: &[
        c("cohort", Date, "first day of the period"),
        c("age", Int, "periods since: 0 is the cohort's own"),
        c("persons", Int, "in the cohort"),
        c("returned", Int, "of them, with an inquiry in the period of that age"),
        c("retention", Float, "returned / persons"),
        c("buyers", Int, "of them, with a won conversion by the end of that period"),
        c("repeat_buyers", Int, "of them, with two or more"),
    ],
};

pub(super) const FUNNEL_STEPS: OutputSpec = OutputSpec {
    name: "funnel_steps",
    doc: "Steps of bots' scenarios, by the day a customer entered the step.",
    key: &["scenario", "step", "date"],
    partition_by: None,
    columns: &[
        c("scenario", Text, ""),
        c("step", Text, ""),
        c("date", Date, ""),
        c("step_no", Int, "place of the step, where the bot tells it"),
        c("entered", Int, "walks through the step"),
        c("passed", Int, "of them, those that went on"),
        c("dropped", Int, "entered - passed"),
        c("escalated", Int, "of `entered`, handed to a person"),
        c("fallbacks", Int, "messages the bot did not understand"),
    ],
};

pub(super) const DATA_QUALITY_DAILY: OutputSpec = OutputSpec {
    name: "data_quality_daily",
    doc: "Day by kind of record and where it is from: how much there is, how inquiries were matched, what costs no \
          touch answers to, what came late.",
    key: &["date", "source"],
    partition_by: None,
    columns: &[
        c("date", Date, ""),
        c("source", Text, "visits, deals, messages:<platform>, inquiries:<platform>, costs:<system>"),
        c("rows", Int, "records of that day"),
        c("inquiries", Int, "the same for inquiries, else 0: the divisor of the shares"),
        c("token", Int, "inquiries matched by token"),
        c("deeplink", Int, ""),
        c("ad_referral", Int, ""),
        c("identity", Int, ""),
        c("time_window", Int, ""),
        c("none", Int, ""),
        c("token_share", Float, "token / inquiries"),
        c("deeplink_share", Float, ""),
        c("ad_referral_share", Float, ""),
        c("identity_share", Float, ""),
        c("time_window_share", Float, ""),
        c("none_share", Float, ""),
        c("site_inquiries", Int, "inquiries that came from the site by a visible token, whole or not"),
        c("site_tokens", Int, "of them, matched by token"),
        c("site_token_share", Float, "site_tokens / site_inquiries: should be above 0.95"),
        c("unmatched_cost", Money, "costs that no touch of their day answers to"),
        c("late_rows", Int, "records that came after a later day was already there, summed over runs"),
    ],
};

pub(super) const IDENTITY_MERGES: OutputSpec = OutputSpec {
    name: "identity_merges",
    doc: "Identifiers whose person changed from one run to the next, and what joined them. Rows stay.",
    key: &["ts", "id_type", "id_value"],
    partition_by: None,
    columns: &[
        c("ts", Instant, "of the run that found it"),
        c("from_person_id", Text, "as in the tables before"),
        c("into_person_id", Text, "as in the tables since"),
        c("id_type", Text, "the identifier that went over"),
        c("id_value", Text, ""),
        c("reason", Text, "the tie between the two persons, with its evidence; `parted` when a tie is gone"),
    ],
};
