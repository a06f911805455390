//! Working hours: how much of the time between two instants somebody was there to answer.
//!
//! The host cuts time into pieces that lie within one UTC day and are wholly open or wholly closed, with
//! the open time before each. The open time up to an instant is then one lookup, and that between two
//! instants a difference: SQL needs no calendar, and clock changes are exact.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};
use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeZone};
use chrono_tz::Tz;
use futures::TryStreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use throughline_core::Result;

use crate::host::{HostTable, ints};
use crate::runner::Runner;

const US: i64 = 1_000_000;
const US_PER_DAY: i64 = 86_400 * US;
/// Days around the first and last answer that are cut up. Instants beyond are wrong years, and have no
/// working time.
const LONGEST: i64 = 40_000;

/// When somebody is there to answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkingHours {
    /// IANA name, e.g. `"Europe/Moscow"`.
    pub time_zone: String,
    /// Days of the week: mon, tue, wed, thu, fri, sat, sun.
    #[serde(default = "weekdays")]
    pub days: Vec<String>,
    /// Hours of these days by the local clock, as `"09:00-18:00"`; several if there is a break. A night
    /// shift is two: `"00:00-06:00"` and `"22:00-24:00"`.
    #[serde(default = "office_hours")]
    pub hours: Vec<String>,
    /// Dates without work, e.g. `"2026-01-01"`.
    #[serde(default)]
    pub holidays: Vec<String>,
}

fn weekdays() -> Vec<String> {
    ["mon", "tue", "wed", "thu", "fri"].map(str::to_string).to_vec()
}

fn office_hours() -> Vec<String> {
    vec!["09:00-18:00".to_string()]
}

impl WorkingHours {
    /// What is wrong, with the place below `/working_hours`.
    pub(crate) fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        if self.time_zone.parse::<Tz>().is_err() {
            wrong.push((
                "/time_zone".into(),
                format!("there is no time zone `{}`; names are like Europe/Moscow", self.time_zone),
            ));
        }
        for (i, day) in self.days.iter().enumerate() {
            if weekday(day).is_none() {
                wrong.push((
                    format!("/days/{i}"),
                    format!("`{day}` is none of mon, tue, wed, thu, fri, sat, sun"),
                ));
            }
        }
        if self.days.is_empty() {
            wrong.push(("/days".into(), "no day is named, so nobody ever answers".into()));
        }
        let mut before = 0;
        for (i, text) in self.hours.iter().enumerate() {
            match span(text) {
                None => wrong.push((
                    format!("/hours/{i}"),
                    format!("`{text}` is not written as 09:00-18:00, from earlier to later"),
                )),
                Some((from, _)) if from < before => wrong.push((
                    format!("/hours/{i}"),
                    format!("`{text}` begins before the hours listed before it end"),
                )),
                Some((_, to)) => before = to,
            }
        }
        if self.hours.is_empty() {
            wrong.push(("/hours".into(), "no hours are named, so nobody ever answers".into()));
        }
        for (i, text) in self.holidays.iter().enumerate() {
            if NaiveDate::parse_from_str(text, "%Y-%m-%d").is_err() {
                wrong.push((format!("/holidays/{i}"), format!("`{text}` is not a date like 2026-01-01")));
            }
        }
        wrong
    }

    fn calendar(&self) -> Option<Calendar> {
        Some(Calendar {
            zone: self.time_zone.parse().ok()?,
            days: self.days.iter().filter_map(|d| weekday(d)).collect(),
            spans: self.hours.iter().filter_map(|h| span(h)).collect(),
            holidays: self
                .holidays
                .iter()
                .filter_map(|h| NaiveDate::parse_from_str(h, "%Y-%m-%d").ok())
                .collect(),
        })
    }
}

fn weekday(name: &str) -> Option<u32> {
    let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    names.iter().position(|n| *n == name).map(|n| n as u32)
}

/// Seconds of the day, end not included.
fn span(text: &str) -> Option<(i64, i64)> {
    let clock = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        let digits = |t: &str| t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(hours) || !digits(minutes) {
            return None;
        }
        let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
        let seconds = hours * 3600 + minutes * 60;
        (minutes < 60 && seconds <= 86_400).then_some(seconds)
    };
    let (from, to) = text.split_once('-')?;
    let (from, to) = (clock(from.trim())?, clock(to.trim())?);
    (from < to).then_some((from, to))
}

struct Calendar {
    zone: Tz,
    days: BTreeSet<u32>,
    spans: Vec<(i64, i64)>,
    holidays: BTreeSet<NaiveDate>,
}

/// A piece of time, µs; open or not.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    from: i64,
    to: i64,
    is_open: bool,
}

impl Calendar {
    /// The pieces of one UTC day, in order and without gaps.
    fn pieces(&self, day: i64) -> Vec<Piece> {
        let (begin, end) = (day * US_PER_DAY, (day + 1) * US_PER_DAY);
        let mut open: Vec<(i64, i64)> = Vec::new();
        for (from, to, offset) in self.steady(begin, end) {
            // Local days that this stretch touches: its clock runs evenly.
            let first = (from + offset).div_euclid(US_PER_DAY);
            let last = (to - 1 + offset).div_euclid(US_PER_DAY);
            for local_day in first..=last {
                if !self.works_on(local_day) {
                    continue;
                }
                for (span_from, span_to) in &self.spans {
                    let a = (local_day * US_PER_DAY + span_from * US - offset).max(from);
                    let b = (local_day * US_PER_DAY + span_to * US - offset).min(to);
                    if a < b {
                        open.push((a, b));
                    }
                }
            }
        }
        let mut pieces: Vec<Piece> = Vec::new();
        let mut at = begin;
        for (from, to) in open {
            if at < from {
                pieces.push(Piece { from: at, to: from, is_open: false });
            }
            match pieces.last_mut() {
                Some(last) if last.is_open && last.to == from => last.to = to,
                _ => pieces.push(Piece { from, to, is_open: true }),
            }
            at = to;
        }
        if at < end {
            pieces.push(Piece { from: at, to: end, is_open: false });
        }
        pieces
    }

    fn works_on(&self, local_day: i64) -> bool {
        i32::try_from(local_day).ok().and_then(NaiveDate::from_epoch_days).is_some_and(|date| {
            self.days.contains(&date.weekday().num_days_from_monday()) && !self.holidays.contains(&date)
        })
    }

    /// A UTC day in stretches of one offset from UTC, each with its offset in µs.
    fn steady(&self, begin: i64, end: i64) -> Vec<(i64, i64, i64)> {
        let mut stretches = Vec::new();
        let mut from = begin;
        while from < end {
            let offset = self.offset(from);
            // No zone changes its clock twice within half a day.
            let probe = (from + US_PER_DAY / 2).min(end);
            let to = if self.offset(probe - US) == offset {
                probe
            } else {
                // The first second with another offset.
                let (mut same, mut other) = (from, probe - US);
                while other - same > US {
                    let middle = same + (other - same) / 2 / US * US;
                    if self.offset(middle) == offset { same = middle } else { other = middle }
                }
                other
            };
            stretches.push((from, to, offset));
            from = to;
        }
        stretches
    }

    fn offset(&self, at_us: i64) -> i64 {
        DateTime::from_timestamp_micros(at_us).map_or(0, |at| {
            i64::from(self.zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()) * US
        })
    }
}

/// Binds `p_work` (day_n, begin_us, end_us, is_open, before_us) over the time in which turns lie; empty
/// without working hours.
pub(crate) async fn bind(runner: &mut Runner<'_>, hours: Option<&WorkingHours>, now_us: i64) -> Result<()> {
    let schema = Arc::new(Schema::new(
        ["day_n", "begin_us", "end_us", "is_open", "before_us"]
            .map(|name| Field::new(name, DataType::Int64, false))
            .to_vec(),
    ));
    let mut table = HostTable::create(&runner.folder("p_work"), schema)?;
    if let Some(calendar) = hours.and_then(WorkingHours::calendar)
        && let Some((first, last)) = days_of_turns(runner, now_us).await?
    {
        let mut columns: [Vec<i64>; 5] = Default::default();
        let mut before = 0;
        for day in first..=last {
            for piece in calendar.pieces(day) {
                let row = [day, piece.from, piece.to, i64::from(piece.is_open), before];
                columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
                if piece.is_open {
                    before += piece.to - piece.from;
                }
            }
        }
        table.write(columns.map(|c| Arc::new(Int64Array::from(c)) as ArrayRef).to_vec())?;
    }
    let written = table.finish()?;
    runner.bind("p_work", &written.table()).await
}

async fn days_of_turns(runner: &Runner<'_>, now_us: i64) -> Result<Option<(i64, i64)>> {
    let today = now_us.div_euclid(US_PER_DAY);
    let mut rows = runner
        .read("SELECT count(*) AS n, coalesce(min(started_us), 0) AS first_us, coalesce(max(answered_us), 0) AS last_us FROM x_turn")
        .await?;
    let mut found = None;
    while let Some(batch) = rows.try_next().await? {
        let (n, first, last) = (ints(&batch, "n")?, ints(&batch, "first_us")?, ints(&batch, "last_us")?);
        for row in 0..batch.num_rows() {
            if n.value(row) > 0 {
                let day = |us: i64| us.div_euclid(US_PER_DAY).clamp(today - LONGEST, today + LONGEST);
                found = Some((day(first.value(row)), day(last.value(row))));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn us(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    fn open(hours: &WorkingHours, day: &str) -> Vec<(String, String)> {
        let day = us(&format!("{day}T00:00:00Z")).div_euclid(US_PER_DAY);
        let text = |at: i64| DateTime::from_timestamp_micros(at).unwrap().format("%H:%M").to_string();
        let pieces = hours.calendar().unwrap().pieces(day);
        // Whatever is open: the pieces cover the day once.
        assert_eq!(pieces.first().unwrap().from, day * US_PER_DAY);
        assert_eq!(pieces.last().unwrap().to, (day + 1) * US_PER_DAY);
        assert!(pieces.windows(2).all(|w| w[0].to == w[1].from && w[0].from < w[0].to));
        pieces.iter().filter(|p| p.is_open).map(|p| (text(p.from), text(p.to))).collect()
    }

    fn hours(zone: &str, spans: &[&str]) -> WorkingHours {
        WorkingHours {
            time_zone: zone.into(),
            days: weekdays(),
            hours: spans.iter().map(|s| (*s).to_string()).collect(),
            holidays: vec!["2026-03-09".into()],
        }
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_string(), (*b).to_string())).collect()
    }

    #[test]
    fn hours_are_those_of_the_local_clock() {
        let moscow = hours("Europe/Moscow", &["09:00-13:00", "14:00-18:00"]);
        // Tuesday; Moscow is three hours ahead.
        assert_eq!(open(&moscow, "2026-03-03"), pairs(&[("06:00", "10:00"), ("11:00", "15:00")]));
        // Saturday, and a holiday.
        assert_eq!(open(&moscow, "2026-03-07"), pairs(&[]));
        assert_eq!(open(&moscow, "2026-03-09"), pairs(&[]));
        // Vladivostok's Monday noon is two in UTC, its Tuesday morning is Monday evening.
        let east = hours("Asia/Vladivostok", &["08:00-12:00"]);
        assert_eq!(open(&east, "2026-03-02"), pairs(&[("00:00", "02:00"), ("22:00", "00:00")]));
    }

    #[test]
    fn clock_changes_are_exact() {
        // Berlin, 2026-03-29: 02:00 becomes 03:00 at 01:00 UTC. 2026-10-25: 03:00 becomes 02:00.
        let mut berlin = hours("Europe/Berlin", &["01:30-04:00"]);
        berlin.days = vec!["sun".into()];
        assert_eq!(open(&berlin, "2026-03-29"), pairs(&[("00:30", "02:00")]));
        // 01:30 summer time is 23:30 UTC the day before; 04:00 winter time is 03:00 UTC.
        assert_eq!(open(&berlin, "2026-10-24"), pairs(&[("23:30", "00:00")]));
        assert_eq!(open(&berlin, "2026-10-25"), pairs(&[("00:00", "03:00")]));
        // Hours within the hour that comes twice are open twice.
        berlin.hours = vec!["02:30-03:00".into()];
        assert_eq!(open(&berlin, "2026-10-25"), pairs(&[("00:30", "01:00"), ("01:30", "02:00")]));
        // And hours that do not come at all are never open.
        assert_eq!(open(&berlin, "2026-03-29"), pairs(&[]));
    }

    #[test]
    fn what_is_no_hour_is_said() {
        let mut wrong =
            hours("Europe/Berln", &["9-18", "10:00-09:00", "09:00-18:00", "17:00-19:00", "00:00-24:01"]);
        wrong.days = vec!["mo".into()];
        wrong.holidays = vec!["1 May".into()];
        let places: Vec<String> = wrong.check().into_iter().map(|(place, _)| place).collect();
        assert_eq!(
            places,
            ["/time_zone", "/days/0", "/hours/0", "/hours/1", "/hours/3", "/hours/4", "/holidays/0"]
        );
        assert!(hours("Asia/Dubai", &["00:00-06:00", "22:00-24:00"]).check().is_empty());
    }
}
