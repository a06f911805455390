//! Which record made each edge of the identity graph.
//!
//! A run keeps edges without their origin: most are never asked for, and with it the largest step would
//! carry a text per edge. They are found again here, for a few identifiers, in the canonical tables of the
//! epoch, by the conditions of `steps/21_edges.sql`; a test holds the two lists equal.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use serde::Serialize;
use throughline_core::Result;
use throughline_core::canonical;
use throughline_sql::SqlEngine;

use crate::canon::view_select;
use crate::host::memory_table;
use crate::rows::{Rows, instant};

/// `type` and `value` of an identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Identifier {
    pub id_type: String,
    pub id_value: String,
}

impl Identifier {
    pub fn new(id_type: impl Into<String>, id_value: impl Into<String>) -> Self {
        Self { id_type: id_type.into(), id_value: id_value.into() }
    }
    /// In the order in which identifiers give persons their names: as in `steps/22_nodes.sql`.
    pub(crate) fn rank(&self) -> u8 {
        match self.id_type.as_str() {
            "crm_contact" => 0,
            "phone" => 10,
            "email" => 20,
            "wa_user" => 30,
            "tg_user" => 40,
            "vk_user" => 50,
            "viber_user" => 60,
            "fb_psid" => 70,
            "ym_client" => 80,
            "ga_client" => 90,
            "visit" => 100,
            _ => 75,
        }
    }
}

impl std::fmt::Display for Identifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.id_type, self.id_value)
    }
}

/// Two identifiers that a record says belong together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tie {
    pub left: Identifier,
    pub right: Identifier,
    /// The canonical table of the record.
    pub table: String,
    /// The vendor's record as the table's key names it: the earliest that says so.
    pub record: String,
    /// Of the record, UTC.
    pub at: Option<String>,
    /// How many records of the table say the same.
    pub records: i64,
    /// The rule that reads it out of the record.
    pub because: String,
    /// The tie holds from this instant on; none: always.
    pub valid_from: Option<String>,
    /// The tie holds before this instant; none: always.
    pub valid_to: Option<String>,
}

impl Tie {
    /// The other end.
    pub fn other(&self, end: &Identifier) -> &Identifier {
        if &self.left == end { &self.right } else { &self.left }
    }
}

/// Tables the edges are read from.
const TABLES: &[&str] = &[
    "visits",
    "hits",
    "messages",
    "message_statuses",
    "contacts",
    "deals",
    "deal_contacts",
    "identity_edges",
];

/// Steps that tell whose a token is, as views: a run writes them, here one look is enough.
const STEPS: &[(&str, &str)] = &[
    ("t_token_used", include_str!("steps/09_tokens_used.sql")),
    ("t_token_seen", include_str!("steps/10_tokens_seen.sql")),
    ("t_token_visit", include_str!("steps/11_token_visits.sql")),
    ("t_token_user", include_str!("steps/12_token_users.sql")),
    ("t_deal_contact", include_str!("steps/14_deal_contacts.sql")),
    ("t_token_contact", include_str!("steps/15_token_contacts.sql")),
    ("t_visit_node", include_str!("steps/20_visit_nodes.sql")),
];

/// How a record says that two identifiers belong together: SQL expressions over `from`.
struct Origin {
    left: (&'static str, &'static str),
    right: (&'static str, &'static str),
    table: &'static str,
    record: &'static str,
    at_us: &'static str,
    because: &'static str,
    from: &'static str,
}

const MESSAGE: &str = "platform || ':' || message_id";
const DIGITS: &str = "platform = 'whatsapp' AND user_id IS NOT NULL AND translate(user_id, '0123456789', '') = '' \
                      AND length(user_id) >= 8 AND length(user_id) <= 15";
const EMAIL_LEFT: &str = "CASE WHEN left_type = 'email' THEN lower(trim(left_value)) ELSE left_value END";
const EMAIL_RIGHT: &str = "CASE WHEN right_type = 'email' THEN lower(trim(right_value)) ELSE right_value END";

/// The rules of `steps/21_edges.sql`, one by one.
const ORIGINS: &[Origin] = &[
    Origin {
        left: ("'visit'", "v.visit_id"),
        right: ("m.user_type", "m.user_value"),
        table: "messages",
        record: "m.platform || ':' || m.message_id",
        at_us: "m.ts_us",
        because: "this person wrote first with the token of the visit",
        from: "t_token_visit AS v JOIN t_token_user AS u ON u.token = v.token \
               JOIN c_messages AS m ON m.token = u.token AND m.user_type = u.user_type \
                 AND m.user_value = u.user_value AND m.direction = 'in'",
    },
    Origin {
        left: ("'visit'", "v.visit_id"),
        right: ("'crm_contact'", "c.contact_id"),
        table: "deals",
        record: "d.deal_id",
        at_us: "d.created_at_us",
        because: "a deal of the contact carries the token of the visit",
        from: "t_token_visit AS v JOIN t_token_contact AS c ON c.token = v.token \
               JOIN t_deal_contact AS dc ON dc.contact_id = c.contact_id \
               JOIN c_deals AS d ON d.token = v.token AND d.deal_id = dc.deal_id",
    },
    Origin {
        left: ("'visit'", "v.visit_id"),
        right: ("'ym_client'", "v.ym_client_id"),
        table: "visits",
        record: "v.visit_id",
        at_us: "v.started_at_us",
        because: "the browser of the visit",
        from: "c_visits AS v JOIN t_visit_node AS n ON n.visit_id = v.visit_id WHERE v.ym_client_id IS NOT NULL",
    },
    Origin {
        left: ("'visit'", "v.visit_id"),
        right: ("'ga_client'", "v.ga_client_id"),
        table: "visits",
        record: "v.visit_id",
        at_us: "v.started_at_us",
        because: "the browser of the visit",
        from: "c_visits AS v JOIN t_visit_node AS n ON n.visit_id = v.visit_id WHERE v.ga_client_id IS NOT NULL",
    },
    Origin {
        left: ("'ym_client'", "ym_client_id"),
        right: ("'ga_client'", "ga_client_id"),
        table: "visits",
        record: "visit_id",
        at_us: "started_at_us",
        because: "one visit carries both ids of the browser",
        from: "c_visits WHERE ym_client_id IS NOT NULL AND ga_client_id IS NOT NULL",
    },
    Origin {
        left: ("user_type", "user_value"),
        right: ("'phone'", "phone_e164"),
        table: "messages",
        record: MESSAGE,
        at_us: "ts_us",
        because: "the messenger gives the phone with the message",
        from: "c_messages WHERE phone_e164 IS NOT NULL",
    },
    Origin {
        left: ("user_type", "user_value"),
        right: ("'phone'", "phone_e164"),
        table: "message_statuses",
        record: MESSAGE,
        at_us: "at_us",
        because: "the messenger gives the phone with the delivery state",
        from: "c_message_statuses WHERE phone_e164 IS NOT NULL AND user_value IS NOT NULL",
    },
    Origin {
        left: ("'wa_user'", "user_id"),
        right: ("'phone'", "'+' || user_id"),
        table: "messages",
        record: MESSAGE,
        at_us: "ts_us",
        because: "a WhatsApp id of digits is the phone without its plus",
        from: "c_messages WHERE {digits}",
    },
    Origin {
        left: ("'wa_user'", "user_id"),
        right: ("'phone'", "'+' || user_id"),
        table: "message_statuses",
        record: MESSAGE,
        at_us: "at_us",
        because: "a WhatsApp id of digits is the phone without its plus",
        from: "c_message_statuses WHERE {digits}",
    },
    Origin {
        left: ("'crm_contact'", "contact_id"),
        right: ("'phone'", "phone_e164"),
        table: "contacts",
        record: "contact_id",
        at_us: "created_at_us",
        because: "the phone of the contact",
        from: "c_contacts WHERE phone_e164 IS NOT NULL",
    },
    Origin {
        left: ("'crm_contact'", "contact_id"),
        right: ("'email'", "lower(trim(email))"),
        table: "contacts",
        record: "contact_id",
        at_us: "created_at_us",
        because: "the e-mail of the contact",
        from: "c_contacts WHERE email IS NOT NULL",
    },
    Origin {
        left: ("left_type", EMAIL_LEFT),
        right: ("right_type", EMAIL_RIGHT),
        table: "identity_edges",
        record: "coalesce(evidence, 'without evidence')",
        at_us: "valid_from_us",
        because: "the record says that they belong together",
        from: "c_identity_edges",
    },
];

impl Origin {
    fn select(&self) -> String {
        let (from_us, to_us) = match self.table {
            "identity_edges" => ("valid_from_us", "valid_to_us"),
            _ => ("CAST(NULL AS BIGINT)", "CAST(NULL AS BIGINT)"),
        };
        format!(
            "SELECT {} AS l_type, {} AS l_value, {} AS r_type, {} AS r_value, '{}' AS tbl, {} AS record, {} AS at_us, \
             '{}' AS because, {from_us} AS from_us, {to_us} AS to_us FROM {}",
            self.left.0,
            self.left.1,
            self.right.0,
            self.right.1,
            self.table,
            self.record,
            self.at_us,
            self.because,
            self.from.replace("{digits}", DIGITS)
        )
    }
}

/// Binds what [`ties`] reads: views only.
pub(crate) async fn bind(engine: &dyn SqlEngine) -> Result<()> {
    for name in TABLES {
        if let Some(table) = canonical::table(name) {
            engine.bind_view(&format!("c_{name}"), &view_select(table, &format!("in_{name}")), &[]).await?;
        }
    }
    for (name, sql) in STEPS {
        engine.bind_view(name, &sql.replace(" x_", " t_"), &[]).await?;
    }
    let union: Vec<String> = ORIGINS.iter().map(Origin::select).collect();
    engine.bind_view("t_tie", &union.join(" UNION ALL "), &[]).await
}

/// Every tie that `who` are an end of: the earliest record of each table and rule.
pub(crate) async fn ties(engine: &dyn SqlEngine, who: &[Identifier]) -> Result<Vec<Tie>> {
    if who.is_empty() {
        return Ok(Vec::new());
    }
    let schema = Arc::new(Schema::new(vec![
        Field::new("id_type", DataType::Utf8, false),
        Field::new("id_value", DataType::Utf8, false),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(who.iter().map(|i| &i.id_type))),
        Arc::new(StringArray::from_iter_values(who.iter().map(|i| &i.id_value))),
    ];
    engine.bind("t_who", &memory_table(schema, columns)?).await?;
    let select = "SELECT l_type, l_value, r_type, r_value, tbl, record, at_us, because, from_us, to_us, n FROM ( \
        SELECT e.l_type, e.l_value, e.r_type, e.r_value, e.tbl, e.record, e.at_us, e.because, e.from_us, e.to_us, \
          count(*) OVER (PARTITION BY e.l_type, e.l_value, e.r_type, e.r_value, e.tbl, e.because, e.from_us, e.to_us) AS n, \
          row_number() OVER (PARTITION BY e.l_type, e.l_value, e.r_type, e.r_value, e.tbl, e.because, e.from_us, e.to_us \
            ORDER BY e.at_us NULLS LAST, e.record) AS rn \
        FROM t_tie AS e \
        LEFT JOIN t_who AS a ON a.id_type = e.l_type AND a.id_value = e.l_value \
        LEFT JOIN t_who AS b ON b.id_type = e.r_type AND b.id_value = e.r_value \
        WHERE (a.id_type IS NOT NULL OR b.id_type IS NOT NULL) \
          AND (e.l_type <> e.r_type OR e.l_value <> e.r_value)) AS t \
      WHERE rn = 1 ORDER BY at_us NULLS LAST, tbl, record, l_type, l_value, r_type, r_value";
    let rows = Rows { engine }.all(select, &[]).await?;
    Ok(rows
        .iter()
        .map(|r| Tie {
            left: Identifier::new(r.text("l_type"), r.text("l_value")),
            right: Identifier::new(r.text("r_type"), r.text("r_value")),
            table: format!("in_{}", r.text("tbl")),
            record: r.text("record"),
            at: r.int("at_us").map(instant),
            records: r.int("n").unwrap_or(1),
            because: r.text("because"),
            valid_from: r.int("from_us").map(instant),
            valid_to: r.int("to_us").map(instant),
        })
        .collect())
}
