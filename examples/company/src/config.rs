//! What makes one company differ from another. Two companies with equal settings are equal byte for byte.

use chrono::{DateTime, NaiveDate, Offset, TimeZone};
use chrono_tz::Tz;

use crate::rng::{For, Rng};

#[derive(Clone, Debug)]
pub struct Config {
    pub seed: u64,
    /// Site visits of real people over the whole period, exactly.
    pub visits: u64,
    /// First day of the period, in the counter's zone.
    pub start: NaiveDate,
    pub days: u32,
    /// Zone of the Metrica counter and of the office.
    pub zone: Tz,
    /// Older CRM leads without a chat, in the year before `start`: cheap bulk.
    pub history: u32,
    pub counter_id: u64,
    /// Name of the visit parameter that carries the visit token in Metrica.
    pub token_param: String,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            seed: 1,
            visits: 2_000,
            start: NaiveDate::from_ymd_opt(2026, 8, 1).unwrap_or_default(),
            days: 60,
            zone: chrono_tz::Europe::Moscow,
            history: 0,
            counter_id: 98_765_432,
            token_param: "tl_token".to_owned(),
        }
    }
}

impl Config {
    pub fn rng(&self, purpose: For, a: u64, b: u64) -> Rng {
        Rng::new(self.seed, purpose, a, b)
    }

    /// Days since 1970-01-01 of the first day.
    pub fn start_day(&self) -> i64 {
        i64::from(self.start.to_epoch_days())
    }

    pub fn start_at(&self) -> i64 {
        self.midnight(self.start_day())
    }

    /// The first instant after the period; `now` unless told otherwise.
    pub fn end_at(&self) -> i64 {
        self.midnight(self.start_day() + i64::from(self.days))
    }

    /// The instant a day begins in the counter's zone.
    pub fn midnight(&self, day: i64) -> i64 {
        let naive = DateTime::from_timestamp(day * 86_400, 0).unwrap_or_default().naive_utc();
        self.zone.from_local_datetime(&naive).earliest().map_or(day * 86_400, |t| t.timestamp())
    }

    /// Seconds to add to UTC in the counter's zone at that instant.
    pub fn offset(&self, at: i64) -> i64 {
        let utc = DateTime::from_timestamp(at, 0).unwrap_or_default().naive_utc();
        i64::from(self.zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
    }

    /// The local day number of an instant.
    pub fn day_of(&self, at: i64) -> i64 {
        (at + self.offset(at)).div_euclid(86_400)
    }
}
