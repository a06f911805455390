//! Names and texts inside statements.
//!
//! PostgreSQL cuts names after 63 bytes (NAMEDATALEN - 1) without an error, so that two long names could
//! become one. Ours are cut first, at a character, and end in a hash of the whole.

use sha2::{Digest as _, Sha256};
use throughline_core::{Error, Result};

const LONGEST: usize = 63;

/// Columns that every table has in secret (manual, "System Columns").
const SYSTEM_COLUMNS: [&str; 7] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", "oid"];

/// The name a table gets in the database.
pub(super) fn relation(name: &str) -> Result<String> {
    if name.is_empty() || name.contains('\0') {
        return Err(Error::config(format!("{name:?} cannot be the name of a table in PostgreSQL")));
    }
    Ok(shortened(name))
}

/// The name a column gets in the database.
pub(super) fn column(name: &str) -> Result<String> {
    if name.is_empty() || name.contains('\0') {
        return Err(Error::config(format!("{name:?} cannot be the name of a column in PostgreSQL")));
    }
    // `xmin_` cannot clash silently: equal columns of a table are refused.
    Ok(if SYSTEM_COLUMNS.contains(&name) { format!("{name}_") } else { shortened(name) })
}

/// At most 63 bytes, and different for different names.
pub(super) fn shortened(name: &str) -> String {
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let hash = hex(name.as_bytes(), 8);
    let mut end = LONGEST - 1 - hash.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}_{hash}", &name[..end])
}

/// The first `digits` hexadecimal digits of SHA-256.
pub(super) fn hex(bytes: &[u8], digits: usize) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(digits + 2);
    for byte in Sha256::digest(bytes).iter().take(digits.div_ceil(2)) {
        let _ = write!(out, "{byte:02x}");
    }
    out.truncate(digits);
    out
}

/// The key of an advisory lock: the same in every process.
pub(super) fn lock_key(what: &str) -> i64 {
    let hash = Sha256::digest(format!("throughline {what}").as_bytes());
    hash.iter().take(8).fold(0_i64, |key, byte| (key << 8) | i64::from(*byte))
}

/// `"name"`, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `"schema"."name"`
pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}

/// `'text'`. A NUL, which PostgreSQL has no place for, becomes U+FFFD.
pub(super) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''").replace('\0', "\u{fffd}");
    // Backslashes mean themselves only with standard_conforming_strings, which a role may have set off.
    if doubled.contains('\\') {
        format!(" E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_at_characters_and_stay_different() {
        let long = "кампания_".repeat(10);
        let (one, two) = (relation(&format!("{long}1")).unwrap(), relation(&format!("{long}2")).unwrap());
        assert!(one.len() <= 63 && two.len() <= 63 && one != two, "{one} {two}");
        assert!(one.starts_with("кампания_"));
        let exact = "x".repeat(63);
        assert_eq!(relation(&exact).unwrap(), exact);
        assert_eq!(column("xmin").unwrap(), "xmin_");
        assert_eq!(column("مبلغ").unwrap(), "مبلغ");
        assert!(relation("").is_err() && column("a\0b").is_err());
    }

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("\\' or 1=1"), " E'\\\\'' or 1=1'");
        assert_eq!(literal("a\0b"), "'a\u{fffd}b'");
    }
}
