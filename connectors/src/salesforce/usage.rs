//! How much of the org's daily API requests is used: by all programs together, and by this run of ours.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use throughline_core::{Context, Error, ErrorKind, Result};

use super::config::Settings;

/// Requests of the last 24 hours count: they come back bit by bit.
pub(crate) const QUOTA_PAUSE: Duration = Duration::from_secs(3600);

/// Counted over all streams of a run. What the org says is from the latest answer, 0 while unknown.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// By all programs in 24 hours.
    used: AtomicU64,
    /// That the org has in 24 hours.
    most: AtomicU64,
    /// By this run.
    sent: AtomicU64,
}

/// The usage of the run at hand: a source may outlive many.
#[derive(Debug, Default)]
pub(crate) struct UsageOfRun(Mutex<(PathBuf, Arc<Usage>)>);

impl UsageOfRun {
    /// That of the run to which `ctx` belongs. Each run has a scratch folder of its own.
    pub fn of(&self, ctx: &Context) -> Arc<Usage> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != ctx.scratch {
            *kept = (ctx.scratch.clone(), Arc::default());
        }
        kept.1.clone()
    }
}

impl Usage {
    /// Counts a request that is about to be sent.
    pub fn sending(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes in what an answer tells, the header `Sforce-Limit-Info`.
    pub fn told(&self, header: Option<&str>) {
        if let Some((used, most)) = header.and_then(api_usage) {
            self.used.store(used, Ordering::Relaxed);
            self.most.store(most, Ordering::Relaxed);
        }
    }

    /// Leaves the org's other programs what they need.
    ///
    /// # Errors
    /// One of the two shares is used up: temporary, since a later run goes on.
    pub fn within(&self, settings: &Settings) -> Result<()> {
        let of = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let (used, most, sent) = (of(&self.used), of(&self.most), of(&self.sent));
        let over = |n: u64, percent: u32| {
            most > 0 && n.saturating_mul(100) >= most.saturating_mul(u64::from(percent))
        };
        let (message, hint) = if over(used, settings.most_daily_percent) {
            (
                format!(
                    "the org has used {used} of its {most} API requests in 24 hours, and {} % is where this source \
                     stops",
                    settings.most_daily_percent
                ),
                "what was read is safe, a later run goes on behind it; see Setup, Company Information for who asks, \
                 or raise most_daily_percent",
            )
        } else if over(sent, settings.most_run_percent) {
            (
                format!(
                    "this run has sent {sent} of the {most} API requests that the org has in 24 hours, and {} % is \
                     where a run stops",
                    settings.most_run_percent
                ),
                "what was read is safe, the next run goes on behind it; for a long first read raise \
                 most_run_percent, or let more come in bulk with a lower bulk_from",
            )
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::RateLimited, message).hint(hint).temporary(Some(QUOTA_PAUSE)))
    }
}

/// Used and most, from `api-usage=18/15000` with possibly more behind it.
fn api_usage(header: &str) -> Option<(u64, u64)> {
    let usage = header.split([';', ',']).find_map(|part| part.trim().strip_prefix("api-usage="))?;
    let (used, rest) = usage.split_once('/')?;
    let most: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((used.trim().parse().ok()?, most.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read() {
        assert_eq!(api_usage("api-usage=18/15000"), Some((18, 15_000)));
        let with_app = "api-usage=25/5000; per-app-api-usage=17/250(appName=sample)";
        assert_eq!(api_usage(with_app), Some((25, 5_000)));
        assert_eq!(api_usage("per-app-api-usage=17/250(appName=x)"), None);
    }
}
