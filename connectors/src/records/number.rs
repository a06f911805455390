//! JSON numbers without a `f64` in between: what is exact stays exact.

/// Digits behind the point in `Decimal128(38, 9)`.
const SCALE: i64 = 9;
/// Digits before the point.
const WHOLE: i64 = 29;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberKind {
    /// Fits `i64`.
    Int,
    /// Fits `Decimal128(38, 9)` exactly.
    Decimal,
    /// Fits neither: its text is all that keeps every digit.
    Text,
}

/// `token` is a number by JSON's grammar.
#[inline]
pub(crate) fn kind(token: &[u8]) -> NumberKind {
    if token.len() <= 18 && token.iter().all(|b| b.is_ascii_digit() || *b == b'-') {
        return NumberKind::Int;
    }
    if token.iter().any(|b| matches!(b, b'.' | b'e' | b'E')) {
        return match Parts::of(token) {
            Some(parts) if parts.fits() => NumberKind::Decimal,
            _ => NumberKind::Text,
        };
    }
    if parse_int(token).is_some() {
        NumberKind::Int
    } else if Parts::of(token).is_some_and(|p| p.fits()) {
        NumberKind::Decimal
    } else {
        NumberKind::Text
    }
}

pub(crate) fn parse_int(token: &[u8]) -> Option<i64> {
    // i64's parser also takes a plus sign, which the grammar has already refused.
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// The value times 10^9.
pub(crate) fn parse_decimal(token: &[u8]) -> Option<i128> {
    let parts = Parts::of(token)?;
    if !parts.fits() {
        return None;
    }
    let mut value: i128 = 0;
    for digit in parts.digits() {
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    for _ in 0..SCALE + parts.exponent {
        value = value.checked_mul(10)?;
    }
    Some(if parts.negative { -value } else { value })
}

/// `digits * 10^exponent`, without zeros at either end of the digits.
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Parts<'a> {
    fn of(token: &'a [u8]) -> Option<Self> {
        let (negative, token) = match token.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, token),
        };
        let (mantissa, exponent) = match token.iter().position(|b| matches!(b, b'e' | b'E')) {
            None => (token, 0),
            Some(e) => (&token[..e], std::str::from_utf8(&token[e + 1..]).ok()?.parse::<i32>().ok()?),
        };
        let (whole, fraction) = match mantissa.iter().position(|b| *b == b'.') {
            None => (mantissa, &mantissa[..0]),
            Some(point) => (&mantissa[..point], &mantissa[point + 1..]),
        };
        let mut parts = Self { negative, whole, fraction, exponent: i64::from(exponent) };
        while let Some((b'0', rest)) = parts.whole.split_first() {
            parts.whole = rest;
        }
        while let Some((b'0', rest)) = parts.fraction.split_last() {
            parts.fraction = rest;
        }
        parts.exponent -= i64::try_from(parts.fraction.len()).ok()?;
        if parts.fraction.is_empty() {
            while let Some((b'0', rest)) = parts.whole.split_last() {
                parts.whole = rest;
                parts.exponent += 1;
            }
        }
        if parts.whole.is_empty() {
            while let Some((b'0', rest)) = parts.fraction.split_first() {
                parts.fraction = rest;
            }
        }
        if parts.whole.is_empty() && parts.fraction.is_empty() {
            parts.exponent = 0;
        }
        Some(parts)
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).map(|b| b - b'0')
    }

    fn fits(&self) -> bool {
        let digits = i64::try_from(self.whole.len() + self.fraction.len()).unwrap_or(i64::MAX);
        self.exponent >= -SCALE && digits.saturating_add(self.exponent) <= WHOLE
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn exact_or_text() {
        use NumberKind::{Decimal, Int, Text};
        let cases: &[(&str, NumberKind, Option<i128>)] = &[
            ("0", Int, Some(0)),
            ("-0", Int, Some(0)),
            ("9223372036854775807", Int, None),
            ("-9223372036854775808", Int, None),
            ("9223372036854775808", Decimal, Some(9_223_372_036_854_775_808_000_000_000)),
            ("18446744073709551615", Decimal, Some(18_446_744_073_709_551_615_000_000_000)),
            ("12.50", Decimal, Some(12_500_000_000)),
            ("-0.000000001", Decimal, Some(-1)),
            ("0.0000000001", Text, None),
            ("0.1000000000000000", Decimal, Some(100_000_000)),
            ("1e3", Decimal, Some(1_000_000_000_000)),
            ("1.5E-3", Decimal, Some(1_500_000)),
            ("0e999999999999", Text, None),
            ("0.0e5", Decimal, Some(0)),
            ("1e400", Text, None),
            ("1e-400", Text, None),
            (
                "99999999999999999999999999999",
                Decimal,
                Some(99_999_999_999_999_999_999_999_999_999_000_000_000),
            ),
            ("100000000000000000000000000000", Text, None),
            (
                "99999999999999999999999999999.999999999",
                Decimal,
                Some(99_999_999_999_999_999_999_999_999_999_999_999_999),
            ),
            ("0.12345678901234567", Text, None),
        ];
        for (token, expected, value) in cases {
            assert_eq!(kind(token.as_bytes()), *expected, "{token}");
            if let Some(value) = value {
                assert_eq!(parse_decimal(token.as_bytes()), Some(*value), "{token}");
            }
        }
    }
}
