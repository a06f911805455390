//! Phones and e-mails inside text.

use std::ops::Range;

/// Where one stands, in bytes of the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    Phone(Range<usize>),
    Email(Range<usize>),
}

/// Digits of a phone with its country: fewer may be anything.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 9..=15;

/// Phones and e-mails in the order in which they stand; they do not overlap.
///
/// A phone is a `+` and 9 to 15 digits, or as many digits written in groups; with `bare_digits` also in one
/// group. A run of digits that goes on as a word or a longer number is none.
pub fn find(text: &str, bare_digits: bool) -> Vec<Found> {
    let mut found = emails(text);
    let spoken = |range: &Range<usize>, found: &[Found]| {
        found.iter().any(|f| matches!(f, Found::Email(e) if e.start < range.end && range.start < e.end))
    };
    let mut chars = text.char_indices().peekable();
    let mut before = None;
    while let Some(&(start, c)) = chars.peek() {
        let begins = digit(c).is_some() || c == '+' || c == '＋' || c == '(';
        if !begins || before.is_some_and(|b: char| b.is_alphanumeric() || b == '_') {
            before = Some(c);
            chars.next();
            continue;
        }
        // The longest stretch of digits and what stands between groups of them.
        let (mut end, mut digits, mut groups, mut in_group) = (start, 0, 0, false);
        let mut between = 0;
        let plus = c == '+' || c == '＋';
        while let Some(&(at, c)) = chars.peek() {
            if digit(c).is_some() {
                groups += usize::from(!in_group);
                (in_group, between) = (true, 0);
                digits += 1;
                end = at + c.len_utf8();
            } else if (at == start && plus) || (separator(c) && between < 3) {
                in_group = false;
                between += 1;
            } else {
                break;
            }
            before = Some(c);
            chars.next();
        }
        let after = text[end..].chars().next();
        let goes_on = after.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let range = start..end;
        if PHONE_DIGITS.contains(&digits)
            && (plus || groups > 1 || bare_digits)
            && !goes_on
            && !spoken(&range, &found)
        {
            found.push(Found::Phone(range));
        }
        if end == start {
            // A bracket or a plus before something else.
            before = Some(c);
            if chars.peek().is_some_and(|(at, _)| *at == start) {
                chars.next();
            }
        }
    }
    found.sort_by_key(|f| match f {
        Found::Phone(r) | Found::Email(r) => r.start,
    });
    found
}

fn emails(text: &str) -> Vec<Found> {
    let local = |c: char| c.is_alphanumeric() || "._%+-".contains(c);
    let domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    let mut found = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices('@') {
        let Some(before) = text.get(from..at) else { continue };
        let start = before.char_indices().rev().take_while(|(_, c)| local(*c)).last().map(|(i, _)| from + i);
        let behind = &text[at + 1..];
        let length: usize = behind.chars().take_while(|c| domain(*c)).map(char::len_utf8).sum();
        let host = behind[..length].trim_end_matches(['.', '-']);
        let Some(start) = start else { continue };
        if host.contains('.') && !host.starts_with('.') {
            let end = at + 1 + host.len();
            found.push(Found::Email(start..end));
            from = end;
        }
    }
    found
}

/// Text with digits of other scripts as ASCII.
pub fn folded(text: &str) -> String {
    text.chars()
        .map(|c| match (digit(c), c) {
            (Some(d), _) => d,
            (None, '＋') => '+',
            (None, c) => c,
        })
        .collect()
}

pub fn digit(c: char) -> Option<char> {
    let zero = match c {
        '0'..='9' => return Some(c),
        '\u{660}'..='\u{669}' => 0x660,
        '\u{6f0}'..='\u{6f9}' => 0x6f0,
        '\u{966}'..='\u{96f}' => 0x966,
        '\u{ff10}'..='\u{ff19}' => 0xff10,
        _ => return None,
    };
    char::from_u32(u32::from(c) - zero + u32::from('0'))
}

fn separator(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '-' | '(' | ')' | '.' | '/' | '\u{2010}'..='\u{2015}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, bare: bool) -> Vec<&str> {
        find(text, bare)
            .into_iter()
            .map(|f| match f {
                Found::Phone(r) | Found::Email(r) => &text[r],
            })
            .collect()
    }

    #[test]
    fn phones_and_addresses_as_people_write_them() {
        assert_eq!(texts("звоните +7 916 123-45-67!", false), ["+7 916 123-45-67"]);
        assert_eq!(
            texts("8(916)123-45-67 или anna@example.org.", false),
            ["8(916)123-45-67", "anna@example.org"]
        );
        assert_eq!(texts("رقمي ٠٥٠ ١٢٣ ٤٥٦٧", true), ["٠٥٠ ١٢٣ ٤٥٦٧"]);
        assert_eq!(texts("79161234567", true), ["79161234567"]);
        assert_eq!(texts("79161234567", false), [""; 0], "it may be the number of anything");
        assert_eq!(texts("почта: Иван.Петров@почта.рф", false), ["Иван.Петров@почта.рф"]);
        for none in [
            "заказ 12345",
            "HHR3D1196WD",
            "id79161234567",
            "79161234567x",
            "1234567890123456789",
            "@",
            "a@",
            "@b.c",
            "+",
            "((((",
            "2026-03-01",
            "a@b",
            "",
        ] {
            assert_eq!(texts(none, true), [""; 0], "{none}");
        }
        assert_eq!(texts("+79161234567,+79037654321", false), ["+79161234567", "+79037654321"]);
    }

    #[test]
    fn no_text_makes_it_panic() {
        let pieces = ["+", "7916", "٠", "-", "(", ")", "@", "a", ".", "ж", " ", "＋", "🙂", "\u{202f}", "12"];
        let mut seed = 11_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..seed % 14 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            for bare in [true, false] {
                let found = texts(&text, bare);
                assert!(found.iter().all(|f| !f.is_empty()), "{text:?}");
            }
        }
    }
}
