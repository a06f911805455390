//! Events of a site: `{"v": 1, "events": [{"id": .., "kind": .., "at": .., ..}]}` as the tracker sends them.
//!
//! Each event becomes a delivery of its own, its JSON as it came, known by its `id`.

use serde::Deserialize;
use serde_json::value::RawValue;
use throughline_store::inbox::DeliveryHash;

/// Events in one request at most.
const MOST: usize = 200;

/// One event and what it is known by.
#[derive(Debug)]
pub struct Event {
    pub key: DeliveryHash,
    /// A JSON object.
    pub json: String,
}

#[derive(Deserialize)]
struct Body<'a> {
    v: u32,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Head {
    id: String,
    kind: Kind,
    at: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Visit,
    Page,
    Click,
    Consent,
}

/// The events of a body, and how many others it held that are none.
///
/// # Errors
/// The body is not of this shape at all.
pub fn events(body: &[u8]) -> Result<(Vec<Event>, usize), &'static str> {
    let text = std::str::from_utf8(body).map_err(|_| "encoding")?;
    let body: Body<'_> = serde_json::from_str(text).map_err(|_| "body")?;
    if body.v != 1 {
        return Err("version");
    }
    if body.events.len() > MOST {
        return Err("too_many_events");
    }
    let mut good = Vec::with_capacity(body.events.len());
    let mut bad = 0;
    for event in body.events {
        match serde_json::from_str::<Head>(event.get()) {
            Ok(head) if is_id(&head.id) && head.at.is_finite() => {
                // Every kind is kept alike; which there are is what was checked.
                let (Kind::Visit | Kind::Page | Kind::Click | Kind::Consent) = head.kind;
                good.push(Event { key: DeliveryHash::of(head.id.as_bytes()), json: event.get().to_owned() });
            }
            _ => bad += 1,
        }
    }
    Ok((good, bad))
}

fn is_id(id: &str) -> bool {
    (16..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn whole_events_are_taken_and_others_counted() {
        let body = r#"{"v":1,"events":[
            {"id":"0123456789abcdef","kind":"visit","at":1767225600000,"title":"Привет"},
            {"id":"short","kind":"visit","at":1},
            {"id":"0123456789abcdeg","kind":"other","at":1},
            {"id":"0123456789abcdeh","kind":"click"},
            [], 7]}"#;
        let (good, bad) = events(body.as_bytes()).unwrap();
        assert_eq!((good.len(), bad), (1, 5));
        assert!(good[0].json.contains("Привет"));
        assert_eq!(good[0].key, DeliveryHash::of(b"0123456789abcdef"));
        let many = format!(r#"{{"v":1,"events":[{}1]}}"#, "1,".repeat(MOST));
        for (bad, why) in
            [("", "body"), ("{}", "body"), (r#"{"v":2,"events":[]}"#, "version"), (&many, "too_many_events")]
        {
            assert_eq!(events(bad.as_bytes()).unwrap_err(), why, "{bad}");
        }
        assert_eq!(events(&[0xFF]).unwrap_err(), "encoding");
    }
}
