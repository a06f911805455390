//! The canonical tables: what every vendor's records become before anything is computed.
//!
//! A mapping SELECT fills one of them by column name; columns it does not name are null. The vendor's
//! words stop here: `state` is `open`, `won` or `lost`, whatever amoCRM or HubSpot call it. Money is in
//! minor units of its own currency; instants are UTC; phones are E.164; visit tokens are the bare 11
//! symbols (see [`crate::token`]).

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::catalog::ColumnType::{self, Bool, Date, Decimal, Instant, Int, Text};

#[derive(Clone, Copy, Debug)]
pub struct CanonicalTable {
    pub name: &'static str,
    pub doc: &'static str,
    /// Rows with an equal key are one record; the one landed last wins. No key: every row counts.
    pub key: &'static [&'static str],
    pub columns: &'static [Column],
}

#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub kind: ColumnType,
    /// A row without it goes to the dead letters.
    pub required: bool,
    pub doc: &'static str,
}

const fn req(name: &'static str, kind: ColumnType, doc: &'static str) -> Column {
    Column { name, kind, required: true, doc }
}
const fn opt(name: &'static str, kind: ColumnType, doc: &'static str) -> Column {
    Column { name, kind, required: false, doc }
}

impl CanonicalTable {
    pub fn schema(&self) -> SchemaRef {
        let fields: Vec<Field> =
            self.columns.iter().map(|c| Field::new(c.name, c.kind.arrow(), !c.required)).collect();
        Arc::new(Schema::new(fields))
    }
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}

pub fn table(name: &str) -> Option<&'static CanonicalTable> {
    TABLES.iter().find(|t| t.name == name)
}

pub const TABLES: &[CanonicalTable] = &[
    CanonicalTable {
        name: "visits",
        doc: "Web sessions, from web analytics or the site tracker.",
        key: &["visit_id"],
        columns: &[
            req("visit_id", Text, "unique over all sources, e.g. ym:<counter>:<year>:<visitID>"),
            req("started_at", Instant, "start of the session"),
            opt("account", Text, "counter, property or site"),
            opt("token", Text, "visit token put into messenger links of this visit"),
            opt("ym_client_id", Text, "Yandex Metrica ClientID, decimal text"),
            opt("ga_client_id", Text, "Google Analytics client_id"),
            opt(
                "traffic_type",
                Text,
                "ad, organic, social, messenger, referral, direct, internal, email, recommend, qrcode, saved, undefined",
            ),
            opt("source", Text, "utm_source, else what the analytics system found"),
            opt("medium", Text, "utm_medium, else the traffic type"),
            opt("campaign_id", Text, "the ad system's id"),
            opt("campaign", Text, "utm_campaign, else the ad system's name"),
            opt("adgroup_id", Text, ""),
            opt("ad_id", Text, ""),
            opt("ad", Text, "utm_content, else the ad's name"),
            opt("keyword", Text, "utm_term, else the phrase or condition"),
            opt("search_query", Text, "what the person typed into the search engine"),
            opt("referrer", Text, "URL"),
            opt("entrance_page", Text, "URL of the first page"),
            opt("yclid", Text, ""),
            opt("gclid", Text, ""),
            opt("fbclid", Text, ""),
            opt("region", Text, ""),
            opt("city", Text, ""),
            opt("country", Text, ""),
            opt("device", Text, "desktop, phone, tablet, tv"),
            opt("os", Text, ""),
            opt("os_version", Text, ""),
            opt("browser", Text, ""),
            opt("screen", Text, "width x height"),
            opt("language", Text, ""),
            opt("is_new_visitor", Bool, ""),
            opt("hits", Int, "pages viewed"),
            opt("duration_s", Int, ""),
        ],
    },
    CanonicalTable {
        name: "hits",
        doc: "Single events of web sessions: page views, link clicks, downloads.",
        key: &["hit_id"],
        columns: &[
            req("hit_id", Text, "unique over all sources"),
            req("at", Instant, ""),
            opt("account", Text, ""),
            opt("visit_id", Text, ""),
            opt("ym_client_id", Text, ""),
            opt("ga_client_id", Text, ""),
            opt("token", Text, "visit token, for clicks on messenger links"),
            opt("kind", Text, "page, link, messenger_link, download, event"),
            opt("url", Text, ""),
            opt("referrer", Text, ""),
            opt("title", Text, ""),
        ],
    },
    CanonicalTable {
        name: "messages",
        doc: "Messages of both directions in every messenger.",
        key: &["platform", "message_id"],
        columns: &[
            req("platform", Text, "whatsapp, telegram, viber, vk, facebook, instagram, ..."),
            req("message_id", Text, "the platform's own, case-sensitive"),
            req("conversation_id", Text, "one person with one business channel: <platform>:<channel>:<user>"),
            req("ts", Instant, "sent by the customer, or accepted by the platform"),
            req("direction", Text, "in (from the customer) or out"),
            req("sender_kind", Text, "customer, bot, operator, broadcast, system"),
            opt(
                "kind",
                Text,
                "text, image, audio, button, list_reply, reaction, edit, delete, system, unsupported, ...",
            ),
            opt(
                "is_event",
                Bool,
                "true: a reaction, edit, deletion or notice, not a message of its own in any count",
            ),
            opt("text", Text, ""),
            opt("channel_account", Text, "the platform's stable id of our number, bot or page"),
            opt("business_number", Text, "what people see: number, bot name, page"),
            opt("user_id", Text, "the platform's id of the customer"),
            opt("phone_e164", Text, "of the customer"),
            opt("contact_name", Text, "of the customer"),
            opt("username", Text, "of the customer"),
            opt("operator_id", Text, ""),
            opt("token", Text, "visit token read from text or hidden carrier, valid ones only"),
            opt("token_state", Text, "ok, edited, invalid, missing; null for outgoing"),
            opt("link_ref", Text, "raw hidden carrier: start, ref, context"),
            opt("reply_to", Text, "message_id"),
            opt("ad_source_type", Text, "ad or post, from a click-to-message referral"),
            opt("ad_id", Text, "the ad system's id from the referral"),
            opt("ad_source_url", Text, ""),
            opt("ad_headline", Text, ""),
            opt("ctwa_clid", Text, "click id of a click-to-WhatsApp ad"),
            opt("template_id", Text, ""),
            opt("ab_test", Text, "name of the A/B test; null: the template"),
            opt("ab_variant", Text, "which variant of the test this message is"),
            opt("csat", Int, "score given in this message"),
            opt("bot_handover", Bool, "the bot handed the chat to a person here"),
        ],
    },
    CanonicalTable {
        name: "message_statuses",
        doc: "Delivery states of outgoing messages, one row per state reached.",
        key: &["platform", "message_id", "status", "user_id"],
        columns: &[
            req("platform", Text, ""),
            req("message_id", Text, ""),
            req("status", Text, "sent, delivered, read, played, failed, deleted, clicked"),
            req("at", Instant, ""),
            opt(
                "conversation_id",
                Text,
                "as in messages: API-sent messages may be known by their status alone",
            ),
            opt("channel_account", Text, ""),
            opt("business_number", Text, ""),
            opt("user_id", Text, "the recipient"),
            opt("phone_e164", Text, ""),
            opt("sender_kind", Text, "bot, operator or broadcast, where the sender told it"),
            opt("operator_id", Text, ""),
            opt("failed_code", Text, ""),
            opt("failed_reason", Text, ""),
            opt("price_category", Text, ""),
            opt("price", Decimal, "what this message cost, in whole units of `price_currency`"),
            opt("price_currency", Text, "ISO 4217; null: the reporting currency"),
            opt("is_billable", Bool, ""),
        ],
    },
    CanonicalTable {
        name: "consents",
        doc: "Opt-in and opt-out events.",
        key: &["platform", "user_id", "ts", "action"],
        columns: &[
            req("platform", Text, "a messenger, or phone, email, or where else it was given, e.g. site"),
            req("user_id", Text, "the platform's id; E.164 for phone, the address for email"),
            req("ts", Instant, ""),
            req("action", Text, "opt_in or opt_out"),
            opt("method", Text, "form, keyword, button, link, platform"),
            opt("evidence", Text, "message id or vendor record"),
        ],
    },
    CanonicalTable {
        name: "scenario_events",
        doc: "What happened in the steps of a bot's scenario: for funnels and for bots that do not understand.",
        key: &["event_id"],
        columns: &[
            req("event_id", Text, "unique over all sources"),
            req("at", Instant, ""),
            req("scenario", Text, "name of the bot's scenario, flow or agent"),
            req("step", Text, "name of the step, block or intent"),
            req(
                "kind",
                Text,
                "entered, passed, escalated (handed to a person), fallback (the bot did not understand)",
            ),
            opt("step_no", Int, "place of the step in the scenario, from 1"),
            opt("session_id", Text, "one walk through the scenario; null: every `entered` begins another"),
            opt("platform", Text, "as in messages"),
            opt("conversation_id", Text, "as in messages"),
            opt("user_id", Text, "as in messages"),
        ],
    },
    CanonicalTable {
        name: "contacts",
        doc: "People in a CRM.",
        key: &["contact_id"],
        columns: &[
            req("contact_id", Text, "<system>:<account>:<id>"),
            opt("name", Text, ""),
            opt("phone_e164", Text, "the first usable one; all are in identity_edges"),
            opt("email", Text, "the first one, lower case"),
            opt("operator_id", Text, ""),
            opt("region", Text, ""),
            opt("tags", ColumnType::TextList, ""),
            opt("created_at", Instant, ""),
            opt("updated_at", Instant, ""),
            opt("is_deleted", Bool, ""),
        ],
    },
    CanonicalTable {
        name: "deals",
        doc: "Deals in a CRM, as they stand now.",
        key: &["deal_id"],
        columns: &[
            req("deal_id", Text, "<system>:<account>:<id>"),
            req("created_at", Instant, ""),
            req("state", Text, "open, won, lost"),
            opt("name", Text, ""),
            opt("contact_id", Text, "main contact, as in contacts"),
            opt("pipeline", Text, "name"),
            opt("status_id", Text, ""),
            opt("status", Text, "name"),
            opt("value_minor", Int, "in minor units of `currency`"),
            opt("currency", Text, "ISO 4217"),
            opt("closed_at", Instant, "really closed, not planned; null while open"),
            opt("updated_at", Instant, ""),
            opt("operator_id", Text, ""),
            opt("token", Text, "visit token from a field of the deal"),
            opt("source", Text, "from tracking fields of the deal"),
            opt("medium", Text, ""),
            opt("campaign", Text, ""),
            opt("lost_reason", Text, ""),
            opt("lead_id", Text, "the lead it was made of, where the CRM keeps leads apart from deals"),
            opt("goods_cost_minor", Int, "what the sold goods cost, in minor units of `currency`"),
            opt("tags", ColumnType::TextList, ""),
            opt("is_deleted", Bool, ""),
        ],
    },
    CanonicalTable {
        name: "deal_contacts",
        doc: "Which contacts belong to a deal.",
        key: &["deal_id", "contact_id"],
        columns: &[req("deal_id", Text, ""), req("contact_id", Text, ""), opt("is_main", Bool, "")],
    },
    CanonicalTable {
        name: "deal_events",
        doc: "History of deals: created, moved between stages, deleted.",
        key: &["event_id"],
        columns: &[
            req("event_id", Text, "<system>:<account>:<id>"),
            req("deal_id", Text, ""),
            req("at", Instant, ""),
            req(
                "kind",
                Text,
                "created, status_changed, deleted, restored, owner_changed, value_changed, other",
            ),
            opt("status_before", Text, "status_id"),
            opt("status_after", Text, "status_id"),
            opt("operator_id", Text, ""),
        ],
    },
    CanonicalTable {
        name: "operators",
        doc: "People who answer and sell.",
        key: &["operator_id"],
        columns: &[
            req("operator_id", Text, "<system>:<account>:<id>"),
            opt("name", Text, ""),
            opt("email", Text, ""),
            opt("team", Text, ""),
            opt("crm_user_id", Text, "the CRM's own id"),
        ],
    },
    CanonicalTable {
        name: "costs",
        doc: "What was spent, per day at the finest level the ad system gives. Every row counts: two equal rows are two amounts.",
        key: &[],
        columns: &[
            req("system", Text, "yandex_direct, google_ads, vk_ads, meta_ads, manual, ..."),
            req("day", Date, "in the ad account's time zone"),
            req("cost_minor", Int, "in minor units of `currency`, VAT as the pipeline says"),
            req("currency", Text, "ISO 4217"),
            opt("account", Text, ""),
            opt("source", Text, "utm_source its visits carry"),
            opt("medium", Text, "utm_medium its visits carry"),
            opt("campaign_id", Text, ""),
            opt("campaign", Text, "utm_campaign its visits carry"),
            opt("adgroup_id", Text, ""),
            opt("ad_id", Text, ""),
            opt("ad", Text, "utm_content its visits carry"),
            opt("keyword", Text, "utm_term its visits carry"),
            opt("impressions", Int, ""),
            opt("clicks", Int, ""),
            opt("cost_kind", Text, "media (default), content, messaging, tools, salary"),
        ],
    },
    CanonicalTable {
        name: "exchange_rates",
        doc: "Units of the reporting currency for one unit of `currency` on a UTC day.",
        key: &["day", "currency"],
        columns: &[req("day", Date, ""), req("currency", Text, "ISO 4217"), req("rate", Decimal, "")],
    },
    CanonicalTable {
        name: "identity_edges",
        doc: "Two identifiers that belong to one person, and who says so.",
        key: &["left_type", "left_value", "right_type", "right_value", "valid_from"],
        columns: &[
            req(
                "left_type",
                Text,
                "crm_contact, phone, email, wa_user, tg_user, vk_user, viber_user, fb_psid, ym_client, ga_client, visit",
            ),
            req("left_value", Text, ""),
            req("right_type", Text, ""),
            req("right_value", Text, ""),
            opt("evidence", Text, "the record that ties them"),
            opt("valid_from", Instant, "null: always"),
            opt("valid_to", Instant, "null: always"),
        ],
    },
    CanonicalTable {
        name: "touches",
        doc: "Touches prepared elsewhere, beside those derived from visits and messages.",
        key: &["touch_id"],
        columns: &[
            req("touch_id", Text, ""),
            req("person_id", Text, "any stable identifier of the person; kept as it is"),
            req("ts", Instant, ""),
            opt("kind", Text, "visit, ad_referral, broadcast, deeplink, email, call, ..."),
            opt("channel", Text, "null: by the channel rules"),
            opt("source", Text, ""),
            opt("medium", Text, ""),
            opt("campaign", Text, ""),
            opt("ad", Text, ""),
            opt("keyword", Text, ""),
            opt("page", Text, "URL"),
        ],
    },
    CanonicalTable {
        name: "conversions",
        doc: "Conversions prepared elsewhere, beside those derived from deals.",
        key: &["conversion_id"],
        columns: &[
            req("conversion_id", Text, ""),
            req("person_id", Text, "as in touches"),
            req("ts", Instant, ""),
            opt("type", Text, "lead, qualified, won (default)"),
            opt("status", Text, ""),
            opt("value_minor", Int, "in minor units of `currency`"),
            opt("currency", Text, "ISO 4217; null: the reporting currency"),
            opt("deal_id", Text, ""),
            opt("goods_cost_minor", Int, "what the sold goods cost, in minor units of `currency`"),
        ],
    },
    CanonicalTable {
        name: "refunds",
        doc: "Money given back.",
        key: &["refund_id"],
        columns: &[
            req("refund_id", Text, ""),
            req("ts", Instant, ""),
            req("value_minor", Int, "positive, in minor units of `currency`"),
            opt("conversion_id", Text, "this or deal_id"),
            opt("deal_id", Text, ""),
            opt("currency", Text, "null: the conversion's"),
        ],
    },
    CanonicalTable {
        name: "aggregated_paths",
        doc: "Channel paths already counted, for the models that need no more.",
        key: &["path"],
        columns: &[
            req("path", ColumnType::TextList, "channels in order"),
            req("conversions", Int, ""),
            opt("nulls", Int, "people with this path who did not convert"),
            opt("value_minor", Int, "in the reporting currency"),
        ],
    },
];
