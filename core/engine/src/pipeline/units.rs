//! Sizes and time spans as people write them: `512MB`, `1.5GiB`; `90s`, `5m`, `1h30m`.

use std::time::Duration;

pub const BYTES_HINT: &str =
    "a number and a unit: KB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024)";
pub const DURATION_HINT: &str = "numbers with units s, m, h, d, such as \"90s\", \"5m\" or \"1h30m\"";

pub fn bytes(text: &str) -> Result<u64, &'static str> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "" => return Err("the unit is missing"),
        _ => return Err("not a size"),
    };
    let number: f64 = number.parse().map_err(|_| "not a size")?;
    let bytes = number * factor as f64;
    // 2^53: beyond it the product is not exact, and no machine has so much.
    if (0.0..9.0e15).contains(&bytes) { Ok(bytes as u64) } else { Err("too large") }
}

pub fn duration(text: &str) -> Result<Duration, &'static str> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("it is empty");
    }
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or("the unit is missing")?;
        let number: u64 = rest[..digits].parse().map_err(|_| "not a time span")?;
        let unit_end =
            rest[digits..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |i| digits + i);
        let factor = match &rest[digits..unit_end] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err("not a time span"),
        };
        seconds = number.checked_mul(factor).and_then(|s| s.checked_add(seconds)).ok_or("too long")?;
        rest = rest[unit_end..].trim_start();
    }
    // A hundred years: any sum with an instant stays in range.
    if seconds <= 36_525 * 86_400 { Ok(Duration::from_secs(seconds)) } else { Err("too long") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("512MB"), Ok(512_000_000));
        assert_eq!(bytes("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(bytes("10b"), Ok(10));
        for wrong in ["512", "", "MB", "-1MB", "1.2.3MB", "1e9GB", "999999999999GB", "5 bananas", "٥MB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn time_spans() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        for wrong in ["", "5", "m", "5x", "-5m", "1.5h", "99999999999999999999s", "99999999999d", "5м", "1mm"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
