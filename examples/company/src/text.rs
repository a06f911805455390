//! Writing numbers, dates and text straight into a `String`: pages of a million leads are made here, so
//! nothing is allocated per record.

use std::fmt::Write;

pub fn push_uint(out: &mut String, mut v: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (v % 10) as u8;
        v /= 10;
        if v == 0 {
            break;
        }
    }
    for d in &digits[at..] {
        out.push(char::from(*d));
    }
}

pub fn push_int(out: &mut String, v: i64) {
    if v < 0 {
        out.push('-');
    }
    push_uint(out, v.unsigned_abs());
}

/// A JSON string in UTF-8.
pub fn push_json(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A JSON string as Meta sends it: ASCII only, `\uXXXX` in lower case, slashes escaped.
pub fn push_json_ascii(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            c => {
                let mut units = [0u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// A ClickHouse TabSeparated cell, or the inside of a quoted array element: the escapes are the same.
pub fn push_tsv(out: &mut String, s: &str) {
    for c in s.chars() {
        match c {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            c => out.push(c),
        }
    }
}

/// A CSV cell by RFC 4180.
pub fn push_csv(out: &mut String, s: &str) {
    if s.contains([',', '"', '\n', '\r']) {
        out.push('"');
        out.push_str(&s.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(s);
    }
}

/// Percent-encoding of everything but unreserved characters.
pub fn push_percent(out: &mut String, s: &str) {
    for b in s.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(b)),
            b => {
                let _ = write!(out, "%{b:02X}");
            }
        }
    }
}

/// Days since 1970-01-01 to (year, month, day), Howard Hinnant's `civil_from_days`.
pub fn civil(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

fn push_2(out: &mut String, v: i64) {
    out.push(char::from(b'0' + (v / 10 % 10) as u8));
    out.push(char::from(b'0' + (v % 10) as u8));
}

/// `YYYY-MM-DD` of a day number.
pub fn push_date(out: &mut String, days: i64) {
    let (y, m, d) = civil(days);
    push_2(out, y / 100);
    push_2(out, y % 100);
    out.push('-');
    push_2(out, i64::from(m));
    out.push('-');
    push_2(out, i64::from(d));
}

/// `YYYY-MM-DD hh:mm:ss` of seconds that are already local.
pub fn push_datetime(out: &mut String, local: i64, between: char) {
    push_date(out, local.div_euclid(86_400));
    out.push(between);
    let s = local.rem_euclid(86_400);
    push_2(out, s / 3600);
    out.push(':');
    push_2(out, s / 60 % 60);
    out.push(':');
    push_2(out, s % 60);
}

/// RFC 3339 in UTC, whole seconds.
pub fn rfc3339(at: i64) -> String {
    let mut s = String::with_capacity(20);
    push_datetime(&mut s, at, 'T');
    s.push('Z');
    s
}

/// The `Date` header's form, RFC 9110 section 5.6.7.
pub fn http_date(at: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = at.div_euclid(86_400);
    let (y, m, d) = civil(days);
    let s = at.rem_euclid(86_400);
    format!(
        "{}, {d:02} {} {y:04} {:02}:{:02}:{:02} GMT",
        DAYS[days.rem_euclid(7) as usize],
        MONTHS[(m as usize).saturating_sub(1) % 12],
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_the_formats_ask() {
        let mut s = String::new();
        push_int(&mut s, -90);
        push_uint(&mut s, u64::MAX);
        assert_eq!(s, "-9018446744073709551615");
        let mut s = String::new();
        push_json_ascii(&mut s, "При/\"в😀");
        assert_eq!(s, "\"\\u041f\\u0440\\u0438\\/\\\"\\u0432\\ud83d\\ude00\"");
        let mut s = String::new();
        push_tsv(&mut s, "a\tb'c\\d\n");
        assert_eq!(s, "a\\tb\\'c\\\\d\\n");
        assert_eq!(rfc3339(1_785_531_600), "2026-07-31T21:00:00Z");
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
