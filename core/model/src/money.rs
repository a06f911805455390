//! Money: whole minor units of a currency in an `i64`, and exact decimal text in and out.

use std::fmt::Write;

/// How many decimal places a currency has, by its ISO 4217 code in any case.
///
/// Currencies that are not 2 are from ISO 4217 list one (the maintenance agency, SIX,
/// <https://www.six-group.com/en/products-services/financial-information/data-standards.html>,
/// column "Mnr unt"). Codes that the list gives no minor unit (gold, special drawing rights, tests)
/// and what is not three letters have none.
pub fn exponent(currency: &str) -> Option<u32> {
    let currency = currency.trim();
    let code: [u8; 3] = currency.as_bytes().try_into().ok()?;
    let code = code.map(|b| b.to_ascii_uppercase());
    if !code.iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    Some(match &code {
        b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF" | b"UGX"
        | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
        b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
        b"CLF" | b"UYW" => 4,
        b"XAG" | b"XAU" | b"XBA" | b"XBB" | b"XBC" | b"XBD" | b"XDR" | b"XPD" | b"XPT" | b"XSU" | b"XTS"
        | b"XUA" | b"XXX" => return None,
        _ => 2,
    })
}

/// An amount as a vendor writes it (`1200`, `-12.345`, `1.2e3`) in minor units of a currency,
/// rounded half away from zero. `None` for anything else (`1,200`, `12 руб.`), an unknown currency
/// or more than fits.
pub fn minor_units(amount: &str, currency: &str) -> Option<i64> {
    let (digits, scale) = parse_decimal(amount)?;
    scaled(digits, scale, exponent(currency)?)
}

/// The same from `value / 10^scale`, arrow's form of a decimal.
pub fn minor_units_of_decimal(value: i128, scale: i8, currency: &str) -> Option<i64> {
    scaled(value, i32::from(scale), exponent(currency)?)
}

/// `value * 10^(exponent - scale)`, half away from zero.
fn scaled(value: i128, scale: i32, exponent: u32) -> Option<i64> {
    if value == 0 {
        return Some(0);
    }
    let shift = i32::try_from(exponent).ok()? - scale;
    let power = 10_i128.checked_pow(shift.unsigned_abs());
    let whole = match (shift >= 0, power) {
        (true, power) => value.checked_mul(power?)?,
        // Divided by more than any value has digits.
        (false, None) => 0,
        (false, Some(power)) => {
            let rest = value % power;
            let up = rest.unsigned_abs() >= power.unsigned_abs().div_ceil(2);
            value / power + if up { value.signum() } else { 0 }
        }
    };
    i64::try_from(whole).ok()
}

/// Digits and scale of plain decimal text with an optional sign and exponent, as in JSON.
fn parse_decimal(text: &str) -> Option<(i128, i32)> {
    let text = text.trim();
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let mut value = 0_i128;
    let mut scale = 0_i32;
    let mut point = false;
    let mut any = false;
    for b in mantissa.bytes() {
        match b {
            b'0'..=b'9' => {
                any = true;
                value = value.checked_mul(10)?.checked_add(i128::from(b - b'0'))?;
                scale += i32::from(point);
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    let value = if negative { -value } else { value };
    any.then_some((value, scale.checked_sub(exponent)?))
}

/// Splits `total` minor units by `shares`, which need not sum to 1: each gets its share rounded
/// down, and the missing units go one by one to the largest fractional parts, ties to the earlier.
/// The parts sum to `total` exactly; those of `-total` are the same with the other sign, so that a
/// full refund nets to zero line by line. `None` when there is nothing to split by: no share above
/// zero, or one that is negative or not a number.
pub fn split_largest_remainder(shares: &[f64], total: i64) -> Option<Vec<i64>> {
    let sum: f64 = shares.iter().sum();
    if shares.iter().any(|s| !s.is_finite() || *s < 0.0) || !sum.is_finite() || sum <= 0.0 {
        return None;
    }
    let sign = i128::from(total.signum());
    let amount = i128::from(total).abs();
    let mut parts = Vec::with_capacity(shares.len());
    let mut fractions = Vec::with_capacity(shares.len());
    for share in shares {
        let exact = share / sum * amount as f64;
        // What arithmetic left of a whole number, or took from it, is no fraction.
        let nearest = exact.round();
        let exact = if (exact - nearest).abs() < 1e-9_f64.max(nearest * 4.0 * f64::EPSILON) {
            nearest
        } else {
            exact
        };
        let whole = exact.floor();
        parts.push(whole as i128);
        // Equal shares must tie though their last bits differ.
        fractions.push(((exact - whole) * 1e9).round() as i64);
    }
    let mut missing = amount - parts.iter().sum::<i128>();
    let mut order: Vec<usize> = (0..shares.len()).filter(|i| shares[*i] > 0.0).collect();
    order.sort_by_key(|i| std::cmp::Reverse(fractions[*i]));
    // Usually fewer units than shares are missing; beyond 2^53 a float is off by more.
    let count = order.len() as i128;
    for (place, i) in order.iter().enumerate() {
        let ahead = place as i128;
        if missing > 0 {
            parts[*i] += (missing - ahead + count - 1).div_euclid(count).max(0);
        }
    }
    missing = amount - parts.iter().sum::<i128>();
    // Rounding gave too much: taken back from the smallest fractions, never below zero.
    for i in order.iter().rev().cycle().take(order.len() * 2) {
        let back = (-missing).clamp(0, parts[*i]);
        parts[*i] -= back;
        missing += back;
    }
    parts.into_iter().map(|p| i64::try_from(p * sign).ok()).collect()
}

/// Minor units as text in major units: `-1205, "RUB"` is `-12.05`. `None` for an unknown currency.
pub fn minor_to_text(minor: i64, currency: &str) -> Option<String> {
    let places = exponent(currency)? as usize;
    let sign = if minor < 0 { "-" } else { "" };
    let mut text = format!("{sign}{:0>width$}", minor.unsigned_abs(), width = places + 1);
    if places > 0 {
        text.insert(text.len() - places, '.');
    }
    Some(text)
}

/// Appends `value / 10^scale` in plain digits, without zeros at the end: `12500, 3` is `12.5`.
pub fn write_decimal(out: &mut String, value: i128, scale: i8) {
    let digits = value.unsigned_abs();
    if value < 0 {
        out.push('-');
    }
    let places = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        let _ = write!(out, "{digits}");
        if digits != 0 {
            out.extend(std::iter::repeat_n('0', places));
        }
        return;
    }
    let _ = write!(out, "{digits:0>width$}", width = places + 1);
    let point = out.len() - places;
    out.insert(point, '.');
    let end = out.trim_end_matches('0').trim_end_matches('.').len();
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn amounts_in_minor_units() {
        for (amount, currency, minor) in [
            ("1200", "RUB", 120_000),
            ("12.345", "rub", 1235),
            ("-12.345", "RUB", -1235),
            ("12.3449999", " USD ", 1234),
            ("0.005", "EUR", 1),
            ("-0.004", "EUR", 0),
            (".5", "EUR", 50),
            ("5.", "EUR", 500),
            ("+7", "JPY", 7),
            ("7.5", "JPY", 8),
            ("1.2345", "KWD", 1235),
            ("1", "CLF", 10_000),
            ("1.5e3", "USD", 150_000),
            ("15E-4", "USD", 0),
            ("0e99", "USD", 0),
            ("92233720368547758.07", "USD", i64::MAX),
            ("-92233720368547758.08", "USD", i64::MIN),
            ("0.00000000000000000000000000000000001", "USD", 0),
            ("1e-400", "USD", 0),
        ] {
            assert_eq!(minor_units(amount, currency), Some(minor), "{amount} {currency}");
        }
        for (amount, currency) in [
            ("", "RUB"),
            (".", "RUB"),
            ("-", "RUB"),
            ("1,200", "RUB"),
            ("12 руб.", "RUB"),
            ("1 200", "RUB"),
            ("0x10", "RUB"),
            ("NaN", "RUB"),
            ("1e", "RUB"),
            ("1e999999999999", "RUB"),
            ("1e400", "RUB"),
            ("1..2", "RUB"),
            ("--1", "RUB"),
            ("٣", "RUB"),
            ("92233720368547758.08", "USD"),
            ("1", "XXX"),
            ("1", ""),
            ("1", "₽"),
            ("1", "RU"),
            ("1", "R1B"),
            ("1e-2147483648", "RUB"),
            ("99999999999999999999999999999999999999999", "RUB"),
        ] {
            assert_eq!(minor_units(amount, currency), None, "{amount} {currency}");
        }
        assert_eq!(minor_units_of_decimal(12_345_000_000, 9, "RUB"), Some(1235));
        assert_eq!(minor_units_of_decimal(12, -2, "RUB"), Some(120_000));
    }

    #[test]
    fn text_of_amounts() {
        let minor = |m, c| minor_to_text(m, c).unwrap();
        assert_eq!(
            [minor(-1205, "RUB"), minor(5, "RUB"), minor(0, "RUB"), minor(-7, "JPY"), minor(1, "KWD")],
            ["-12.05", "0.05", "0.00", "-7", "0.001"]
        );
        assert_eq!(minor(i64::MIN, "USD"), "-92233720368547758.08");
        let decimal = |value, scale| {
            let mut out = "=".to_string();
            write_decimal(&mut out, value, scale);
            out
        };
        assert_eq!(decimal(12_500_000_000, 9), "=12.5");
        assert_eq!(decimal(-1, 9), "=-0.000000001");
        assert_eq!(
            [decimal(0, 9), decimal(100, 2), decimal(100, 0), decimal(3, -2), decimal(0, -2)],
            ["=0", "=1", "=100", "=300", "=0"]
        );
        assert_eq!(decimal(i128::MIN, 38), "=-1.70141183460469231731687303715884105728");
    }

    #[test]
    fn parts_of_a_split_sum_to_the_total() {
        let third = 1.0 / 3.0;
        assert_eq!(split_largest_remainder(&[third; 3], 1000).unwrap(), [334, 333, 333]);
        assert_eq!(split_largest_remainder(&[third; 3], -1000).unwrap(), [-334, -333, -333]);
        assert_eq!(split_largest_remainder(&[0.4, 0.2, 0.4], 101).unwrap(), [41, 20, 40]);
        assert_eq!(split_largest_remainder(&[0.29, 0.71], 100).unwrap(), [29, 71]);
        assert_eq!(split_largest_remainder(&[0.1, 0.2, 0.3, 0.4], 1).unwrap(), [0, 0, 0, 1]);
        assert_eq!(split_largest_remainder(&[0.0, 1.0, 0.0], 7).unwrap(), [0, 7, 0]);
        assert_eq!(split_largest_remainder(&[2.0, 2.0], 5).unwrap(), [3, 2]);
        assert_eq!(split_largest_remainder(&[1.0], i64::MIN).unwrap(), [i64::MIN]);
        for nothing in [&[][..], &[0.0], &[f64::NAN, 1.0], &[-0.1, 1.1], &[f64::INFINITY]] {
            assert_eq!(split_largest_remainder(nothing, 5), None);
        }
        let mut seed = 1_u64;
        let mut next = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 11
        };
        for _ in 0..2000 {
            let shares: Vec<f64> = (0..next() % 9 + 1).map(|_| (next() % 100) as f64 + 0.001).collect();
            let total = next() as i64 >> (next() % 53) as u32;
            let parts = split_largest_remainder(&shares, total).unwrap();
            assert_eq!(parts.iter().map(|p| i128::from(*p)).sum::<i128>(), i128::from(total));
            let sum: f64 = shares.iter().sum();
            for (part, share) in parts.iter().zip(&shares) {
                let exact = share / sum * total as f64;
                assert!((*part as f64 - exact).abs() <= 1.0 + exact.abs() * 1e-12, "{part} for {exact}");
            }
        }
    }
}
