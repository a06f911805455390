//! Whole days, the unit of reports that a vendor restates.

use std::fmt;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

/// Whole days, both ends included, as report interfaces have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Days {
    pub first: NaiveDate,
    pub last: NaiveDate,
}

impl Days {
    /// The same as a window of the engine: days since the epoch, half-open.
    pub fn window(self) -> (i32, i32) {
        (since_epoch(self.first), since_epoch(self.last) + 1)
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.first, self.last)
    }
}

/// Days as arrow counts them.
fn since_epoch(day: NaiveDate) -> i32 {
    day.num_days_from_ce() - NaiveDate::default().num_days_from_ce()
}
