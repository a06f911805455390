//! What the streams hold and which tables they become.

use throughline_core::{Capabilities, Catalog, ColumnSpec, ColumnType, Mapping, StreamSpec};

use super::flatten::Stream;
use ColumnType::{Int, Json, Text};

const COMMON: &[(&str, ColumnType)] =
    &[("entry_id", Text), ("received_at", Text), ("phone_number_id", Text), ("display_phone_number", Text)];

const MESSAGES: &[(&str, ColumnType)] = &[
    ("id", Text),
    ("from", Text),
    ("from_user_id", Text),
    ("group_id", Text),
    ("timestamp", Int),
    ("type", Text),
    ("contact", Json),
    ("text", Json),
    ("image", Json),
    ("video", Json),
    ("document", Json),
    ("button", Json),
    ("interactive", Json),
    ("reaction", Json),
    ("order", Json),
    ("referral", Json),
    ("context", Json),
    ("system", Json),
    ("edit", Json),
    ("revoke", Json),
    ("errors", Json),
];

const ECHOES: &[(&str, ColumnType)] = &[("to", Text), ("to_user_id", Text)];

const STATUSES: &[(&str, ColumnType)] = &[
    ("id", Text),
    ("status", Text),
    ("timestamp", Int),
    ("recipient_id", Text),
    ("recipient_user_id", Text),
    ("recipient_type", Text),
    ("participant_id", Text),
    ("recipient_participant_id", Text),
    ("recipient_participant_user_id", Text),
    ("biz_opaque_callback_data", Text),
    ("contact", Json),
    ("conversation", Json),
    ("pricing", Json),
    ("errors", Json),
];

const CONTACTS: &[(&str, ColumnType)] =
    &[("wa_id", Text), ("user_id", Text), ("parent_user_id", Text), ("profile", Json)];

const PREFERENCES: &[(&str, ColumnType)] = &[
    ("wa_id", Text),
    ("user_id", Text),
    ("category", Text),
    ("value", Text),
    ("detail", Text),
    ("signup_id", Text),
    ("timestamp", Int),
];

type Columns = &'static [(&'static str, ColumnType)];

const OTHER: &[(&str, ColumnType)] = &[("object", Text), ("field", Text), ("value", Json)];

pub(crate) fn catalog() -> Catalog {
    Catalog { streams: Stream::ALL.map(spec).to_vec() }
}

fn spec(stream: Stream) -> StreamSpec {
    let (doc, key, columns): (&str, &[&str], Vec<Columns>) = match stream {
        Stream::Messages => ("Messages of customers.", &["phone_number_id", "id"], vec![MESSAGES]),
        Stream::MessageEchoes => (
            "Messages that people sent from the WhatsApp Business app.",
            &["phone_number_id", "id"],
            vec![MESSAGES, ECHOES],
        ),
        // A state may come in several deliveries, and to each member of a group.
        Stream::Statuses => ("States of messages we sent.", &[], vec![STATUSES]),
        Stream::Contacts => {
            ("Names and ids of customers, as they came with each delivery.", &[], vec![CONTACTS])
        }
        Stream::UserPreferences => ("Stops and resumes of marketing messages.", &[], vec![PREFERENCES]),
        Stream::Other => ("Everything else, one row per change, its value as JSON.", &[], vec![OTHER]),
    };
    let column = |(name, kind): &(&str, ColumnType)| ColumnSpec {
        name: (*name).into(),
        kind: *kind,
        doc: String::new(),
    };
    let common: &[(&str, ColumnType)] = if stream == Stream::Other { &COMMON[..2] } else { COMMON };
    StreamSpec {
        name: stream.name().into(),
        doc: doc.into(),
        key: key.iter().map(|k| (*k).into()).collect(),
        columns: common.iter().chain(columns.into_iter().flatten()).map(column).collect(),
        restates: None,
        capabilities: Capabilities {
            incremental: true,
            webhook: true,
            resumable: true,
            ..Default::default()
        },
    }
}

pub(crate) fn mappings() -> Vec<Mapping> {
    use Stream::{Contacts, MessageEchoes, Messages, Other, Statuses, UserPreferences};
    let all: [(&str, &str, &[Stream], &str); 6] = [
        ("messages", "messages", &[Messages, Contacts], include_str!("mapping/messages.sql")),
        (
            "messages",
            "message_echoes",
            &[MessageEchoes, Contacts, Messages],
            include_str!("mapping/message_echoes.sql"),
        ),
        (
            "message_statuses",
            "message_statuses",
            &[Statuses, Contacts, Messages],
            include_str!("mapping/message_statuses.sql"),
        ),
        (
            "consents",
            "consents",
            &[UserPreferences, Contacts, Messages],
            include_str!("mapping/consents.sql"),
        ),
        (
            "consents",
            "consents_refused",
            &[Statuses, Contacts, Messages],
            include_str!("mapping/consents_refused.sql"),
        ),
        (
            "identity_edges",
            "identity_edges",
            &[Messages, Contacts, Statuses, MessageEchoes, Other],
            include_str!("mapping/identity_edges.sql"),
        ),
    ];
    let mapping = |(into, file, from, sql): (&str, &str, &[Stream], &str)| Mapping {
        into: into.into(),
        from: from.iter().map(|s| s.name().into()).collect(),
        sql: sql.into(),
        origin: format!("connectors/src/whatsapp/mapping/{file}.sql"),
        params: Vec::new(),
    };
    all.into_iter().map(mapping).collect()
}
