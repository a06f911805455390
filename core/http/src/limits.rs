//! The rate limits of vendors' accounts, shared by everything in the process.
//!
//! Each account ([`Account::key`]) has a queue. Whoever stands first waits until fewer than `parallel`
//! requests are under way, no pause that the vendor asked for is running and the token bucket has a
//! token; then the next one moves up. So order is kept, and a dropped future leaves nothing behind.
//!
//! A 429 halves the account's rate; it grows back over minutes. All waiting is done on the clock of the
//! caller: a fixed clock makes it instant. Clients on different clocks must not share limits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use throughline_core::http::Account;
use throughline_core::time::{Clock, InstantUs};
use throughline_core::{Error, ErrorKind, Result};
use tokio::sync::Notify;

/// An account never becomes slower than this part of its rate.
const SLOWEST: f64 = 1.0 / 32.0;
/// Of the full rate, regained per second: half the rate comes back in five minutes.
const RECOVERY_PER_S: f64 = 0.5 / 300.0;

/// The limits of a process: make one, share it by `Arc` between all clients.
#[derive(Default)]
pub struct Limits {
    accounts: Mutex<HashMap<Arc<str>, Arc<State>>>,
}

struct State {
    /// Held by the one whose turn it is. Fair: first come, first served.
    turn: tokio::sync::Mutex<()>,
    /// A request ended.
    freed: Notify,
    pace: Mutex<Pace>,
}

/// Instants are of the caller's clock.
struct Pace {
    tokens: f64,
    /// When `tokens` and `factor` were last brought up to date.
    at_us: InstantUs,
    /// The part of the allowed rate that we dare to use.
    factor: f64,
    /// How often the rate was halved: many requests that were under way together count once.
    slowdowns: u64,
    pause_until_us: InstantUs,
    under_way: u32,
}

enum Step {
    Go {
        slowdowns: u64,
    },
    /// All `parallel` places are taken.
    Full,
    Wait(Duration),
    /// The vendor's pause is longer than our patience.
    TooLong(Duration),
}

/// The right to have one request under way. Dropping it gives the place back.
pub struct Permit {
    state: Arc<State>,
    slowdowns: u64,
}

impl Limits {
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for the account's turn.
    ///
    /// # Errors
    /// RateLimited when the vendor asked for a pause that lasts longer than `patience`; Config when the
    /// account's limits are no limits.
    pub(crate) async fn acquire(
        &self,
        account: &Account,
        clock: &dyn Clock,
        patience: Duration,
    ) -> Result<Permit> {
        if !(account.per_second > 0.0 && account.per_second.is_finite()) {
            let message =
                format!("account {}: {} requests per second is no limit", account.key, account.per_second);
            return Err(Error::config(message));
        }
        let state = self.state(account, clock.now_us());
        let turn = state.turn.lock().await;
        let slowdowns = loop {
            let step = state.pace().step(account, clock.now_us(), patience);
            match step {
                Step::Go { slowdowns } => break slowdowns,
                // `notify_one` keeps one notice for whoever waits next, so none is missed here.
                Step::Full => state.freed.notified().await,
                Step::Wait(wait) => clock.sleep(wait).await,
                Step::TooLong(left) => return Err(too_long(account, left, patience)),
            }
        };
        drop(turn);
        Ok(Permit { state, slowdowns })
    }

    fn state(&self, account: &Account, now_us: InstantUs) -> Arc<State> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(State {
                turn: tokio::sync::Mutex::new(()),
                freed: Notify::new(),
                pace: Mutex::new(Pace {
                    tokens: f64::from(account.burst.max(1)),
                    at_us: now_us,
                    factor: 1.0,
                    slowdowns: 0,
                    pause_until_us: InstantUs::MIN,
                    under_way: 0,
                }),
            })
        };
        accounts.entry(account.key.clone()).or_insert_with(new).clone()
    }
}

pub(crate) fn too_long(account: &Account, left: Duration, patience: Duration) -> Error {
    let message = format!(
        "{} asked for a pause of {} s, longer than max_wait_s = {}",
        account.key,
        left.as_secs_f64().ceil(),
        patience.as_secs()
    );
    Error::new(ErrorKind::RateLimited, message)
        .temporary(Some(left))
        .hint("run again later, or raise [http] max_wait_s")
}

impl State {
    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    fn step(&mut self, account: &Account, now_us: InstantUs, patience: Duration) -> Step {
        self.refill(account, now_us);
        let left = us(self.pause_until_us.saturating_sub(now_us));
        if left > patience {
            return Step::TooLong(left);
        }
        if self.under_way >= account.parallel.max(1) {
            return Step::Full;
        }
        if !left.is_zero() {
            return Step::Wait(left);
        }
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            self.under_way += 1;
            return Step::Go { slowdowns: self.slowdowns };
        }
        let seconds = (1.0 - self.tokens) / (account.per_second * self.factor);
        // Up to the next microsecond, or rounding would make us come back for nothing.
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        Step::Wait(wait.saturating_add(Duration::from_micros(1)))
    }

    fn refill(&mut self, account: &Account, now_us: InstantUs) {
        if now_us < self.at_us {
            // The machine's clock was set back: what was to be waited for moves with it.
            self.pause_until_us = self.pause_until_us.saturating_sub(self.at_us - now_us);
        }
        let seconds = us(now_us.saturating_sub(self.at_us)).as_secs_f64();
        self.at_us = now_us;
        // While the vendor complains, its burst is not ours to use.
        let burst = if self.factor < 1.0 { 1.0 } else { f64::from(account.burst.max(1)) };
        self.tokens = (self.tokens + seconds * account.per_second * self.factor).min(burst);
        self.factor = (self.factor + seconds * RECOVERY_PER_S).min(1.0);
    }
}

impl Permit {
    /// The whole account waits this long from now.
    pub fn pause(&self, now_us: InstantUs, pause: Duration) {
        let until = now_us.saturating_add(InstantUs::try_from(pause.as_micros()).unwrap_or(InstantUs::MAX));
        let mut pace = self.state.pace();
        pace.pause_until_us = pace.pause_until_us.max(until);
    }

    /// The vendor said that we are too fast: half the rate, once for all that was under way together.
    pub fn slow_down(&self) {
        let mut pace = self.state.pace();
        if pace.slowdowns == self.slowdowns {
            pace.slowdowns += 1;
            pace.factor = (pace.factor / 2.0).max(SLOWEST);
            pace.tokens = pace.tokens.min(0.0);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut pace = self.state.pace();
        pace.under_way = pace.under_way.saturating_sub(1);
        drop(pace);
        self.state.freed.notify_one();
    }
}

fn us(us: i64) -> Duration {
    Duration::from_micros(us.max(0).unsigned_abs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use throughline_core::FixedClock;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(600);
    const START: InstantUs = 1_700_000_000_000_000;

    fn account(per_second: f64, burst: u32, parallel: u32) -> Account {
        Account { key: "crm:a".into(), per_second, burst, parallel }
    }

    fn elapsed(clock: &FixedClock) -> f64 {
        (clock.now_us() - START) as f64 / 1e6
    }

    #[tokio::test]
    async fn the_bucket_is_shared_and_refills() {
        let (limits, clock) = (Limits::new(), FixedClock::at_us(START));
        let account = account(5.0, 3, 9);
        for _ in 0..13 {
            limits.acquire(&account, &clock, PATIENCE).await.unwrap();
        }
        // Three at once, ten at five a second.
        assert!((elapsed(&clock) - 2.0).abs() < 0.001, "{}", elapsed(&clock));
        clock.sleep(Duration::from_secs(3600)).await;
        let before = clock.now_us();
        for _ in 0..3 {
            limits.acquire(&account, &clock, PATIENCE).await.unwrap();
        }
        assert_eq!(clock.now_us(), before, "a rest fills the burst and no more");
        limits.acquire(&account, &clock, PATIENCE).await.unwrap();
        assert!(clock.now_us() > before);
    }

    #[tokio::test]
    async fn parallel_places_are_given_back_also_by_dropped_waiters() {
        let (limits, clock) = (Arc::new(Limits::new()), Arc::new(FixedClock::at_us(START)));
        let account = account(1e6, 1000, 2);
        let one = limits.acquire(&account, &*clock, PATIENCE).await.unwrap();
        let two = limits.acquire(&account, &*clock, PATIENCE).await.unwrap();
        for _ in 0..3 {
            let waiting = limits.acquire(&account, &*clock, PATIENCE);
            assert!(
                tokio::time::timeout(Duration::from_millis(5), waiting).await.is_err(),
                "a third must wait"
            );
        }
        drop(one);
        drop(two);
        let three = limits.acquire(&account, &*clock, PATIENCE).await.unwrap();
        let _four = limits.acquire(&account, &*clock, PATIENCE).await.unwrap();
        let (l, c, a) = (limits.clone(), clock.clone(), account.clone());
        let five = tokio::spawn(async move { l.acquire(&a, &*c, PATIENCE).await.map(drop) });
        tokio::task::yield_now().await;
        drop(three);
        five.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_pause_is_for_the_account_and_a_429_halves_once() {
        let (limits, clock) = (Limits::new(), FixedClock::at_us(START));
        let account = account(10.0, 5, 9);
        let together = [
            limits.acquire(&account, &clock, PATIENCE).await.unwrap(),
            limits.acquire(&account, &clock, PATIENCE).await.unwrap(),
        ];
        for permit in &together {
            permit.slow_down();
            permit.pause(clock.now_us(), Duration::from_secs(30));
        }
        drop(together);
        limits.acquire(&account, &clock, PATIENCE).await.unwrap();
        assert!((elapsed(&clock) - 30.0).abs() < 0.01, "{}", elapsed(&clock));
        let factor = limits.state(&account, START).pace().factor;
        assert!((0.5..0.6).contains(&factor), "halved once, somewhat recovered: {factor}");
        let before = elapsed(&clock);
        for _ in 0..5 {
            limits.acquire(&account, &clock, PATIENCE).await.unwrap();
        }
        assert!(elapsed(&clock) - before > 0.8, "the burst is withheld and the rate lower");
        clock.sleep(Duration::from_secs(600)).await;
        limits.acquire(&account, &clock, PATIENCE).await.unwrap();
        assert!((limits.state(&account, START).pace().factor - 1.0).abs() < 1e-9);
        for _ in 0..20 {
            limits.acquire(&account, &clock, PATIENCE).await.unwrap().slow_down();
        }
        assert!(limits.state(&account, START).pace().factor >= SLOWEST);
    }

    #[tokio::test]
    async fn impatience_and_a_clock_set_back() {
        let limits = Limits::new();
        let clock = FixedClock::at_us(START);
        let account = account(10.0, 5, 9);
        limits.acquire(&account, &clock, PATIENCE).await.unwrap().pause(START, Duration::from_secs(601));
        let error = limits.acquire(&account, &clock, PATIENCE).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(
            error.retry(),
            throughline_core::Retry::Temporary { after: Some(Duration::from_secs(601)) }
        );
        // An hour back: still a pause of ten minutes, not of seventy.
        let earlier = FixedClock::at_us(START - 3_600_000_000);
        limits.acquire(&account, &earlier, Duration::from_secs(601)).await.unwrap();
        assert_eq!(earlier.now_us(), START - 3_600_000_000 + 601_000_000);
        for nonsense in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let account = Account { per_second: nonsense, ..account.clone() };
            assert!(limits.acquire(&account, &clock, PATIENCE).await.is_err());
        }
    }
}
