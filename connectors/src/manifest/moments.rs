//! Durations, zones and the ways vendors write times.

use std::time::Duration;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Utc};
use throughline_core::time::{InstantUs, US_PER_SECOND};

/// `500ms`, `30s`, `10m`, `2h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write 500ms, 30s, 10m, 2h or 7d");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..split].parse().map_err(|_| wrong())?;
    let unit_ms: u64 = match &text[split..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    // A thousand years is a slip of the hand, and would overflow microseconds further on.
    let ms = number.checked_mul(unit_ms).filter(|ms| *ms < 31_536_000_000_000).ok_or_else(wrong)?;
    Ok(Duration::from_millis(ms))
}

pub(crate) fn us(duration: Duration) -> InstantUs {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// An IANA zone or a fixed offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Zone {
    Iana(chrono_tz::Tz),
    Fixed(FixedOffset),
}

impl Zone {
    pub fn utc() -> Self {
        Self::Fixed(Utc.fix())
    }
    pub fn parse(text: &str) -> Result<Self, String> {
        if matches!(text, "UTC" | "Z") {
            return Ok(Self::utc());
        }
        if let Ok(zone) = text.parse() {
            return Ok(Self::Iana(zone));
        }
        text.parse().map(Self::Fixed).map_err(|_| {
            format!(
                "{text:?} is no time zone; write a name such as Europe/Moscow or an offset such as +03:00"
            )
        })
    }
    pub fn local(self, at: InstantUs) -> NaiveDateTime {
        let at = DateTime::<Utc>::from_timestamp_micros(at).unwrap_or_default();
        match self {
            Self::Iana(zone) => at.with_timezone(&zone).naive_local(),
            Self::Fixed(offset) => at.with_timezone(&offset).naive_local(),
        }
    }
    /// The first instant with this local time; in the hour that a clock change skips, the end of it.
    pub fn instant(self, local: NaiveDateTime) -> Option<InstantUs> {
        let at = |local: NaiveDateTime| match self {
            Self::Iana(zone) => zone.from_local_datetime(&local).earliest().map(|t| t.timestamp_micros()),
            Self::Fixed(offset) => {
                offset.from_local_datetime(&local).earliest().map(|t| t.timestamp_micros())
            }
        };
        at(local).or_else(|| at(local.checked_add_signed(chrono::TimeDelta::hours(1))?))
    }
}

/// How a vendor writes instants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Format {
    Unix,
    UnixMs,
    /// `2026-09-01T00:00:00.000Z`
    Iso,
    Pattern(String),
}

impl Format {
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "unix" => Ok(Self::Unix),
            "unix_ms" => Ok(Self::UnixMs),
            "iso" => Ok(Self::Iso),
            pattern => {
                pattern_is_good(pattern)?;
                Ok(Self::Pattern(pattern.to_owned()))
            }
        }
    }
    /// The smallest difference it can write.
    pub fn resolution(&self) -> Duration {
        match self {
            Self::UnixMs | Self::Iso => Duration::from_millis(1),
            Self::Unix => Duration::from_secs(1),
            Self::Pattern(p) if p.contains("%S") || p.contains("%T") || p.contains("%s") => {
                Duration::from_secs(1)
            }
            Self::Pattern(p) if p.contains("%M") => Duration::from_secs(60),
            Self::Pattern(p) if p.contains("%H") => Duration::from_secs(3600),
            Self::Pattern(_) => Duration::from_secs(86_400),
        }
    }
    pub fn write(&self, at: InstantUs, zone: Zone) -> serde_json::Value {
        match self {
            Self::Unix => at.div_euclid(US_PER_SECOND).into(),
            Self::UnixMs => at.div_euclid(1000).into(),
            Self::Iso => DateTime::<Utc>::from_timestamp_micros(at)
                .unwrap_or_default()
                .format("%Y-%m-%dT%H:%M:%S%.3fZ")
                .to_string()
                .into(),
            Self::Pattern(pattern) => match zone {
                // With the zone at hand, %z and %:z work too.
                Zone::Iana(tz) => zone_text(&tz, at, pattern),
                Zone::Fixed(offset) => zone_text(&offset, at, pattern),
            }
            .into(),
        }
    }
    /// Reads what a record holds, as text; `None` when it is in no form we know.
    pub fn read(&self, text: &str, zone: Zone) -> Option<InstantUs> {
        match self {
            Self::Unix => text.parse::<i64>().ok()?.checked_mul(US_PER_SECOND),
            Self::UnixMs => text.parse::<i64>().ok()?.checked_mul(1000),
            Self::Iso => read_iso(text, zone),
            Self::Pattern(pattern) => DateTime::parse_from_str(text, pattern)
                .map(|t| t.timestamp_micros())
                .ok()
                .or_else(|| zone.instant(NaiveDateTime::parse_from_str(text, pattern).ok()?))
                .or_else(|| {
                    zone.instant(NaiveDate::parse_from_str(text, pattern).ok()?.and_time(NaiveTime::MIN))
                })
                .or_else(|| read_iso(text, zone)),
        }
    }
}

/// RFC 3339, or date and time without an offset, or a date.
pub(crate) fn read_iso(text: &str, zone: Zone) -> Option<InstantUs> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.timestamp_micros());
    }
    for pattern in ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%z"] {
        if let Ok(at) = DateTime::parse_from_str(text, pattern) {
            return Some(at.timestamp_micros());
        }
    }
    for pattern in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(local) = NaiveDateTime::parse_from_str(text, pattern) {
            return zone.instant(local);
        }
    }
    zone.instant(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN))
}

fn zone_text<Z: TimeZone>(zone: &Z, at: InstantUs, pattern: &str) -> String
where
    Z::Offset: std::fmt::Display,
{
    DateTime::<Utc>::from_timestamp_micros(at)
        .unwrap_or_default()
        .with_timezone(zone)
        .format(pattern)
        .to_string()
}

/// Chrono panics when it formats with a pattern it does not know.
pub(crate) fn pattern_is_good(pattern: &str) -> Result<(), String> {
    use chrono::format::{Item, StrftimeItems};
    let bad = StrftimeItems::new(pattern).any(|item| matches!(item, Item::Error));
    if bad || !pattern.contains('%') {
        return Err(format!(
            "{pattern:?} is no time format; write unix, unix_ms, iso or a pattern such as %Y-%m-%d"
        ));
    }
    Ok(())
}

/// Days since the epoch of a local date.
pub(crate) fn day_number(date: NaiveDate) -> i32 {
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).unwrap_or_default()
}

pub(crate) fn day_of(number: i32) -> NaiveDate {
    NaiveDate::default().checked_add_signed(chrono::TimeDelta::days(number.into())).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("10m").unwrap(), Duration::from_secs(600));
        for wrong in ["", "5", "m", "-1s", "1w", "99999999999999999999d", "9999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn formats_go_both_ways() {
        let at = 1_756_714_800_000_000; // 2025-09-01 08:20:00 UTC
        let moscow = Zone::parse("Europe/Moscow").unwrap();
        for (format, zone, text) in [
            ("unix", Zone::utc(), "1756714800"),
            ("unix_ms", moscow, "1756714800000"),
            ("iso", moscow, "2025-09-01T08:20:00.000Z"),
            ("%Y-%m-%d %H:%M:%S", moscow, "2025-09-01 11:20:00"),
            ("%Y-%m-%dT%H:%M:%S%:z", Zone::parse("+05:00").unwrap(), "2025-09-01T13:20:00+05:00"),
        ] {
            let format = Format::parse(format).unwrap();
            let written = super::super::template::as_text(&format.write(at, zone)).unwrap();
            assert_eq!(written, text);
            assert_eq!(format.read(&written, zone), Some(at), "{text}");
        }
        assert!(Format::parse("%Q").is_err() && Format::parse("seconds").is_err());
        assert_eq!(Format::Iso.read("0000-00-00", Zone::utc()), None);
        assert_eq!(
            day_of(day_number(NaiveDate::from_ymd_opt(2026, 9, 1).unwrap())).to_string(),
            "2026-09-01"
        );
    }

    #[test]
    fn a_local_time_that_never_was() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let skipped = NaiveDate::from_ymd_opt(2026, 3, 29).unwrap().and_hms_opt(2, 30, 0).unwrap();
        assert!(berlin.instant(skipped).is_some());
    }
}
