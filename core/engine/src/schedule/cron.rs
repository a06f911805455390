//! A cron expression in a time zone, with the meaning of crontab.
//!
//! 5 fields (minute hour day month weekday) or 6 (seconds first). Days of month and of week are
//! alternatives when both are given, as in crontab. Around a change of clocks: a fixed time that does
//! not exist on that day runs at the moment of the change; one that comes twice runs once, the first
//! time; "every n minutes" runs through both.

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
}

const FIELDS: &str =
    "5 fields: minute hour day month weekday, such as \"0 6 * * *\"; a 6th, in front, is seconds";

impl Cron {
    /// # Errors
    /// A text that is no expression, and one that never comes due (31 February).
    pub fn parse(expression: &str, zone: Tz) -> Result<Self, CronError> {
        let wrong = |message: String, hint: &str| CronError { message, hint: Some(hint.to_owned()) };
        let text = expression.trim();
        let fields = text.split_whitespace().count();
        // A text of that length is no schedule, and the parser need not see it.
        if text.len() > 256 {
            return Err(wrong("the expression is too long".into(), FIELDS));
        }
        if !text.starts_with('@') && !(5..=6).contains(&fields) {
            return Err(wrong(format!("{fields} fields"), FIELDS));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|e| {
            let said = e.to_string();
            let said = said.trim_start_matches("Component error: ").trim_start_matches("Invalid pattern: ");
            wrong(said.trim_end_matches('.').to_owned(), FIELDS)
        })?;
        let cron = Self { expression: text.to_owned(), zone, cron };
        // Any start will do: what does not come due within the years croner looks ahead never does.
        if cron.next_after(1_767_225_600_000_000).is_none() {
            return Err(wrong("this time never comes".into(), "such a day does not exist in the calendar"));
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

impl std::fmt::Debug for Cron {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.expression, self.zone.name())
    }
}
