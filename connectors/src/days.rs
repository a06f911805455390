//! Whole days, the unit of reports that a vendor restates.

use std::fmt;

use chrono::{Datelike, Days as Count, NaiveDate};
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

    /// In pieces of at most `most` days.
    pub fn chunks(self, most: u32) -> Vec<Self> {
        let more = Count::new(u64::from(most.max(1)) - 1);
        let mut pieces = Vec::new();
        let mut first = Some(self.first);
        while let Some(from) = first.filter(|f| *f <= self.last) {
            let last = from.checked_add_days(more).map_or(self.last, |l| l.min(self.last));
            pieces.push(Self { first: from, last });
            first = last.succ_opt();
        }
        pieces
    }

    /// Two spans of about the same length; this one has two days at least.
    pub fn halves(self) -> (Self, Self) {
        let half = (self.last - self.first).num_days().unsigned_abs() / 2;
        let middle = self.first.checked_add_days(Count::new(half)).unwrap_or(self.first);
        let after = middle.succ_opt().unwrap_or(self.last);
        (Self { first: self.first, last: middle }, Self { first: after, last: self.last })
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn days(first: u32, last: u32) -> Days {
        let day = |d| NaiveDate::from_ymd_opt(2026, 9, d).unwrap();
        Days { first: day(first), last: day(last) }
    }

    #[test]
    fn spans_are_cut_without_gap_or_overlap() {
        assert_eq!(days(1, 7).chunks(3), [days(1, 3), days(4, 6), days(7, 7)]);
        assert_eq!(days(1, 6).chunks(3), [days(1, 3), days(4, 6)]);
        assert_eq!(days(1, 1).chunks(365), [days(1, 1)]);
        assert_eq!(days(1, 2).halves(), (days(1, 1), days(2, 2)));
        assert_eq!(days(1, 5).halves(), (days(1, 3), days(4, 5)));
    }
}
