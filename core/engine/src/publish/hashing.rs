//! Phones and e-mails as keyed hashes, in the exports of one sink.
//!
//! A hash is HMAC-SHA256 of the normalised value (`+79161234567`, `anna@example.org`) under the sink's key,
//! as 64 hexadecimal digits: equal values stay equal over all tables and epochs, so that joins and
//! counts of distinct people hold, and nobody without the key can try all phone numbers. What is made
//! of a phone is hashed with it: WhatsApp's ids are phones, its message ids hold them in Base64, and a
//! `person_id` may be the plain hash of one.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, RecordBatch, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use throughline_core::{Result, Secret, phone};

use crate::personal::{self, Found};

/// What a sink gets hashed.
#[derive(Clone, Debug)]
pub struct Hashing {
    pub phones: bool,
    pub emails: bool,
    key: Secret,
}

/// Shorter keys can be guessed.
pub const SHORTEST_KEY: usize = 16;

/// How the values of a column are to be taken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Column {
    Phone,
    Email,
    /// Phone or e-mail by the `id_type` beside it.
    Identifier,
    Person,
    /// A messenger's user: a phone on WhatsApp.
    User,
    /// Ids with parts: `whatsapp:<number>:<user>`, `visit:..`, `whatsapp:wamid.<..>`.
    Parts,
    /// What people wrote.
    Free,
    /// Pages, names, campaigns: only what can be nothing else than a phone or an address.
    Other,
}

impl Hashing {
    pub fn new(phones: bool, emails: bool, key: Secret) -> Self {
        Self { phones, emails, key }
    }

    /// Differs when the exports would: for telling whether anything is new.
    pub fn fingerprint(&self) -> String {
        format!("{} {} {}", self.phones, self.emails, self.hash("fingerprint"))
    }

    /// 64 hexadecimal digits.
    pub fn hash(&self, value: &str) -> String {
        let mut hex = String::with_capacity(64);
        // HMAC takes a key of any length.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()) {
            mac.update(value.as_bytes());
            for byte in mac.finalize().into_bytes() {
                let _ = write!(hex, "{byte:02x}");
            }
        }
        hex
    }

    fn phone(&self, text: &str) -> String {
        let text = text.trim();
        let full = if text.starts_with('+') { text.to_owned() } else { format!("+{text}") };
        match phone::parse(&full, None) {
            Some(phone) => self.hash(&phone.e164),
            // A number without its country: nobody can say which.
            None => self.hash(text),
        }
    }

    fn email(&self, text: &str) -> String {
        self.hash(&text.trim().to_lowercase())
    }

    /// The batch as the sink gets it: same rows, same columns, other values.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let texts = |name: &str| {
            batch.column_by_name(name).filter(|c| is_text(c.data_type())).and_then(|c| plain(c).ok())
        };
        let (types, platforms) = (texts("id_type"), texts("platform"));
        let mut fields = Vec::with_capacity(batch.num_columns());
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let kind = kind_of(field.name());
            let beside = match kind {
                Column::Identifier => types.as_ref(),
                _ => platforms.as_ref(),
            };
            let beside = |row: usize| beside.filter(|b| b.is_valid(row)).map(|b| b.value(row));
            let changed: Option<ArrayRef> = if is_text(column.data_type()) {
                let values = plain(column)?;
                let hashed: StringArray = (0..values.len())
                    .map(|row| values.is_valid(row).then(|| self.value(kind, values.value(row), beside(row))))
                    .collect();
                Some(Arc::new(hashed))
            } else if let DataType::List(item) = column.data_type()
                && is_text(item.data_type())
            {
                Some(self.list(kind, column, item)?)
            } else {
                None
            };
            match changed {
                Some(changed) => {
                    fields.push(Arc::new(field.as_ref().clone().with_data_type(changed.data_type().clone())));
                    columns.push(changed);
                }
                None => {
                    fields.push(field.clone());
                    columns.push(column.clone());
                }
            }
        }
        let schema = Schema::new_with_metadata(fields, batch.schema().metadata().clone());
        Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
    }

    fn list(&self, kind: Column, column: &ArrayRef, item: &Arc<Field>) -> Result<ArrayRef> {
        let item = Arc::new(item.as_ref().clone().with_data_type(DataType::Utf8));
        let mut out = ListBuilder::new(StringBuilder::new()).with_field(item);
        for list in column.as_list::<i32>().iter() {
            if let Some(list) = &list {
                let values = plain(list)?;
                for value in &values {
                    out.values().append_option(value.map(|v| self.value(kind, v, None)));
                }
            }
            out.append(list.is_some());
        }
        Ok(Arc::new(out.finish()))
    }

    /// `beside` is the row's `id_type` for identifiers, else its `platform`.
    fn value(&self, kind: Column, value: &str, beside: Option<&str>) -> String {
        match kind {
            Column::Phone if self.phones => self.phone(value),
            Column::Email if self.emails => self.email(value),
            Column::Identifier => match beside {
                Some("phone" | "wa_user") if self.phones => self.phone(value),
                Some("email") if self.emails => self.email(value),
                Some(t) if self.phones && t.ends_with("_user") => self.parts(value),
                _ => value.to_owned(),
            },
            Column::Person => match value.strip_prefix("p_") {
                Some(_) => format!("p_{}", &self.hash(value)[..16]),
                None => self.free(value, true),
            },
            Column::User if self.phones && beside == Some("whatsapp") => self.phone(value),
            Column::Parts if self.phones => self.parts(value),
            Column::Free => self.free(value, true),
            Column::Other => self.free(value, false),
            Column::Phone | Column::Email | Column::User | Column::Parts => value.to_owned(),
        }
    }

    /// Parts of WhatsApp's ids that are phones or hold one.
    fn parts(&self, value: &str) -> String {
        if !value.contains("wamid.") && !value.contains("whatsapp:") {
            return value.to_owned();
        }
        let mut after_whatsapp = 0;
        let parts: Vec<String> = value
            .split(':')
            .map(|part| {
                after_whatsapp =
                    if part == "whatsapp" { 1 } else { after_whatsapp + usize::from(after_whatsapp > 0) };
                let digits = (8..=15).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
                if part.starts_with("wamid.") {
                    format!("wamid.{}", self.hash(part))
                } else if after_whatsapp == 3 && digits {
                    // The second is the business's own number.
                    self.phone(part)
                } else {
                    part.to_owned()
                }
            })
            .collect();
        parts.join(":")
    }

    fn free(&self, text: &str, bare_digits: bool) -> String {
        let found = personal::find(text, bare_digits);
        if found.is_empty() {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for piece in found {
            let (range, hashed) = match piece {
                Found::Phone(range) if self.phones => {
                    let hashed = self.phone(&personal::folded(&text[range.clone()]));
                    (range, hashed)
                }
                Found::Email(range) if self.emails => {
                    let hashed = self.email(&text[range.clone()]);
                    (range, hashed)
                }
                _ => continue,
            };
            out.push_str(&text[at..range.start]);
            out.push_str(&hashed);
            at = range.end;
        }
        out.push_str(&text[at..]);
        out
    }
}

fn kind_of(name: &str) -> Column {
    let name = name.to_lowercase();
    match name.as_str() {
        "id_value" => Column::Identifier,
        "user_id" | "messenger_user_id" => Column::User,
        "first_text" | "text" | "evidence" | "contact_name" | "username" | "name" | "title" => Column::Free,
        "conversation_id"
        | "message_id"
        | "inquiry_id"
        | "previous_inquiry_id"
        | "touch_id"
        | "conversion_id"
        | "visit_id" => Column::Parts,
        _ if name.ends_with("person_id") => Column::Person,
        _ if name.contains("phone") => Column::Phone,
        _ if name.contains("email") || name.contains("e_mail") => Column::Email,
        _ => Column::Other,
    }
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn plain(column: &ArrayRef) -> Result<StringArray> {
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hashing(phones: bool, emails: bool) -> Hashing {
        Hashing::new(phones, emails, Secret::new("0123456789abcdef"))
    }

    fn batch(columns: &[(&str, Vec<Option<&str>>)]) -> RecordBatch {
        RecordBatch::try_from_iter(
            columns.iter().map(|(n, v)| (*n, Arc::new(StringArray::from(v.clone())) as ArrayRef)),
        )
        .unwrap()
    }

    fn column(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
        let texts = plain(batch.column_by_name(name).unwrap()).unwrap();
        texts.iter().map(|v| v.map(str::to_owned)).collect()
    }

    #[test]
    fn the_hash_is_hmac_sha256() {
        // RFC 4231, test case 2.
        let jefe = Hashing::new(true, true, Secret::new("Jefe"));
        assert_eq!(
            jefe.hash("what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let other = Hashing::new(true, true, Secret::new("fedcba9876543210"));
        assert_ne!(hashing(true, true).hash("+79161234567"), other.hash("+79161234567"));
        assert_ne!(hashing(true, true).fingerprint(), other.fingerprint());
        assert_ne!(hashing(true, true).fingerprint(), hashing(true, false).fingerprint());
    }

    #[test]
    fn a_phone_is_one_hash_wherever_it_stands() {
        let h = hashing(true, true);
        let phone = h.hash("+79161234567");
        let given = batch(&[
            ("phone_e164", vec![Some("+79161234567"), None]),
            ("platform", vec![Some("whatsapp"), Some("telegram")]),
            ("messenger_user_id", vec![Some("79161234567"), Some("79161234567")]),
            (
                "conversation_id",
                vec![Some("whatsapp:106540352242922:79161234567"), Some("telegram:5:79161234567")],
            ),
            ("inquiry_id", vec![Some("whatsapp:wamid.HBgLNzkxNjEyMzQ1NjcVAgA="), Some("telegram:17")]),
            ("first_text", vec![Some("Мой номер 7 (916) 123-45-67, заказ 12345"), Some("нет")]),
            ("campaign_id", vec![Some("79161234567"), Some("1")]),
        ]);
        let out = h.apply(&given).unwrap();
        assert_eq!(column(&out, "phone_e164"), [Some(phone.clone()), None]);
        assert_eq!(column(&out, "messenger_user_id"), [Some(phone.clone()), Some("79161234567".into())]);
        assert_eq!(
            column(&out, "conversation_id"),
            [Some(format!("whatsapp:106540352242922:{phone}")), Some("telegram:5:79161234567".into())]
        );
        let ids = column(&out, "inquiry_id");
        assert!(!ids[0].as_ref().unwrap().contains("HBgL"), "{ids:?}");
        assert_eq!(ids[1].as_deref(), Some("telegram:17"));
        assert_eq!(column(&out, "first_text")[0], Some(format!("Мой номер {phone}, заказ 12345")));
        assert_eq!(
            column(&out, "campaign_id")[0].as_deref(),
            Some("79161234567"),
            "a number of an ad is no phone"
        );
        assert_eq!(out.num_rows(), 2);
    }

    #[test]
    fn identifiers_go_by_their_type_and_persons_are_named_anew() {
        let h = hashing(true, false);
        let given = batch(&[
            ("id_type", vec![Some("phone"), Some("email"), Some("wa_user"), Some("ym_client")]),
            (
                "id_value",
                vec![Some("+79161234567"), Some("a@b.ru"), Some("79161234567"), Some("79161234567")],
            ),
            ("person_id", vec![Some("p_27eb64e965a3b163"); 4]),
        ]);
        let out = h.apply(&given).unwrap();
        let phone = Some(h.hash("+79161234567"));
        assert_eq!(
            column(&out, "id_value"),
            [phone.clone(), Some("a@b.ru".into()), phone, Some("79161234567".into())]
        );
        let person = column(&out, "person_id")[0].clone().unwrap();
        assert!(person.starts_with("p_") && person.len() == 18 && person != "p_27eb64e965a3b163");
    }

    #[test]
    fn only_what_is_asked_for() {
        let given = batch(&[
            ("email", vec![Some(" Anna@Example.org ")]),
            ("phone_e164", vec![Some("+79161234567")]),
            ("referrer", vec![Some("https://x.ru/?mail=anna@example.org&tel=+79161234567")]),
        ]);
        let out = hashing(false, true).apply(&given).unwrap();
        let email = hashing(false, true).hash("anna@example.org");
        assert_eq!(column(&out, "email")[0], Some(email.clone()));
        assert_eq!(column(&out, "phone_e164")[0].as_deref(), Some("+79161234567"));
        assert_eq!(column(&out, "referrer")[0], Some(format!("https://x.ru/?mail={email}&tel=+79161234567")));
    }
}
