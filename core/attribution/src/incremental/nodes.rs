//! What a canonical record names: identifiers, tokens, conversations, deals. Records that name one thing belong to
//! one group, and whatever is computed of a record is computed from its group alone. Two things that share a hash
//! by chance put two groups together, which costs time and changes nothing.

use std::hash::{Hash, Hasher};

use arrow::array::{Array, RecordBatch, StringArray};
use rustc_hash::FxHasher;
use throughline_core::Result;

use crate::host::texts;

/// Set in every hash: what is none is smaller.
pub(super) const HASHED: u64 = 1 << 63;

/// A thing that records name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub hash: u64,
    pub tie: Tie,
}

/// Most visits, messages and browsers are named by nothing else and need no room in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tie {
    /// Kept, whatever else the record names.
    Always,
    /// Kept where the record names anything else that counts.
    WithOthers,
    /// Counts where a record before kept it.
    IfKnown,
}

/// Canonical tables whose records belong to groups, and the columns that tell which. Who names a thing that counts
/// [`Tie::IfKnown`] comes after all who always keep it.
pub(super) const GROUPED: &[(&str, &[&str])] = &[
    (
        "message_statuses",
        &["platform", "message_id", "user_id", "conversation_id", "phone_e164", "channel_account"],
    ),
    ("identity_edges", &["left_type", "left_value", "right_type", "right_value"]),
    ("consents", &["platform", "user_id"]),
    ("scenario_events", &["event_id", "platform", "conversation_id", "session_id"]),
    ("contacts", &["contact_id", "phone_e164", "email"]),
    ("deal_contacts", &["deal_id", "contact_id"]),
    ("deal_events", &["deal_id"]),
    ("refunds", &["refund_id", "deal_id", "conversion_id"]),
    ("conversions", &["conversion_id", "person_id", "deal_id"]),
    ("touches", &["touch_id", "person_id"]),
    ("deals", &["deal_id", "contact_id", "token"]),
    ("messages", &["platform", "message_id", "conversation_id", "user_id", "phone_e164", "token"]),
    ("hits", &["hit_id", "visit_id", "token"]),
    ("visits", &["visit_id", "ym_client_id", "ga_client_id", "token"]),
];

/// The texts of a batch's rows, as the steps read them: an empty text is none.
pub(super) struct Records<'a> {
    table: &'static str,
    columns: Vec<&'a StringArray>,
}

impl<'a> Records<'a> {
    pub fn of(table: &'static str, columns: &[&str], batch: &'a RecordBatch) -> Result<Self> {
        Ok(Self { table, columns: columns.iter().map(|c| texts(batch, c)).collect::<Result<_>>()? })
    }

    /// What row `row` names; the first node is the record's own or its owner's.
    pub fn nodes(&self, row: usize, into: &mut Vec<Node>) {
        into.clear();
        // Required columns keep an empty text; as a name it stands for itself.
        let all = |n: usize| {
            let column = self.columns[n];
            column.is_valid(row).then(|| column.value(row))
        };
        let text = |n: usize| all(n).filter(|t| !t.is_empty());
        let mut add = |hash: u64, tie: Tie| into.push(Node { hash, tie });
        match self.table {
            "visits" => {
                add(named("visit", all(0)), Tie::IfKnown);
                for (column, kind) in [(1, "ym_client"), (2, "ga_client")] {
                    if let Some(browser) = text(column) {
                        add(named(kind, Some(browser)), Tie::WithOthers);
                    }
                }
                if let Some(token) = text(3) {
                    add(named("token", Some(token)), Tie::IfKnown);
                }
            }
            "hits" => {
                add(named("hit", all(0)), Tie::IfKnown);
                // A token makes a hit say something of its visit.
                if let (Some(visit), Some(token)) = (text(1), text(2)) {
                    add(named("visit", Some(visit)), Tie::Always);
                    add(named("token", Some(token)), Tie::Always);
                }
            }
            "messages" => {
                let platform = all(0).unwrap_or_default();
                add(pair("message", platform, all(1).unwrap_or_default()), Tie::IfKnown);
                add(pair("conversation", platform, all(2).unwrap_or_default()), Tie::Always);
                let user = text(3).or(all(2)).unwrap_or_default();
                messenger_user(platform, user, &mut add);
                tie(text(4), "phone", &mut add);
                tie(text(5), "token", &mut add);
            }
            "message_statuses" => {
                let platform = all(0).unwrap_or_default();
                let message = all(1).unwrap_or_default();
                add(pair("message", platform, message), Tie::Always);
                let user = text(2).or(text(3));
                if let Some(user) = user {
                    messenger_user(platform, user, &mut add);
                }
                tie(text(4), "phone", &mut add);
                // As steps/41_messages.sql names the conversation of a message that only states tell of.
                let made = format!("{platform}:{}:{}", text(5).unwrap_or_default(), user.unwrap_or(message));
                add(pair("conversation", platform, text(3).unwrap_or(&made)), Tie::Always);
            }
            "identity_edges" => {
                for n in [0, 2] {
                    add(identifier(all(n).unwrap_or_default(), all(n + 1).unwrap_or_default()), Tie::Always);
                }
            }
            "consents" => {
                let (platform, user) = (all(0).unwrap_or_default(), all(1).unwrap_or_default());
                match platform {
                    "phone" | "sms" | "call" => add(identifier("phone", user), Tie::Always),
                    "email" => add(identifier("email", user), Tie::Always),
                    "crm_contact" => add(identifier("crm_contact", user), Tie::Always),
                    _ => add(identifier(&user_type(platform), user), Tie::Always),
                }
            }
            "scenario_events" => {
                add(named("event", all(0)), Tie::IfKnown);
                if let Some(conversation) = text(2) {
                    add(pair("conversation", text(1).unwrap_or_default(), conversation), Tie::Always);
                }
                tie(text(3), "session", &mut add);
            }
            "contacts" => {
                add(named("crm_contact", all(0)), Tie::Always);
                tie(text(1), "phone", &mut add);
                if let Some(email) = text(2) {
                    add(identifier("email", email), Tie::Always);
                }
            }
            "deals" => {
                let deal = all(0).unwrap_or_default();
                add(named("deal", all(0)), Tie::Always);
                tie(text(1), "crm_contact", &mut add);
                tie(text(2), "token", &mut add);
                for kind in ["lead", "qualified", "won"] {
                    add(named("conversion", Some(&format!("{kind}:{deal}"))), Tie::IfKnown);
                }
            }
            "deal_contacts" => {
                add(named("deal", all(0)), Tie::Always);
                add(named("crm_contact", all(1)), Tie::Always);
            }
            "deal_events" => add(named("deal", all(0)), Tie::Always),
            "refunds" => {
                add(named("refund", all(0)), Tie::IfKnown);
                tie(text(1), "deal", &mut add);
                tie(text(2), "conversion", &mut add);
            }
            "conversions" => {
                add(named("conversion", all(0)), Tie::Always);
                add(named("person", all(1)), Tie::Always);
                tie(text(2), "deal", &mut add);
            }
            _ => {
                add(named("touch", all(0)), Tie::IfKnown);
                add(named("person", all(1)), Tie::Always);
            }
        }
    }
}

/// The message that opened an inquiry, by the inquiry's id: `<platform>:<message>`. Either may hold a colon of its
/// own: every way to read the id is one.
pub(super) fn openers(inquiry_id: &str) -> impl Iterator<Item = Node> {
    inquiry_id.match_indices(':').map(|(at, _)| Node {
        hash: pair("message", &inquiry_id[..at], &inquiry_id[at + 1..]),
        tie: Tie::Always,
    })
}

fn tie(value: Option<&str>, kind: &str, add: &mut impl FnMut(u64, Tie)) {
    if value.is_some() {
        add(named(kind, value), Tie::Always);
    }
}

fn messenger_user(platform: &str, user: &str, add: &mut impl FnMut(u64, Tie)) {
    add(identifier(&user_type(platform), user), Tie::Always);
    // A WhatsApp id of digits is the phone without its plus.
    if platform == "whatsapp" && user.bytes().all(|b| b.is_ascii_digit()) {
        add(identifier("phone", &format!("+{user}")), Tie::Always);
    }
}

/// As the view `c_messages` names it (`canon.rs`).
fn user_type(platform: &str) -> String {
    match platform {
        "whatsapp" => "wa_user".into(),
        "telegram" => "tg_user".into(),
        "vk" => "vk_user".into(),
        "viber" => "viber_user".into(),
        "facebook" => "fb_psid".into(),
        other => format!("{other}_user"),
    }
}

fn identifier(kind: &str, value: &str) -> u64 {
    if kind == "email" {
        return named(kind, Some(&value.trim_matches(' ').to_lowercase()));
    }
    named(kind, Some(value))
}

fn named(kind: &str, value: Option<&str>) -> u64 {
    let mut hasher = FxHasher::default();
    kind.hash(&mut hasher);
    value.unwrap_or_default().hash(&mut hasher);
    hasher.finish() | HASHED
}

fn pair(kind: &str, platform: &str, value: &str) -> u64 {
    let mut hasher = FxHasher::default();
    kind.hash(&mut hasher);
    platform.hash(&mut hasher);
    value.hash(&mut hasher);
    hasher.finish() | HASHED
}
