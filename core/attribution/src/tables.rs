//! The output tables: names, columns, types, keys. Documentation, `throughline schema`, tests and the
//! casts of the last step of each table all come from here.

mod daily;
mod journeys;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// One output table.
#[derive(Clone, Copy, Debug)]
pub struct OutputSpec {
    pub name: &'static str,
    pub doc: &'static str,
    /// Columns that identify a row.
    pub key: &'static [&'static str],
    /// The date column files are partitioned by.
    pub partition_by: Option<&'static str>,
    pub columns: &'static [OutputColumn],
}

#[derive(Clone, Copy, Debug)]
pub struct OutputColumn {
    pub name: &'static str,
    pub kind: Kind,
    pub doc: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `Utf8`
    Text,
    /// `Int64`
    Int,
    /// `Float64`
    Float,
    /// `Boolean`
    Bool,
    /// `Timestamp(Microsecond, "UTC")`
    Instant,
    /// `Date32`, UTC day
    Date,
    /// `Decimal128(18, 2)` in the reporting currency (scale 3 when that currency has three decimals)
    Money,
    /// `List<Utf8>`
    TextList,
}

impl Kind {
    /// `money_scale`: decimals of the reporting currency, at least 2.
    pub fn arrow(self, money_scale: i8) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
            Self::Money => DataType::Decimal128(18, money_scale),
            Self::TextList => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "integer",
            Self::Float => "float",
            Self::Bool => "boolean",
            Self::Instant => "instant (UTC, µs)",
            Self::Date => "date (UTC)",
            Self::Money => "decimal(18,2)",
            Self::TextList => "list of text",
        }
    }
}

impl OutputSpec {
    pub fn schema(&self, money_scale: i8) -> SchemaRef {
        let fields: Vec<Field> =
            self.columns.iter().map(|c| Field::new(c.name, c.kind.arrow(money_scale), true)).collect();
        Arc::new(Schema::new(fields))
    }
}

/// The output tables in the order they are made.
pub fn output_tables() -> &'static [OutputSpec] {
    TABLES
}

pub fn output_table(name: &str) -> Option<&'static OutputSpec> {
    TABLES.iter().find(|t| t.name == name)
}

use Kind::{Bool, Date, Float, Instant, Int, Money, Text, TextList};

const fn c(name: &'static str, kind: Kind, doc: &'static str) -> OutputColumn {
    OutputColumn { name, kind, doc }
}

const TABLES: &[OutputSpec] = &[
    OutputSpec {
        name: "visits",
        doc: "Web sessions with the person they belong to and their channel.",
        key: &["visit_id"],
        partition_by: Some("date"),
        columns: &[
            c("visit_id", Text, ""),
            c("date", Date, "day of `ts`"),
            c("person_id", Text, ""),
            c("ts", Instant, "start of the session"),
            c("account", Text, "counter, property or site"),
            c("token", Text, "visit token put into messenger links of this visit"),
            c("ym_client_id", Text, "Yandex Metrica ClientID"),
            c("ga_client_id", Text, "Google Analytics client_id"),
            c("source", Text, "lower case"),
            c("medium", Text, "lower case"),
            c("campaign_key", Text, "row of dim_campaign"),
            c("keyword", Text, ""),
            c("search_query", Text, ""),
            c("referrer", Text, "URL"),
            c("entrance_page", Text, "URL"),
            c("page_key", Text, "row of dim_page"),
            c("channel_id", Text, "row of dim_channel"),
            c("traffic_type", Text, ""),
            c("yclid", Text, ""),
            c("gclid", Text, ""),
            c("fbclid", Text, ""),
            c("region", Text, ""),
            c("city", Text, ""),
            c("country", Text, ""),
            c("device", Text, "desktop, phone, tablet, tv"),
            c("os", Text, ""),
            c("os_version", Text, ""),
            c("browser", Text, ""),
            c("screen", Text, "width x height"),
            c("language", Text, ""),
            c("is_new_visitor", Bool, ""),
            c("hits", Int, "pages viewed"),
            c("duration_s", Int, ""),
        ],
    },
    OutputSpec {
        name: "touches",
        doc: "Every marketing contact of a person: visits, ad referrals, deep links, broadcasts, prepared ones.",
        key: &["touch_id"],
        partition_by: Some("date"),
        columns: &[
            c(
                "touch_id",
                Text,
                "visit:<id>, ad:<platform>:<message>, link:.., broadcast:.., deal:<id>, or as prepared",
            ),
            c("date", Date, "day of `ts`"),
            c("person_id", Text, ""),
            c("ts", Instant, ""),
            c("kind", Text, "visit, ad_referral, deeplink, broadcast, deal, or as prepared"),
            c("visit_id", Text, ""),
            c("platform", Text, "messenger, for touches made there"),
            c("message_id", Text, ""),
            c("channel_id", Text, "row of dim_channel"),
            c("campaign_key", Text, "row of dim_campaign"),
            c("keyword", Text, ""),
            c("page_key", Text, "row of dim_page"),
        ],
    },
    OutputSpec {
        name: "inquiries",
        doc: "Conversations opened or opened again by the customer, with where they came from and what came of them.",
        key: &["inquiry_id"],
        partition_by: Some("date"),
        columns: &[
            c("inquiry_id", Text, "<platform>:<id of the message that opened it>"),
            c("date", Date, "day of `ts`"),
            c("person_id", Text, ""),
            c("conversation_id", Text, ""),
            c("platform", Text, ""),
            c("business_number", Text, ""),
            c("ts", Instant, "the message that opened it"),
            c("closed_ts", Instant, "last message plus the inquiry gap; null while that is in the future"),
            c("first_text", Text, ""),
            c("visit_id", Text, "the matched visit"),
            c("touch_id", Text, "the matched touch"),
            c("match_method", Text, "token, deeplink, ad_referral, identity, time_window, none"),
            c(
                "token_state",
                Text,
                "ok, edited, invalid, missing: of the message that was matched, else of the first",
            ),
            c("channel_id", Text, "(none) when nothing matched"),
            c("traffic_type", Text, ""),
            c("source", Text, ""),
            c("medium", Text, ""),
            c("campaign_key", Text, ""),
            c("ad", Text, ""),
            c("keyword", Text, ""),
            c("page_key", Text, ""),
            c("contact_name", Text, "as the messenger gives it, else the CRM"),
            c("phone_e164", Text, ""),
            c("email", Text, "from the CRM"),
            c("messenger_user_id", Text, ""),
            c("username", Text, ""),
            c("tags", TextList, "of the deal, else of the contact"),
            c("is_new", Bool, "the person's first inquiry"),
            c("inquiry_number", Int, "1 for the person's first"),
            c("previous_inquiry_id", Text, ""),
            c("region", Text, "of the matched visit"),
            c("city", Text, ""),
            c("device", Text, ""),
            c("os", Text, ""),
            c("screen", Text, ""),
            c("language", Text, ""),
            c("operator_id", Text, "who answered first, else who owns the deal"),
            c("first_response_s", Int, "seconds to the first answer that is no broadcast"),
            c("first_response_working_s", Int, "of them, within working hours; null when none are set"),
            c("first_operator_response_s", Int, "seconds to the first answer of an operator"),
            c("n_in", Int, "messages of the customer"),
            c("n_out", Int, "messages of ours"),
            c("handled_by", Text, "bot, operator, both, none"),
            c("escalated", Bool, "a bot took part and an operator did too, or the bot handed over"),
            c("resolved", Bool, "closed, the last word was ours, and left no question or scenario open"),
            c("missed", Bool, "closed without any answer"),
            c(
                "abandoned",
                Bool,
                "closed without any answer, with a question of ours unanswered, or a scenario left half-way",
            ),
            c("transferred", Bool, "several operators wrote"),
            c("csat", Int, "the last score given"),
            c("has_feedback", Bool, "a score or a review was given"),
            c("crm_lead_id", Text, "the lead that deal was made of, where the CRM keeps leads apart"),
            c("crm_deal_id", Text, "the first deal that followed"),
            c("deal_status", Text, "status as the CRM names it, else open, won, lost"),
            c("deal_value", Money, "of that deal; null without a rate for its day"),
        ],
    },
    OutputSpec {
        name: "messages",
        doc: "Messages of both directions; delivery states folded, each state implying those before it.",
        key: &["platform", "message_id"],
        partition_by: Some("date"),
        columns: &[
            c("platform", Text, ""),
            c("message_id", Text, ""),
            c("date", Date, "day of `ts`"),
            c("conversation_id", Text, ""),
            c(
                "inquiry_id",
                Text,
                "null for what belongs to none: a broadcast nobody answered, a lone unsubscribe",
            ),
            c("person_id", Text, ""),
            c("direction", Text, "in, out"),
            c("sender_kind", Text, "customer, bot, operator, broadcast, system"),
            c("operator_id", Text, ""),
            c("kind", Text, ""),
            c("is_event", Bool, "a reaction, edit or notice: in no count"),
            c("is_unsubscribe", Bool, ""),
            c("text", Text, ""),
            c("business_number", Text, ""),
            c("user_id", Text, ""),
            c("token", Text, ""),
            c("token_state", Text, ""),
            c("template_id", Text, ""),
            c("ab_test", Text, ""),
            c("ab_variant", Text, ""),
            c("ts", Instant, ""),
            c("sent_at", Instant, ""),
            c("delivered_at", Instant, ""),
            c("read_at", Instant, ""),
            c("failed_at", Instant, "null once delivered"),
            c("failed_code", Text, ""),
            c("clicked_at", Instant, ""),
            c("price_category", Text, "the platform's; messaging costs come through costs"),
            c("price", Money, "what this message cost; null when unknown or without a rate for its day"),
            c("has_consent", Bool, "for broadcasts: the person had opted in at that instant"),
        ],
    },
    OutputSpec {
        name: "conversions",
        doc: "What deals (and prepared conversions) reached within the report window, with its money.",
        key: &["conversion_id"],
        partition_by: Some("date"),
        columns: &[
            c("conversion_id", Text, "lead:<deal>, qualified:<deal>, won:<deal>, or as prepared"),
            c("date", Date, "day of `ts`"),
            c("person_id", Text, "null when the deal has no contact and no token"),
            c("type", Text, "lead, qualified, won, or as prepared"),
            c("ts", Instant, ""),
            c("status", Text, ""),
            c("value_gross", Money, "0 for leads and qualified deals"),
            c("value_net", Money, "gross less refunds"),
            c("value_original_minor", Int, "in minor units of `currency`, as the CRM has it"),
            c("currency", Text, ""),
            c("is_new_customer", Bool, "no earlier won conversion of the person in all known history"),
            c("crm_deal_id", Text, ""),
            c("inquiry_id", Text, "the inquiry it grew from"),
            c("operator_id", Text, ""),
            c("n_eligible_touches", Int, "in the look-back, after path transforms"),
        ],
    },
    OutputSpec {
        name: "attribution",
        doc: "The share of every touch in every conversion, by model. A conversion without a touch has one row with channel (none).",
        key: &["conversion_id", "model", "touch_index"],
        partition_by: Some("date"),
        columns: &[
            c("conversion_id", Text, ""),
            c("model", Text, ""),
            c("touch_index", Int, "position in the path from 1; 0 when there is no touch"),
            c("date", Date, "day of `conv_ts`"),
            c("touch_id", Text, ""),
            c("person_id", Text, ""),
            c("conversion_type", Text, "as in conversions"),
            c("conv_ts", Instant, ""),
            c("touch_ts", Instant, ""),
            c("channel_id", Text, ""),
            c("campaign_key", Text, ""),
            c("platform", Text, "messenger of the inquiry the conversion grew from"),
            c("path_length", Int, ""),
            c("credit", Float, "sums to 1 per conversion and model"),
            c("gross", Money, "sums to value_gross exactly"),
            c("net", Money, "sums to value_net exactly"),
            c("params_hash", Text, "of the settings that decide credit"),
        ],
    },
    OutputSpec {
        name: "costs",
        doc: "What was spent, per day and campaign. Costs that no touch answers to stay.",
        key: &["date", "system", "campaign_key", "cost_kind", "currency"],
        partition_by: Some("date"),
        columns: &[
            c("date", Date, "in the ad account's time zone"),
            c("system", Text, ""),
            c("campaign_key", Text, "row of dim_campaign; null when the row names nothing"),
            c("cost_kind", Text, "media, content, messaging, tools, salary"),
            c("currency", Text, "of cost_original_minor"),
            c("channel_id", Text, "the channel of the visits it brought, else by the channel rules"),
            c(
                "joined_level",
                Text,
                "finest level at which touches of that day match: keyword, ad, campaign, source, none",
            ),
            c("impressions", Int, ""),
            c("clicks", Int, ""),
            c("cost", Money, ""),
            c("cost_original_minor", Int, "in minor units of `currency`"),
        ],
    },
    journeys::ATTRIBUTION_CHANNEL,
    journeys::PATHS,
    daily::CHANNEL_DAILY,
    daily::CAMPAIGN_DAILY,
    daily::PAGE_DAILY,
    daily::DEVICE_DAILY,
    daily::REGION_DAILY,
    daily::MESSENGER_DAILY,
    daily::OPERATOR_DAILY,
    daily::CONSENTS,
    daily::AB_RESULTS,
    daily::COHORT_RETENTION,
    daily::FUNNEL_STEPS,
    daily::DATA_QUALITY_DAILY,
    OutputSpec {
        name: "dim_date",
        doc: "Every day from the first to the last that any table names.",
        key: &["date"],
        partition_by: None,
        columns: &[
            c("date", Date, ""),
            c("year", Int, ""),
            c("quarter", Int, "1 to 4"),
            c("month", Int, "1 to 12"),
            c("iso_year", Int, "the year iso_week belongs to"),
            c("iso_week", Int, "1 to 53"),
            c("dow", Int, "1 Monday to 7 Sunday"),
        ],
    },
    OutputSpec {
        name: "dim_channel",
        doc: "Channels: those of the rules, those of prepared touches, (none) and (other).",
        key: &["channel_id"],
        partition_by: None,
        columns: &[
            c("channel_id", Text, ""),
            c("channel", Text, "name"),
            c("group", Text, "wider heading"),
            c("is_paid", Bool, ""),
            c("is_direct", Bool, "last_non_direct passes it over"),
        ],
    },
    OutputSpec {
        name: "dim_campaign",
        doc: "Every combination of campaign words that a touch or a cost row carries, at its own level.",
        key: &["campaign_key"],
        partition_by: None,
        columns: &[
            c("campaign_key", Text, ""),
            c("system", Text, "of cost rows"),
            c("account", Text, ""),
            c("campaign_id", Text, ""),
            c("campaign", Text, ""),
            c("adgroup_id", Text, ""),
            c("ad_id", Text, ""),
            c("ad", Text, ""),
            c("keyword", Text, ""),
            c("medium", Text, ""),
            c("source", Text, ""),
        ],
    },
    OutputSpec {
        name: "dim_person",
        doc: "Everybody a fact names.",
        key: &["person_id"],
        partition_by: None,
        columns: &[
            c("person_id", Text, ""),
            c("first_seen", Instant, ""),
            c("last_seen", Instant, ""),
            c("is_customer", Bool, "has a won conversion"),
            c("region", Text, "of the latest visit that has one, else of the CRM contact"),
            c("segment", Text, "the first rule of `segment` that holds; null when none does"),
            c("consent_state", Text, "opt_in or opt_out, by the latest event; null when there is none"),
            c("consent_ts", Instant, ""),
            c("n_inquiries", Int, ""),
            c("n_sales", Int, ""),
            c("ltv", Money, "net of all won conversions"),
        ],
    },
    OutputSpec {
        name: "dim_operator",
        doc: "People who answer and sell: those the CRM lists and any other id a fact names.",
        key: &["operator_id"],
        partition_by: None,
        columns: &[
            c("operator_id", Text, ""),
            c("name", Text, ""),
            c("team", Text, ""),
            c("crm_user_id", Text, ""),
        ],
    },
    OutputSpec {
        name: "dim_page",
        doc: "Pages that visits began on and that were seen.",
        key: &["page_key"],
        partition_by: None,
        columns: &[
            c("page_key", Text, "host and path"),
            c("host", Text, ""),
            c("path", Text, ""),
            c("title", Text, ""),
        ],
    },
    OutputSpec {
        name: "identity_map",
        doc: "Which person an identifier belongs to. Visits are listed only where something else than their browser ties them.",
        key: &["id_type", "id_value", "valid_from", "person_id"],
        partition_by: None,
        columns: &[
            c("id_type", Text, ""),
            c("id_value", Text, ""),
            c("person_id", Text, ""),
            c("source", Text, "what ties it: the evidence of one of its edges"),
            c("valid_from", Instant, "null: always; else from here on"),
            c("valid_to", Instant, "null: always; else before this"),
            c("is_shared", Bool, "linked to too many people to join anybody"),
        ],
    },
    daily::IDENTITY_MERGES,
];
