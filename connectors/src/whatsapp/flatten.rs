//! One webhook body into records of the streams.
//!
//! `entry[].changes[]{field, value}`: what lies in lists of a value becomes rows; the rest of a value
//! that nobody claims becomes a row of `other`, so that nothing is lost when Meta adds something.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::inbox::Delivery;
use crate::records::RecordsBuilder;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Messages,
    Statuses,
    Contacts,
    UserPreferences,
    MessageEchoes,
    Other,
}

impl Stream {
    pub const ALL: [Self; 6] = [
        Self::Messages,
        Self::Statuses,
        Self::Contacts,
        Self::UserPreferences,
        Self::MessageEchoes,
        Self::Other,
    ];

    /// Its name, which is that of the list in a value too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Statuses => "statuses",
            Self::Contacts => "contacts",
            Self::UserPreferences => "user_preferences",
            Self::MessageEchoes => "message_echoes",
            Self::Other => "other",
        }
    }
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
    /// Whether a list of this name is rows of a stream of its own.
    fn of_list(name: &str) -> Option<Self> {
        Self::of_name(name).filter(|s| *s != Self::Other)
    }

    /// Every stream reads the inbox; a record that cannot be used is told by one of them, here chosen
    /// by what it seems to hold.
    pub fn telling(record: &[u8]) -> Self {
        let holds = |stream: &Self| memmem::find(record, stream.name().as_bytes()).is_some();
        [Self::Statuses, Self::MessageEchoes, Self::UserPreferences, Self::Messages]
            .into_iter()
            .find(holds)
            .unwrap_or(Self::Other)
    }

    /// A quick look before anything is parsed: false means that no row of this stream is in it.
    pub fn may_be_in(self, body: &[u8]) -> bool {
        self == Self::Other || holds_key(body, self.name())
    }
}

fn holds_key(body: &[u8], name: &str) -> bool {
    memmem::find_iter(body, name.as_bytes())
        .any(|at| at > 0 && body[at - 1] == b'"' && body.get(at + name.len()) == Some(&b'"'))
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    object: Cow<'a, str>,
    #[serde(borrow)]
    entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    changes: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    field: Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// Members of an object, values as they came.
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(n, v)| n == name && v.get() != "null").map(|(_, v)| *v)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                #[derive(Deserialize)]
                struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
                    members.push((name, map.next_value::<&'de RawValue>()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Who is meant, of a message, status or contact.
#[derive(Deserialize, Default)]
struct Ids<'a> {
    #[serde(borrow, default)]
    from: Option<&'a RawValue>,
    #[serde(borrow, default)]
    from_user_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    to: Option<&'a RawValue>,
    #[serde(borrow, default)]
    to_user_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    recipient_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    recipient_user_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    wa_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    user_id: Option<&'a RawValue>,
}

const NULL: &str = "null";
/// Members of a value that belong to its lists.
const COMMON: &[&str] = &["messaging_product", "metadata", "errors"];

/// Puts what a delivery holds for `stream` into `records`. A part that is not as expected is told through
/// `reject`, alone.
pub(crate) fn flatten(
    stream: Stream,
    delivery: &Delivery<'_>,
    place: &str,
    records: &mut RecordsBuilder,
    reject: &mut dyn FnMut(String, &[u8]),
) {
    let telling = Stream::telling(&delivery.body) == stream;
    let mut tell = |always: bool, reason: String, raw: &[u8]| {
        if telling || always {
            reject(reason, raw);
        }
    };
    let body = match std::str::from_utf8(&delivery.body) {
        Ok(text) => text,
        Err(e) => {
            return tell(false, format!("the body is no UTF-8 at byte {}", e.valid_up_to()), &delivery.body);
        }
    };
    let body: Body<'_> = match serde_json::from_str(body) {
        Ok(body) => body,
        Err(e) => return tell(false, format!("the body is no webhook of Meta: {e}"), body.as_bytes()),
    };
    let received_at = delivery.received_at.map_or(NULL, RawValue::get);
    let object = crate::records::json_string(&body.object);
    for entry in &body.entry {
        let entry_id = entry.id.map_or(NULL, RawValue::get);
        for change in &entry.changes {
            let common = [("entry_id", entry_id), ("received_at", received_at)];
            let read = serde_json::from_str::<Change<'_>>(change.get());
            let Ok(Change { field, value }) = read else {
                tell(false, "the change has no field or no value".into(), change.get().as_bytes());
                continue;
            };
            if body.object != "whatsapp_business_account" {
                // Another product of Meta in the same inbox.
                other(stream, &object, &field, value, &common, place, records);
                continue;
            }
            match serde_json::from_str::<Members<'_>>(value.get()) {
                Err(_) => other(stream, &object, &field, value, &common, place, records),
                Ok(members) => {
                    if unclaimed(&members) {
                        other(stream, &object, &field, value, &common, place, records);
                    }
                    for (name, list) in &members.0 {
                        // A list whose name was written with escapes: its stream did not see it.
                        if stream == Stream::Other
                            && let Some(missed) = Stream::of_list(name)
                            && !missed.may_be_in(&delivery.body)
                        {
                            tell(
                                true,
                                format!("the key {name:?} is written in an unusual way"),
                                list.get().as_bytes(),
                            );
                        }
                    }
                    rows(stream, &members, &common, place, records, &mut |reason, raw| {
                        tell(false, reason, raw)
                    });
                }
            }
        }
    }
}

/// Whether a value holds something that is no list of ours.
fn unclaimed(members: &Members<'_>) -> bool {
    let foreign = |name: &str| Stream::of_list(name).is_none() && !COMMON.contains(&name);
    let mut lists =
        members.0.iter().filter(|(n, v)| Stream::of_list(n).is_some() && !matches!(v.get(), "null" | "[]"));
    members.0.iter().any(|(n, _)| foreign(n)) || lists.next().is_none()
}

fn other(
    stream: Stream,
    object: &str,
    field: &str,
    value: &RawValue,
    common: &[(&str, &str)],
    place: &str,
    records: &mut RecordsBuilder,
) {
    if stream == Stream::Other {
        let field = crate::records::json_string(field);
        let mut extra = vec![("object", object), ("field", field.as_str()), ("value", value.get())];
        extra.extend_from_slice(common);
        records.push_with(b"{}", &extra, place);
    }
}

fn rows(
    stream: Stream,
    members: &Members<'_>,
    common: &[(&str, &str)],
    place: &str,
    records: &mut RecordsBuilder,
    refuse: &mut dyn FnMut(String, &[u8]),
) {
    let Some(list) = members.get(stream.name()).filter(|_| stream != Stream::Other) else { return };
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(list.get()) else {
        return refuse(format!("{} is no list", stream.name()), list.get().as_bytes());
    };
    let metadata = members.get("metadata").and_then(|m| serde_json::from_str::<Members<'_>>(m.get()).ok());
    let meta = |name: &str| metadata.as_ref().and_then(|m| m.get(name)).map_or(NULL, RawValue::get);
    let contacts: Vec<&RawValue> = members
        .get("contacts")
        .filter(|_| stream != Stream::Contacts)
        .and_then(|c| serde_json::from_str(c.get()).ok())
        .unwrap_or_default();
    for item in items {
        let mut extra = vec![
            ("phone_number_id", meta("phone_number_id")),
            ("display_phone_number", meta("display_phone_number")),
        ];
        extra.extend_from_slice(common);
        if stream != Stream::Contacts {
            extra.push(("contact", contact_of(item, &contacts).unwrap_or(NULL)));
            extra.push(("value_errors", members.get("errors").map_or(NULL, RawValue::get)));
        }
        records.push_with(item.get().as_bytes(), &extra, place);
    }
}

/// The contact that `item` is from or to. One that names nobody is of the only contact.
fn contact_of<'a>(item: &RawValue, contacts: &[&'a RawValue]) -> Option<&'a str> {
    if contacts.is_empty() {
        return None;
    }
    let item: Ids<'_> = serde_json::from_str(item.get()).unwrap_or_default();
    let numbers = [item.from, item.to, item.recipient_id, item.wa_id];
    let users = [item.from_user_id, item.to_user_id, item.recipient_user_id, item.user_id];
    let same = |a: Option<&RawValue>, b: &[Option<&RawValue>]| {
        a.is_some_and(|a| b.iter().flatten().any(|b| a.get() == b.get()))
    };
    let found = contacts.iter().find(|contact| {
        let contact: Ids<'_> = serde_json::from_str(contact.get()).unwrap_or_default();
        same(contact.wa_id, &numbers) || same(contact.user_id, &users)
    });
    let nameless = numbers.iter().chain(&users).all(Option::is_none);
    found.or_else(|| contacts.first().filter(|_| nameless && contacts.len() == 1)).map(|c| c.get())
}
