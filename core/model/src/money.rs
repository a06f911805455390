//! Money: whole minor units of a currency in an `i64`, and exact decimal text in and out.

/// Appends `value / 10^scale` in plain digits, without zeros at the end: `12500, 3` is `12.5`.
pub fn write_decimal(out: &mut String, value: i128, scale: i8) {
    use std::fmt::Write;
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
    let start = out.len();
    let _ = write!(out, "{digits:0>width$}", width = places + 1);
    let point = out.len() - places;
    debug_assert!(point > start);
    out.insert(point, '.');
    let end = out.trim_end_matches('0').trim_end_matches('.').len();
    out.truncate(end);
}
