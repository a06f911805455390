//! Instants from the texts and numbers of vendors.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::time::{InstantUs, US_PER_SECOND};

/// The last second of the year 9999, UTC.
const MAX_SECONDS: i64 = 253_402_300_799;
/// The first second of the year 1, UTC.
const MIN_SECONDS: i64 = -62_135_596_800;

/// What local times are read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    Named(Tz),
    /// Seconds east of UTC.
    Fixed(i32),
}

impl Zone {
    pub const UTC: Self = Self::Fixed(0);

    /// An IANA name (`Europe/Moscow`) or an offset (`Z`, `UTC`, `+03:00`, `+0300`, `+03`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match offset(text) {
            Some(seconds) => Some(Self::Fixed(seconds)),
            None if text.eq_ignore_ascii_case("UTC") => Some(Self::UTC),
            None => text.parse().ok().map(Self::Named),
        }
    }

    /// A local time that occurs twice (clocks went back) is the earlier of the two instants. One
    /// that never was (clocks went forward over it) is read by the offset before the change, so it
    /// moves forward by what the clocks skipped: 02:30 is 03:30.
    fn instant(self, local: NaiveDateTime) -> Option<InstantUs> {
        let seconds_east = match self {
            Self::Fixed(seconds) => seconds,
            Self::Named(zone) => match zone.offset_from_local_datetime(&local) {
                chrono::LocalResult::Single(at) | chrono::LocalResult::Ambiguous(at, _) => {
                    at.fix().local_minus_utc()
                }
                // No zone has skipped more than a day.
                chrono::LocalResult::None => {
                    let before = local.checked_sub_signed(TimeDelta::days(1))?;
                    zone.offset_from_local_datetime(&before).earliest()?.fix().local_minus_utc()
                }
            },
        };
        let us = local.and_utc().timestamp_micros().checked_sub(i64::from(seconds_east) * US_PER_SECOND)?;
        (MIN_SECONDS..=MAX_SECONDS).contains(&us.div_euclid(US_PER_SECOND)).then_some(us)
    }
}

/// Seconds since the epoch. `None` for 0, by which vendors mean "never" (a deal that is not closed),
/// and outside the years 1 to 9999.
pub fn from_unix_seconds(seconds: i64) -> Option<InstantUs> {
    (seconds != 0 && (MIN_SECONDS..=MAX_SECONDS).contains(&seconds)).then(|| seconds * US_PER_SECOND)
}

/// Milliseconds since the epoch; `None` as for [`from_unix_seconds`], and before April 1970: those are
/// seconds taken for milliseconds.
pub fn from_unix_milliseconds(milliseconds: i64) -> Option<InstantUs> {
    const APRIL_1970_MS: i64 = 7_776_000_000;
    (milliseconds >= APRIL_1970_MS && milliseconds.div_euclid(1000) <= MAX_SECONDS)
        .then(|| milliseconds * 1000)
}

/// `YYYY-MM-DD`, then `T` or a space and `hh:mm`, `hh:mm:ss` or `hh:mm:ss.f`, then possibly an offset
/// (`Z`, `+03:00`, `+0300`, `+03`), which wins over `zone`. A date alone is its first moment. Digits
/// behind the microsecond are cut. `None` for anything else: the year 0, February 30, 25:00, and a
/// text without an offset where `zone` is none.
pub fn parse(text: &str, zone: Option<Zone>) -> Option<InstantUs> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10)?;
    let date = parse_date(date)?;
    if rest.is_empty() {
        return zone?.instant(date.and_time(NaiveTime::MIN));
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?.trim_start();
    let (time, offset_text) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (rest[..at].trim_end(), Some(&rest[at..])),
        None => (rest, None),
    };
    let zone = match offset_text {
        Some(text) => Zone::Fixed(offset(text)?),
        None => zone?,
    };
    let (seconds, us) = parse_time(time)?;
    // A leap second is the next one.
    let local = date
        .and_time(NaiveTime::MIN)
        .checked_add_signed(TimeDelta::microseconds(seconds * US_PER_SECOND + us))?;
    zone.instant(local)
}

/// `YYYY-MM-DD`, years 1 to 9999.
pub fn parse_date(text: &str) -> Option<NaiveDate> {
    let b = text.as_bytes();
    if b.len() != 10 || b[4] != b'-' || b[7] != b'-' {
        return None;
    }
    let year = digits(&b[..4])?;
    if year == 0 {
        return None;
    }
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, digits(&b[5..7])?, digits(&b[8..])?)
}

/// Seconds of the day and microseconds behind them.
fn parse_time(text: &str) -> Option<(i64, i64)> {
    let b = text.as_bytes();
    let hour = digits(b.get(..2)?)?;
    let minute = digits(b.get(3..5)?)?;
    let (second, fraction) = match b.get(5..)? {
        [] => (0, &[][..]),
        [b':', rest @ ..] => {
            let second = digits(rest.get(..2)?)?;
            match rest.get(2..)? {
                [] => (second, &[][..]),
                [b'.' | b',', fraction @ ..] if !fraction.is_empty() => (second, fraction),
                _ => return None,
            }
        }
        _ => return None,
    };
    if b[2] != b':' || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut us = 0;
    for place in 0..6 {
        us = us * 10 + fraction.get(place).map_or(0, |d| i64::from(d.wrapping_sub(b'0')));
    }
    fraction.iter().all(u8::is_ascii_digit).then_some((i64::from(hour * 3600 + minute * 60 + second), us))
}

/// `Z`, `+hh:mm`, `+hhmm`, `+hh`, up to 18 hours as RFC 3339's neighbours allow.
fn offset(text: &str) -> Option<i32> {
    let b = text.as_bytes();
    let sign = match b.first()? {
        b'Z' | b'z' if b.len() == 1 => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match b.len() {
        3 => (digits(&b[1..])?, 0),
        5 => (digits(&b[1..3])?, digits(&b[3..])?),
        6 if b[3] == b':' => (digits(&b[1..3])?, digits(&b[4..])?),
        _ => return None,
    };
    (hours <= 18 && minutes <= 59).then(|| sign * (hours * 3600 + minutes * 60) as i32)
}

fn digits(b: &[u8]) -> Option<u32> {
    b.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + u32::from(d - b'0')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn utc(text: &str) -> InstantUs {
        chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    #[test]
    fn texts_of_vendors() {
        let moscow = Zone::parse("Europe/Moscow");
        for (text, want) in [
            ("2026-09-01 12:00:00", "2026-09-01T09:00:00Z"),
            ("2026-09-01T12:00:00.5", "2026-09-01T09:00:00.5Z"),
            (" 2026-09-01 12:00 ", "2026-09-01T09:00:00Z"),
            ("2026-09-01", "2026-08-31T21:00:00Z"),
            ("2026-09-01T12:00:00Z", "2026-09-01T12:00:00Z"),
            ("2026-09-01t12:00:00z", "2026-09-01T12:00:00Z"),
            ("2026-09-01T12:00:00.123456789+05:30", "2026-09-01T06:30:00.123456Z"),
            ("2026-09-01T12:00:00+0300", "2026-09-01T09:00:00Z"),
            ("2026-09-01 12:00:00 -08", "2026-09-01T20:00:00Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z"),
            ("0001-01-02 00:00:00", "0001-01-01T21:29:43Z"),
        ] {
            assert_eq!(parse(text, moscow), Some(utc(want)), "{text}");
        }
        for text in [
            "",
            "now",
            "2026-09-01T",
            "2026-9-1",
            "01.09.2026",
            "0000-00-00 00:00:00",
            "0000-01-01 00:00:00",
            "2026-02-30",
            "2026-13-01",
            "2026-09-01 25:00:00",
            "2026-09-01 12:60:00",
            "2026-09-01 12:00:61",
            "2026-09-01 12:00:00.",
            "2026-09-01 12:00:00.x",
            "2026-09-01 12:00:00+99:00",
            "2026-09-01 12:00:00 MSK",
            "+2026-09-01",
            "9999-12-31T23:59:59-10:00",
            "２０２６-09-01",
            "2026-09-01 1٢:00:00",
            "2026-09-01T12",
            "2026-09-01T12:",
            "2026-09-0112:00:00",
        ] {
            assert_eq!(parse(text, moscow), None, "{text}");
        }
        assert_eq!(parse("2026-09-01 12:00:00", None), None);
        assert_eq!(parse("2026-09-01 12:00:00Z", None), Some(utc("2026-09-01T12:00:00Z")));
    }

    #[test]
    fn clocks_that_change() {
        let berlin = Zone::parse("Europe/Berlin");
        assert_eq!(
            parse("2026-03-29 02:30:00", berlin),
            Some(utc("2026-03-29T01:30:00Z")),
            "never was: as 03:30 summer time"
        );
        assert_eq!(
            parse("2026-10-25 02:30:00", berlin),
            Some(utc("2026-10-25T00:30:00Z")),
            "twice: the earlier"
        );
        let samoa = Zone::parse("Pacific/Apia");
        assert_eq!(parse("2011-12-30 12:00:00", samoa), Some(utc("2011-12-30T22:00:00Z")), "a skipped day");
        assert_eq!(Zone::parse("+03:00"), Some(Zone::Fixed(10_800)));
        assert_eq!(Zone::parse("utc"), Some(Zone::UTC));
        assert_eq!(Zone::parse("Europe/Moskow"), None);
    }

    #[test]
    fn milliseconds_since_the_epoch() {
        assert_eq!(from_unix_milliseconds(1_788_253_200_123), Some(1_788_253_200_123_000));
        for absurd in [0, -1, i64::MAX, i64::MIN, (MAX_SECONDS + 1) * 1000, 1_788_253_200] {
            assert_eq!(from_unix_milliseconds(absurd), None, "{absurd}");
        }
    }

    #[test]
    fn seconds_since_the_epoch() {
        assert_eq!(from_unix_seconds(1_788_253_200), Some(1_788_253_200_000_000));
        assert_eq!(from_unix_seconds(-1), Some(-1_000_000));
        for absurd in [0, i64::MAX, i64::MIN, MAX_SECONDS + 1, MIN_SECONDS - 1, 1_788_253_200_000] {
            assert_eq!(from_unix_seconds(absurd), None, "{absurd}");
        }
    }
}
