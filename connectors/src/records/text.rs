//! Escapes of JSON strings, resolved without an allocation per string.

/// Appends the text that `raw` (the bytes between the quotes, grammar already checked) stands for.
/// False when a half of a surrogate pair stood alone and became U+FFFD: senders that cut a text in
/// the middle of an emoji make such.
pub(crate) fn unescape(raw: &str, out: &mut String) -> bool {
    let mut whole = true;
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        let mut used = at + 2;
        match escape {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let unit = hex(rest, at + 2);
                used = at + 6;
                let mut symbol = char::from_u32(unit);
                if (0xD800..0xDC00).contains(&unit) && rest.get(used..used + 2) == Some("\\u") {
                    let low = hex(rest, used + 2);
                    if (0xDC00..0xE000).contains(&low) {
                        symbol = char::from_u32(0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
                        used += 6;
                    }
                }
                whole &= symbol.is_some();
                out.push(symbol.unwrap_or('\u{FFFD}'));
            }
            other => out.push(char::from(other)),
        }
        rest = rest.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
    whole
}

fn hex(text: &str, at: usize) -> u32 {
    text.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0xFFFD)
}

/// Appends `text` as a JSON string, quotes included.
pub(crate) fn write_json_string(out: &mut String, text: &str) {
    out.push('"');
    for symbol in text.chars() {
        match symbol {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                use std::fmt::Write;
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// `text` as a JSON string, for [`RecordsBuilder::push_with`](super::RecordsBuilder::push_with).
pub fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_json_string(&mut out, text);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for text in ["Привет, \"мир\"", "😀\u{0}\u{1f}\\/", "مرحبا\t\r\n", ""] {
            let quoted = serde_json::to_string(text).unwrap();
            let mut out = String::new();
            assert!(unescape(&quoted[1..quoted.len() - 1], &mut out));
            assert_eq!(out, text);
            assert_eq!(serde_json::from_str::<String>(&json_string(text)).unwrap(), text);
        }
        let mut out = String::new();
        assert!(unescape(r"\ud83d\ude00\/\b\f", &mut out));
        assert_eq!(out, "😀/\u{8}\u{c}");
        for lone in [r"\ud83d", r"\ud83dx", r"\ude00", r"\ud83d\n", r"\ud83d\u0041"] {
            out.clear();
            assert!(!unescape(lone, &mut out), "{lone}");
            assert!(out.starts_with('\u{FFFD}'));
        }
    }
}
