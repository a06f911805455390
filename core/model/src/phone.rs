//! Phone numbers as people write them, to E.164 (`+79161234567`).
//!
//! By the rules and data of libphonenumber, through its Rust port. Digits of other scripts
//! (Arabic-Indic, full-width) are digits; an extension is kept apart; a number that is not possible
//! in its country (too short, too long, no such code) is none.

use std::fmt::Write;

pub use rlibphonenumber::Region;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber};

/// The library reads no more than this; a longer text is no phone number.
const MAX_CHARS: usize = 250;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone {
    /// `+` and at most 15 digits.
    pub e164: String,
    /// The country, two letters; none for numbers of no country (satellites, toll-free +800).
    pub region: Option<String>,
    /// Digits behind `доб.`, `ext.`, `x`.
    pub extension: Option<String>,
    /// Assigned by the country's numbering plan, not merely of a possible length.
    pub valid: bool,
}

/// A country by its ISO 3166 code, in any case; `None` for what libphonenumber has no numbers of.
pub fn region(code: &str) -> Option<Region> {
    let region = Region::try_from(code.trim().to_ascii_uppercase().as_str()).ok()?;
    PHONE_NUMBER_UTIL.get_country_code_for_region(region).map(|_| region)
}

/// Reads a number; one without `+` or an international prefix is taken for one of `home`.
pub fn parse(text: &str, home: Option<Region>) -> Option<Phone> {
    let number = possible(text, home)?;
    let mut e164 = String::new();
    write_e164(&mut e164, &number);
    Some(Phone {
        e164,
        region: number.get_region_code().map(|r| r.to_string()),
        valid: number.is_valid(),
        extension: number.extension.filter(|e| !e.is_empty()),
    })
}

/// Appends the E.164 form of a number to `out`; `false`, and nothing appended, when it is none.
pub fn write_if_phone(out: &mut String, text: &str, home: Option<Region>) -> bool {
    match possible(text, home) {
        Some(number) => {
            write_e164(out, &number);
            true
        }
        None => false,
    }
}

fn possible(text: &str, home: Option<Region>) -> Option<PhoneNumber> {
    // Cheaper than the library's own way to the same answer for the many empty fields.
    if text.len() < 3 || text.chars().nth(MAX_CHARS).is_some() {
        return None;
    }
    let number = PHONE_NUMBER_UTIL.parse(text, home).ok()?;
    PHONE_NUMBER_UTIL.is_possible_number(&number).then_some(number)
}

fn write_e164(out: &mut String, number: &PhoneNumber) {
    let national = rlibphonenumber::get_national_significant_number_owned(number);
    let _ = write!(out, "+{}{national}", number.country_code);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn regions_by_code() {
        assert_eq!(region(" ru "), Some(Region::RU));
        assert_eq!(region("AE"), Some(Region::AE));
        for unknown in ["", "R", "ZZ", "RUS", "Россия", "1!"] {
            assert_eq!(region(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn digits_of_other_scripts_extensions_and_rubbish() {
        let e164 = |text: &str, home| parse(text, region(home)).map(|p| p.e164);
        assert_eq!(e164("＋７ ９１６ １２３ ４５ ６７", "").as_deref(), Some("+79161234567"));
        assert_eq!(e164("۰۹۱۲۳۴۵۶۷۸۹", "IR").as_deref(), Some("+989123456789"));
        assert_eq!(e164("8 916 123-45-67", ""), None, "no country to take it for");
        assert_eq!(parse("+7 495 123-45-67 ext. 890", None).unwrap().extension.as_deref(), Some("890"));
        assert_eq!(e164("+39 06 698 00000", "RU").as_deref(), Some("+390669800000"), "Italy keeps its zero");
        for rubbish in [
            "+",
            "++++++",
            "+7",
            "+79",
            "+999999999999999",
            "\u{0}\u{0}\u{0}\u{0}",
            "🙂🙂🙂🙂",
            "tel:",
            ";ext=1",
            "12345678901234567890",
        ] {
            assert_eq!(e164(rubbish, "RU"), None, "{rubbish:?}");
        }
        assert_eq!(e164(&"9".repeat(10_000), "RU"), None);
        let mut out = "x".to_string();
        assert!(!write_if_phone(&mut out, "нет", region("RU")) && out == "x");
        assert!(write_if_phone(&mut out, "9161234567", region("RU")) && out == "x+79161234567");
    }

    #[test]
    fn no_text_makes_it_panic() {
        let pieces = [
            "+", "7", "916", "٠", "-", "(", ")", "доб.", "ext", ";", "tel:", "=", "\u{200f}", "x", "#", ",",
            " ", "00", "~", "Ж",
        ];
        let mut seed = 7_u64;
        for _ in 0..3000 {
            let mut text = String::new();
            for _ in 0..seed % 12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if let Some(phone) = parse(&text, Some(Region::RU)) {
                assert!(
                    phone.e164.starts_with('+') && phone.e164[1..].bytes().all(|b| b.is_ascii_digit()),
                    "{text}"
                );
            }
        }
    }
}
