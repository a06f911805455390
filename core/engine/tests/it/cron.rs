//! When a schedule comes due, above all around the two days a year when clocks change.

use chrono::{DateTime, SecondsFormat};
use throughline_engine::schedule::Cron;

fn us(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

/// The next times after an instant, in the schedule's own zone.
fn next(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let zone: chrono_tz::Tz = zone.parse().unwrap();
    let cron = Cron::parse(expression, zone).unwrap();
    let mut at = us(after);
    let mut times = Vec::new();
    for _ in 0..count {
        at = cron.next_after(at).unwrap();
        let local = DateTime::from_timestamp_micros(at).unwrap().with_timezone(&zone);
        times.push(local.to_rfc3339_opts(SecondsFormat::Secs, true));
    }
    times
}

#[test]
fn a_time_that_the_spring_leaves_out_runs_when_the_clocks_change() {
    assert_eq!(
        next("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
        ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    );
    assert_eq!(
        next("30 2 * * *", "America/New_York", "2026-03-07T06:00:00Z", 3),
        ["2026-03-07T02:30:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"]
    );
}

#[test]
fn a_time_that_the_autumn_repeats_runs_once() {
    assert_eq!(
        next("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", 3),
        ["2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    );
    assert_eq!(
        next("30 1 * * *", "America/New_York", "2026-10-31T04:00:00Z", 3),
        ["2026-10-31T01:30:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"]
    );
}

#[test]
fn every_half_hour_is_every_half_hour_all_year() {
    assert_eq!(
        next("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 6),
        [
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T03:00:00+01:00",
            "2026-10-25T03:30:00+01:00",
        ]
    );
    assert_eq!(
        next("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3),
        ["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"]
    );
    // Over both changes, in three zones, one of them with a change of half an hour.
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
        let cron = Cron::parse("*/30 * * * *", zone.parse().unwrap()).unwrap();
        let mut at = us("2026-01-01T00:00:00Z");
        while at < us("2027-01-01T00:00:00Z") {
            let following = cron.next_after(at).unwrap();
            assert_eq!(following - at, 30 * 60 * 1_000_000, "{zone} at {at}");
            at = following;
        }
    }
}

#[test]
fn the_meaning_is_that_of_crontab() {
    let utc = |expression: &str, count| next(expression, "UTC", "2026-02-01T00:00:00Z", count);
    // Weekdays count from Sunday = 0 or 7.
    assert_eq!(utc("0 0 * * 1", 1), ["2026-02-02T00:00:00Z"]);
    assert_eq!(utc("0 0 * * 7", 1), utc("0 0 * * 0", 1));
    // Day of month and weekday are alternatives: every 13th and every Friday.
    assert_eq!(
        utc("0 0 13 * FRI", 3),
        ["2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z"]
    );
    // Six fields: seconds first.
    assert_eq!(utc("30 15 6 * * *", 1), ["2026-02-01T06:15:30Z"]);
    assert_eq!(utc("@daily", 1), ["2026-02-02T00:00:00Z"]);
    assert_eq!(utc("0 0 L * *", 2), ["2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"]);
    assert_eq!(utc("0 0 29 2 *", 1), ["2028-02-29T00:00:00Z"]);
}

#[test]
fn the_next_time_is_never_now_and_never_before() {
    let cron = Cron::parse("0 6 * * *", chrono_tz::UTC).unwrap();
    let six = us("2026-02-01T06:00:00Z");
    assert_eq!(cron.next_after(six - 1), Some(six));
    assert_eq!(cron.next_after(six), Some(us("2026-02-02T06:00:00Z")));
    assert_eq!(cron.next_after(six + 1), Some(us("2026-02-02T06:00:00Z")));
    // Past the end of the calendar there is nothing, and no panic.
    assert_eq!(cron.next_after(i64::MAX), None);
}

#[test]
fn nonsense_is_refused_with_the_field_that_is_wrong() {
    for (text, field) in [
        ("0 25 * * *", Some("25")),
        ("60 1 * * *", Some("60")),
        ("0 0 0 * *", Some("0")),
        ("0 0 * 13 *", Some("13")),
        ("0 0 * * 8", Some("8")),
        ("*/0 * * * *", Some("*/0")),
        ("5-1 * * * *", Some("5-1")),
        ("  a * * * *", Some("a")),
        ("", None),
        ("* * * *", None),
        ("* * * * * * *", None),
        ("0 0 30 2 *", None),
        ("@never", None),
        ("é é é é é", Some("é")),
    ] {
        let error = Cron::parse(text, chrono_tz::UTC).err().unwrap_or_else(|| panic!("{text} was accepted"));
        assert!(error.hint.is_some(), "{text}");
        // The first of several equal fields is as good as any.
        assert_eq!(error.field.map(|f| &text[f]), field, "{text}: {}", error.message);
    }
    assert!(Cron::parse(&"*,".repeat(10_000), chrono_tz::UTC).is_err());
}
