//! A cron expression in a time zone, with the meaning of crontab.
//!
//! 5 fields (minute hour day month weekday) or 6 (seconds first). Days of month and of week are
//! alternatives when both are given, as in crontab. Around a change of clocks: a fixed time that does
//! not exist on that day runs at the moment of the change; one that comes twice runs once, the first
//! time; "every n minutes" runs through both.

use std::ops::Range;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use throughline_core::time::InstantUs;

#[derive(Clone)]
pub struct Cron {
    expression: String,
    zone: Tz,
    cron: croner::Cron,
}

/// Why a text is no cron expression.
#[derive(Debug)]
pub struct CronError {
    pub message: String,
    pub hint: Option<String>,
    /// The bytes of the field that is wrong, where one is.
    pub field: Option<Range<usize>>,
}

const FIELDS: &str =
    "5 fields: minute hour day month weekday, such as \"0 6 * * *\"; a 6th, in front, is seconds";

/// What each of six fields is called and may hold.
const NAMES: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day", "1 to 31, L, LW or 15W"),
    ("month", "1 to 12 or JAN to DEC"),
    ("weekday", "0 to 7 (0 and 7 are Sunday), MON to SUN, FRI#2 or FRI#L"),
];

impl Cron {
    /// # Errors
    /// A text that is no expression, and one that never comes due (31 February).
    pub fn parse(expression: &str, zone: Tz) -> Result<Self, CronError> {
        let wrong =
            |message: String, hint: &str| CronError { message, hint: Some(hint.to_owned()), field: None };
        // A text of that length is no schedule, and the parser need not see it.
        if expression.len() > 256 {
            return Err(wrong("the expression is too long".into(), FIELDS));
        }
        let text = expression.trim();
        let fields: Vec<&str> = text.split_whitespace().collect();
        if !text.starts_with('@') && !(5..=6).contains(&fields.len()) {
            let count =
                if fields.len() == 1 { "1 field".to_owned() } else { format!("{} fields", fields.len()) };
            return Err(wrong(count, FIELDS));
        }
        let cron = match parser().parse(text) {
            Ok(cron) => cron,
            Err(error) => {
                return Err(wrong_field(expression, &fields).unwrap_or_else(|| wrong(words(&error), FIELDS)));
            }
        };
        let cron = Self { expression: text.to_owned(), zone, cron };
        // Any start will do: what does not come due within the years croner looks ahead never does.
        if cron.next_after(1_767_225_600_000_000).is_none() {
            return Err(wrong("this time never comes".into(), "there is no such day in the calendar"));
        }
        Ok(cron)
    }

    /// The first time strictly after an instant. `None` when there is none in the calendar's range.
    pub fn next_after(&self, after_us: InstantUs) -> Option<InstantUs> {
        let start = DateTime::<Utc>::from_timestamp_micros(after_us)?.with_timezone(&self.zone);
        let next = self.cron.find_next_occurrence(&start, false).ok()?;
        Some(next.timestamp_micros())
    }

    pub fn expression(&self) -> &str {
        &self.expression
    }
    pub fn zone(&self) -> Tz {
        self.zone
    }
    /// In English, for `throughline check`.
    pub fn describe(&self) -> String {
        format!("{} ({})", self.cron.describe().trim_end_matches('.'), self.zone.name())
    }
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build()
}

fn words(error: &croner::errors::CronError) -> String {
    let said = error.to_string();
    let said = said.trim_start_matches("Component error: ").trim_start_matches("Invalid pattern: ");
    said.trim_end_matches('.').to_owned()
}

/// The first field that is wrong by itself: croner tells what is wrong, not where.
fn wrong_field(expression: &str, fields: &[&str]) -> Option<CronError> {
    if !(5..=6).contains(&fields.len()) {
        return None;
    }
    let names = &NAMES[6 - fields.len()..];
    let mut at = 0;
    for (i, (field, (name, range))) in fields.iter().zip(names).enumerate() {
        at += expression.get(at..)?.find(field)?;
        let alone: Vec<&str> = (0..fields.len()).map(|k| if k == i { field } else { "*" }).collect();
        if parser().parse(&alone.join(" ")).is_err() {
            return Some(CronError {
                message: format!("the {name} \"{field}\" is wrong"),
                hint: Some(format!("{name}s are {range}; also *, and such as 1,2 or 1-5 or */10")),
                field: Some(at..at + field.len()),
            });
        }
        at += field.len();
    }
    None
}

impl std::fmt::Debug for Cron {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.expression, self.zone.name())
    }
}
