//! Instants and the clock.
//!
//! Inside, an instant is an `i64` of microseconds since the Unix epoch, UTC; a day is the number of
//! days since the epoch (arrow's `Date32`). Nothing below the binary reads the machine's clock: it
//! asks the [`Clock`] in its context, so that tests and replays are deterministic.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub const US_PER_SECOND: i64 = 1_000_000;
pub const US_PER_DAY: i64 = 86_400 * US_PER_SECOND;

/// Microseconds since the Unix epoch, UTC.
pub type InstantUs = i64;

#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock, for windows, timestamps and schedules.
    fn now_us(&self) -> InstantUs;
    /// Waits. A test's or a replay's clock moves forward instead of waiting.
    async fn sleep(&self, duration: Duration);

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.now_us()).unwrap_or_default()
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now_us(&self) -> InstantUs {
        Utc::now().timestamp_micros()
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// A clock that stands still until somebody sleeps on it: sleeping moves it by that much at once.
#[derive(Debug)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    pub fn at_us(now: InstantUs) -> Self {
        Self(AtomicI64::new(now))
    }
}

#[async_trait]
impl Clock for FixedClock {
    fn now_us(&self) -> InstantUs {
        self.0.load(Ordering::SeqCst)
    }
    async fn sleep(&self, duration: Duration) {
        let us = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        self.0.fetch_add(us, Ordering::SeqCst);
        // Others may be waiting for the same account: let them run.
        tokio::task::yield_now().await;
    }
}

/// A half-open window of instants: `from <= t < to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Window {
    pub from_us: InstantUs,
    pub to_us: InstantUs,
}
