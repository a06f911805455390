//! ClickHouse lists as JSON: `['a','it\'s',,3]` becomes `["a","it's",null,3]`.

use crate::tsv::unescape;

/// False, with `out` in any state, when it is no list. Also reads lists whose quotes were escaped a
/// second time (`[\'a\']`).
pub(crate) fn to_json(cell: &str, out: &mut String) -> bool {
    if cell.starts_with("[\\'") {
        let mut once = String::new();
        unescape(cell, &mut once);
        return convert(&once, out);
    }
    convert(cell, out)
}

fn convert(cell: &str, out: &mut String) -> bool {
    let Some(mut rest) = cell.strip_prefix('[').and_then(|c| c.strip_suffix(']')) else { return false };
    out.push('[');
    if !rest.is_empty() {
        loop {
            rest = match item(rest, out) {
                Some(rest) => rest,
                None => return false,
            };
            match rest.strip_prefix(',') {
                Some(more) => {
                    out.push(',');
                    rest = more;
                }
                None if rest.is_empty() => break,
                None => return false,
            }
        }
    }
    out.push(']');
    true
}

/// Writes the first item of `rest`; gives what follows it.
fn item<'a>(rest: &'a str, out: &mut String) -> Option<&'a str> {
    let Some(quoted) = rest.strip_prefix('\'') else {
        let end = rest.find(',').unwrap_or(rest.len());
        let (bare, after) = rest.split_at(end);
        match bare {
            "" | "NULL" => out.push_str("null"),
            _ if is_number(bare) => out.push_str(bare),
            _ => text(bare, out),
        }
        return Some(after);
    };
    let bytes = quoted.as_bytes();
    let mut end = 0;
    while *bytes.get(end)? != b'\'' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    let raw = quoted.get(..end)?;
    if raw.contains('\\') {
        let mut plain = String::new();
        unescape(raw, &mut plain);
        text(&plain, out);
    } else {
        text(raw, out);
    }
    quoted.get(end + 1..)
}

/// As JSON has them: no leading zero, digits on both sides of the point.
fn is_number(text: &str) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').map_or((unsigned, None), |(w, f)| (w, Some(f)));
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(digits)
}

fn text(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn json(cell: &str) -> Option<String> {
        let mut out = String::new();
        to_json(cell, &mut out).then_some(out)
    }

    #[test]
    fn lists_become_json() {
        for (cell, expected) in [
            ("[]", "[]"),
            ("[1,-2,3.50,007]", "[1,-2,3.50,\"007\"]"),
            ("['a','it\\'s, \"so\"','']", "[\"a\",\"it's, \\\"so\\\"\",\"\"]"),
            ("[\\'a\\',\\'b\\']", "[\"a\",\"b\"]"),
            ("[,,,telegram]", "[null,null,null,\"telegram\"]"),
            ("['2026-09-01 10:00:00']", "[\"2026-09-01 10:00:00\"]"),
            ("['при\\tвет\\\\']", "[\"при\\u0009вет\\\\\"]"),
        ] {
            let found = json(cell).unwrap();
            assert_eq!(found, expected, "{cell}");
            serde_json::from_str::<serde_json::Value>(&found).unwrap();
        }
        for bad in ["[", "['a", "['a'b]", "['a\\", "a"] {
            assert_eq!(json(bad), None, "{bad}");
        }
    }
}
