//! When a pipeline runs by itself.
//!
//! [`Schedule`] is the `[schedule]` section; [`daemon`] is the loop that obeys it.

mod cron;
pub mod daemon;
mod events;
mod runner;
mod watch;

use std::time::Duration;

pub use cron::Cron;
pub use watch::pipeline_files;

use crate::pipeline::Section;
use crate::suggest;

/// `[schedule]` of a pipeline file.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub cron: Cron,
    pub overlap: Overlap,
    pub missed: Missed,
    pub retry: RetryPolicy,
}

/// What to do when a run is due and the one before still runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// Leave it out: the next one reads what is new all the same.
    #[default]
    Skip,
    /// Start it as soon as the other ends; of several that came due meanwhile, one.
    Queue,
}

/// What to do about runs that came due while nobody was there to start them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// Run once, at once, however many were missed.
    #[default]
    Once,
    /// Wait for the next.
    Skip,
}

/// What to do after a run failed with an error that may pass. An error that will not pass by itself
/// waits for the next time of the schedule, or for a change of the pipeline file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Runs in all, the first included.
    pub attempts: u32,
    /// Before the second; doubled for each that follows.
    pub wait: Duration,
    pub max_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 4, wait: Duration::from_secs(60), max_wait: Duration::from_secs(3600) }
    }
}

impl RetryPolicy {
    /// How long to wait before the next attempt, when `made` were made; `None`: no more. What the
    /// other side asked for is obeyed, up to `max_wait`.
    pub fn wait_after(&self, made: u32, asked: Option<Duration>) -> Option<Duration> {
        if made >= self.attempts {
            return None;
        }
        let doublings = made.saturating_sub(1).min(30);
        let own = self.wait.saturating_mul(1 << doublings).min(self.max_wait);
        Some(own.max(asked.unwrap_or_default().min(self.max_wait)))
    }
}

/// Reads `[schedule]`; what is wrong is in the section's report.
pub(crate) fn read(section: Section<'_>) -> Option<Schedule> {
    let expression = section.required_text("cron", "\"0 6 * * *\"");
    let zone = match section.text("time_zone") {
        None => Some(chrono_tz::UTC),
        Some(given) => match given.value.parse::<chrono_tz::Tz>() {
            Ok(zone) => Some(zone),
            Err(_) => {
                let hint = suggest::nearest(given.value, chrono_tz::TZ_VARIANTS.iter().map(|z| z.name()))
                    .map(|near| format!("did you mean \"{near}\"?"))
                    .or_else(|| Some("an IANA name such as \"Europe/Moscow\" or \"UTC\"".to_owned()));
                section.error(given.span, format!("there is no time zone \"{}\"", given.value), hint);
                None
            }
        },
    };
    let overlap =
        section.choice("overlap", &[("skip", Overlap::Skip), ("queue", Overlap::Queue)]).unwrap_or_default();
    let missed =
        section.choice("missed", &[("once", Missed::Once), ("skip", Missed::Skip)]).unwrap_or_default();
    let retry = section.table("retry", "[schedule.retry]").map_or_else(RetryPolicy::default, read_retry);
    let cron = expression.and_then(|given| match Cron::parse(given.value, zone.unwrap_or(chrono_tz::UTC)) {
        Ok(cron) => Some(cron),
        Err(why) => {
            let span = why.field.map_or(given.span.clone(), |field| section.inside(&given, field));
            section.error(span, format!("cron = \"{}\": {}", given.value, why.message), why.hint);
            None
        }
    });
    section.finish();
    zone?;
    Some(Schedule { cron: cron?, overlap, missed, retry })
}

fn read_retry(section: Section<'_>) -> RetryPolicy {
    let mut retry = RetryPolicy::default();
    if let Some(attempts) = section.whole("attempts", 1..=100) {
        retry.attempts = attempts as u32;
    }
    if let Some(wait) = section.duration("wait") {
        retry.wait = wait.value;
        retry.max_wait = retry.max_wait.max(wait.value);
    }
    if let Some(max_wait) = section.duration("max_wait") {
        if max_wait.value < retry.wait {
            section.error(max_wait.span, "max_wait is shorter than wait", None);
        } else {
            retry.max_wait = max_wait.value;
        }
    }
    section.finish();
    retry
}
