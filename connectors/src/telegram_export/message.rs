//! What of a message Telegram writes in more than one way.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(super) struct Message<'a> {
    pub id: i64,
    #[serde(borrow, default)]
    date_unixtime: Option<&'a RawValue>,
    #[serde(borrow, default)]
    date: Option<&'a RawValue>,
    #[serde(borrow, default)]
    from_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    actor_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text_entities: Option<&'a RawValue>,
}

/// A piece of a text: its words, or what they are too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Piece {
    Words(String),
    Entity { text: String },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Whole(String),
    Pieces(Vec<Piece>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(i64),
    Text(String),
}

fn number(raw: Option<&RawValue>, before: &str) -> Option<i64> {
    match serde_json::from_str(raw?.get()).ok()? {
        Number::Number(number) => Some(number),
        Number::Text(text) => text.strip_prefix(before)?.parse().ok(),
    }
}

impl Message<'_> {
    /// Unix seconds; old exports have none.
    pub fn sent_unix(&self) -> Option<i64> {
        number(self.date_unixtime, "").filter(|s| *s > 0)
    }

    pub fn has_date(&self) -> bool {
        self.date.is_some_and(|d| d.get().starts_with('"'))
    }

    /// The person who wrote or did it: `user123`, in old exports 123. Channels are no persons.
    pub fn person(&self) -> Option<i64> {
        number(self.from_id.or(self.actor_id), "user")
    }

    /// Its words alone. `text_entities` are always a list; old exports have only `text`.
    pub fn words(&self) -> Option<String> {
        let read = |raw: &RawValue| match serde_json::from_str(raw.get()).ok()? {
            Text::Whole(text) => Some(text),
            Text::Pieces(pieces) => Some(
                pieces
                    .into_iter()
                    .map(|piece| match piece {
                        Piece::Words(text) | Piece::Entity { text } => text,
                    })
                    .collect(),
            ),
        };
        let words = self.text_entities.and_then(read).filter(|w| !w.is_empty());
        words.or_else(|| self.text.and_then(read)).filter(|w| !w.is_empty())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn new_and_old_exports() {
        let new = r#"{"id":1,"date_unixtime":"1767225600","from_id":"user5","text":["x"],
            "text_entities":[{"type":"plain","text":"Каталог: "},{"type":"link","text":"https://a.example"}]}"#;
        let new: Message<'_> = serde_json::from_str(new).unwrap();
        assert_eq!((new.sent_unix(), new.person()), (Some(1_767_225_600), Some(5)));
        assert_eq!(new.words().as_deref(), Some("Каталог: https://a.example"));
        let old = r#"{"id":1,"date":"2018-01-01T03:00:00","from_id":5,"text":["مرحبا ",{"type":"bold","text":"!"}]}"#;
        let old: Message<'_> = serde_json::from_str(old).unwrap();
        assert_eq!((old.sent_unix(), old.person(), old.has_date()), (None, Some(5), true));
        assert_eq!(old.words().as_deref(), Some("مرحبا !"));
        let odd = r#"{"id":1,"from_id":"channel5","actor_id":"user6","text":{"a":1},"text_entities":7}"#;
        let odd: Message<'_> = serde_json::from_str(odd).unwrap();
        assert_eq!((odd.person(), odd.words()), (None, None));
    }
}
