//! What serde says, in the words of somebody who writes TOML.

use crate::suggest;

pub struct Said {
    pub message: String,
    pub hint: Option<String>,
}

/// Rewrites the message of a failed deserialization; any other text comes back as it is.
pub fn humanize(message: &str) -> Said {
    unknown(message, "unknown field ", "unknown key", "keys here")
        .or_else(|| unknown(message, "unknown variant ", "unknown value", "one of"))
        .or_else(|| missing(message))
        .or_else(|| wrong(message))
        .unwrap_or_else(|| Said { message: message.to_owned(), hint: None })
}

/// "unknown field `a`, expected one of `b`, `c`", "..., expected `b` or `c`", "..., there are no fields".
fn unknown(message: &str, prefix: &str, what: &str, all: &str) -> Option<Said> {
    let rest = message.strip_prefix(prefix)?.strip_prefix('`')?;
    let (wrong, rest) = rest.split_once("`, ")?;
    let right: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    Some(Said { message: format!("{what} \"{wrong}\""), hint: suggest::hint(wrong, all, right) })
}

fn missing(message: &str) -> Option<Said> {
    let key = message.strip_prefix("missing field `")?.strip_suffix('`')?;
    Some(Said {
        message: format!("required key \"{key}\" is missing"),
        hint: Some(format!("add {key} = ..")),
    })
}

/// "invalid type: string \"x\", expected u32" and "invalid value: integer `-1`, expected u8".
fn wrong(message: &str) -> Option<Said> {
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    Some(Said {
        message: format!("expected {}, found {}", expectation(expected), finding(found)),
        hint: None,
    })
}

fn finding(found: &str) -> String {
    let value = |name: &str| found.strip_prefix(name).map(|v| v.trim().trim_matches('`').to_owned());
    if let Some(text) = found.strip_prefix("string ") {
        return format!("the text {text}");
    }
    if let Some(v) = value("integer").or_else(|| value("floating point")) {
        return format!("the number {v}");
    }
    if let Some(v) = value("boolean") {
        return v;
    }
    match found {
        "map" => "a table".into(),
        "sequence" => "a list".into(),
        "null" | "unit value" => "nothing".into(),
        other => other.to_owned(),
    }
}

fn expectation(expected: &str) -> String {
    let range = |least: &str, most: &str| format!("a whole number from {least} to {most}");
    match expected {
        "a string" | "string" | "str" | "a borrowed string" => "text".into(),
        "a boolean" | "bool" => "true or false".into(),
        "f64" | "f32" => "a number".into(),
        "i64" | "i32" | "i16" | "i8" | "isize" => "a whole number".into(),
        "u8" => range("0", "255"),
        "u16" => range("0", "65535"),
        "u32" | "u64" | "usize" => "a whole number, 0 or more".into(),
        "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => "a whole number, 1 or more".into(),
        "a map" => "a table".into(),
        "a sequence" => "a list".into(),
        _ if expected.starts_with("struct ") || expected.starts_with("internally tagged enum ") => {
            "a table".into()
        }
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_speaks_to_people() {
        for (said, message, hint) in [
            (
                "unknown field `subdoman`, expected one of `subdomain`, `token`",
                "unknown key \"subdoman\"",
                Some("did you mean \"subdomain\"?"),
            ),
            (
                "unknown field `x`, expected `left` or `right`",
                "unknown key \"x\"",
                Some("keys here: left, right"),
            ),
            ("unknown field `x`, there are no fields", "unknown key \"x\"", None),
            (
                "unknown variant `lst`, expected `first` or `last`",
                "unknown value \"lst\"",
                Some("did you mean \"last\"?"),
            ),
            ("missing field `path`", "required key \"path\" is missing", Some("add path = ..")),
            (
                "invalid type: string \"many, expected\", expected u32",
                "expected a whole number, 0 or more, found the text \"many, expected\"",
                None,
            ),
            (
                "invalid value: integer `-1`, expected u8",
                "expected a whole number from 0 to 255, found the number -1",
                None,
            ),
            ("invalid type: sequence, expected a string", "expected text, found a list", None),
            ("plain words", "plain words", None),
        ] {
            let got = humanize(said);
            assert_eq!(got.message, message);
            assert_eq!(got.hint.as_deref(), hint);
        }
    }
}
