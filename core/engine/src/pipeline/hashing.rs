//! `hash` and `hash_key` of a `[[sink]]`.

use super::document::is_secret_form;
use super::secrets::Secrets;
use super::section::Section;
use crate::publish::hashing::{Hashing, SHORTEST_KEY};
use crate::suggest;

const KINDS: [&str; 2] = ["phone", "email"];
const KEY_HINT: &str =
    "add hash_key = { env = \"NAME\" } with 16 bytes or more, e.g. of `openssl rand -hex 32`";

/// What the sink is to get hashed, if anything. Mistakes are reported.
pub fn read(section: &Section<'_>, secrets: &Secrets<'_>) -> Option<Hashing> {
    let kinds = section.texts("hash");
    let key = section.value("hash_key");
    let Some(kinds) = kinds else {
        if let Some(key) = key
            && !section.table.contains_key("hash")
        {
            let message = "hash_key without hash: nothing would be hashed";
            section.error(key.span(), message, "add hash = [\"phone\", \"email\"]".to_owned());
        }
        return None;
    };
    if kinds.value.is_empty() {
        let hint = "name phone, email or both, or remove it".to_owned();
        section.error(kinds.span.clone(), "the list of what to hash is empty", hint);
    }
    let mut chosen: Vec<&str> = Vec::new();
    for kind in &kinds.value {
        if !KINDS.contains(&kind.value) {
            let hint = suggest::hint(kind.value, "kinds", KINDS);
            section.error(kind.span.clone(), format!("\"{}\" cannot be hashed", kind.value), hint);
        } else if chosen.contains(&kind.value) {
            section.error(kind.span.clone(), format!("\"{}\" is listed twice", kind.value), None);
        }
        chosen.push(kind.value);
    }
    let Some(key) = key else {
        section.error(
            kinds.span,
            "hash needs a key, lest anybody could try all phone numbers",
            KEY_HINT.to_owned(),
        );
        return None;
    };
    if !is_secret_form(key.get_ref()) {
        section.error(key.span(), "hash_key is a secret and is not written in clear", KEY_HINT.to_owned());
        return None;
    }
    let who = section.who.borrow().clone();
    let secret = match secrets.resolve(&who, key) {
        Some(secret) => secret,
        // Other secrets are not missed in a replay; without this one phones would go out in clear.
        None if secrets.replayed => {
            section.error(
                key.span(),
                "hash_key is not set, and is needed in a replay too",
                KEY_HINT.to_owned(),
            );
            return None;
        }
        None => return None,
    };
    if secret.expose().len() < SHORTEST_KEY {
        let message =
            format!("hash_key has {} bytes; at least {SHORTEST_KEY} are needed", secret.expose().len());
        section.error(key.span(), message, "make one with `openssl rand -hex 32`".to_owned());
        return None;
    }
    Some(Hashing::new(chosen.contains(&"phone"), chosen.contains(&"email"), secret))
}
