//! Decimals in PostgreSQL's binary form: digits of base 10000 around the decimal point.

/// Groups that an `i128` with any scale up to 38 can have.
const MOST: usize = 20;
const NEGATIVE: u16 = 0x4000;

/// Appends `value / 10^scale` as a field: its length in bytes, then itself. `scale` is 0 to 38.
pub(super) fn write(out: &mut Vec<u8>, value: i128, scale: u8) {
    let mut groups = [0_u16; MOST];
    let absolute = value.unsigned_abs();
    // Most amounts fit a machine word, whose division is an order faster.
    let (first, end, whole) = match (u64::try_from(absolute), scale <= 18) {
        (Ok(small), true) => small_groups(&mut groups, small, scale),
        _ => large_groups(&mut groups, absolute, scale),
    };
    // Zeros in front and behind are left out; the weight says where the first stands.
    let mut first = first;
    let mut end = end;
    while first < end && groups[first] == 0 {
        first += 1;
    }
    while end > first && groups[end - 1] == 0 {
        end -= 1;
    }
    let count = end - first;
    let weight = if count == 0 { 0 } else { small_i16(whole) - 1 - small_i16(first) };
    let sign = if value < 0 { NEGATIVE } else { 0 };
    out.extend_from_slice(&(8 + 2 * count as u32).to_be_bytes());
    out.extend_from_slice(&small_i16(count).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&u16::from(scale).to_be_bytes());
    for group in &groups[first..end] {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

/// Groups never number more than [`MOST`].
fn small_i16(n: usize) -> i16 {
    i16::try_from(n).unwrap_or(i16::MAX)
}

macro_rules! groups_of {
    ($name:ident, $word:ty) => {
        /// Gives the first group, the one after the last, and where the decimal point is.
        fn $name(groups: &mut [u16; MOST], absolute: $word, scale: u8) -> (usize, usize, usize) {
            const TEN: $word = 10;
            const BASE: $word = 10_000;
            let power = TEN.pow(scale.into());
            let (mut whole, mut fraction) = (absolute / power, absolute % power);
            let point = 10;
            let mut first = point;
            while whole > 0 {
                first -= 1;
                groups[first] = (whole % BASE) as u16;
                whole /= BASE;
            }
            let mut left = scale;
            let mut end = point;
            while left > 0 {
                let taken = left.min(4);
                left -= taken;
                let power = TEN.pow(left.into());
                groups[end] = ((fraction / power) as u16) * 10_u16.pow((4 - taken).into());
                fraction %= power;
                end += 1;
            }
            (first, end, point)
        }
    };
}
groups_of!(small_groups, u64);
groups_of!(large_groups, u128);

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the field as the server would, to an exact text.
    fn read(field: &[u8]) -> String {
        let words: Vec<u16> = field[4..].chunks(2).map(|c| u16::from_be_bytes([c[0], c[1]])).collect();
        let (count, weight, sign, scale) =
            (words[0] as usize, words[1].cast_signed(), words[2], usize::from(words[3]));
        assert_eq!(field.len(), 12 + 2 * count);
        let digit_at = |place: i16| {
            let at = weight - place;
            (0..i16::try_from(count).unwrap_or(0))
                .contains(&at)
                .then(|| words[4 + at.unsigned_abs() as usize])
        };
        let whole: String =
            (0..=weight.max(0)).rev().map(|p| format!("{:04}", digit_at(p).unwrap_or(0))).collect();
        let fraction: String = (1..=10).map(|p| format!("{:04}", digit_at(-p).unwrap_or(0))).collect();
        let whole = whole.trim_start_matches('0');
        let minus = if sign == NEGATIVE { "-" } else { "" };
        format!("{minus}{}.{}", if whole.is_empty() { "0" } else { whole }, &fraction[..scale])
    }

    fn expected(value: i128, scale: usize) -> String {
        let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" })
    }

    #[test]
    fn every_decimal_is_exact() {
        let mut values =
            vec![0, 1, -1, 9_999, 10_000, 10_001, 99_990_000, i128::from(i64::MAX), i128::MAX, i128::MIN + 1];
        let mut value: i128 = 7;
        for _ in 0..38 {
            values.extend([value, -value]);
            value = value.wrapping_mul(10).wrapping_add(3);
        }
        for scale in 0..=38 {
            for &value in &values {
                let mut out = Vec::new();
                write(&mut out, value, scale);
                assert_eq!(read(&out), expected(value, scale.into()), "{value} {scale}");
            }
        }
    }
}
