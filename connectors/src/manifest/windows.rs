//! Which windows a read goes through, and how their bounds are written.

use serde_json::Value;
use throughline_core::time::{InstantUs, Window};
use throughline_core::{Error, Result};

use super::client::Connection;
use super::moments::{Zone, day_number, day_of, read_iso, us};
use super::plan::{DaysPlan, IncrementalPlan, StreamPlan};
use super::spec::{Days, Incremental};
use super::state::{Span, State, Turn};
use super::template::Template;

/// The windows of one read. The upper end is fixed when the read begins.
pub(crate) enum Windows {
    /// One window without bounds.
    All,
    Times {
        upper: InstantUs,
        start: Option<InstantUs>,
        overlap: InstantUs,
        step: Option<InstantUs>,
        zone: Zone,
    },
    /// In days since the epoch.
    Days { upper: i64, start: i64, again: i64, step: i64, zone: Zone },
}

impl Windows {
    /// `backfill` is an explicit window, which wins over what was read before.
    pub fn new(
        connection: &Connection,
        plan: &StreamPlan,
        now: InstantUs,
        backfill: Option<Window>,
    ) -> Result<Self> {
        if let Some(times) = &plan.incremental {
            return Self::times(connection, times, now, backfill);
        }
        if let (Some(days), Some(spec)) = (&plan.days, &plan.spec.days) {
            return Self::days(connection, days, spec, now, backfill);
        }
        match backfill {
            None => Ok(Self::All),
            Some(_) => Err(Error::unsupported(format!(
                "stream {:?} cannot be read from one time to another",
                plan.spec.name
            ))
            .hint("leave it out of --from and --to")),
        }
    }

    fn times(
        connection: &Connection,
        plan: &IncrementalPlan,
        now: InstantUs,
        backfill: Option<Window>,
    ) -> Result<Self> {
        let zone = zone(connection, plan.zone.as_ref())?;
        let floor = |at: InstantUs| at - at.rem_euclid(us(plan.resolution).max(1));
        let start = match plan.start.as_ref().and_then(|t| t.text(&|n| connection.value(n))) {
            None => None,
            Some(text) => Some(read_iso(&text, zone).ok_or_else(|| {
                Error::config(format!("start {text:?} is no date")).hint("write it as 2026-09-01")
            })?),
        };
        let step = plan.step.map(us);
        let overlap = us(plan.overlap);
        Ok(match backfill {
            None => Self::Times {
                upper: floor(now.saturating_sub(us(plan.lag))),
                start: start.map(floor),
                overlap,
                step,
                zone,
            },
            Some(w) => {
                Self::Times { upper: floor(w.to_us), start: Some(floor(w.from_us)), overlap: 0, step, zone }
            }
        })
    }

    fn days(
        connection: &Connection,
        plan: &DaysPlan,
        spec: &Days,
        now: InstantUs,
        backfill: Option<Window>,
    ) -> Result<Self> {
        let zone = zone(connection, plan.zone.as_ref())?;
        let day = |at: InstantUs| i64::from(day_number(zone.local(at).date()));
        let step = i64::from(spec.step);
        if let Some(w) = backfill {
            let upper = day(w.to_us.saturating_sub(1)) + 1;
            return Ok(Self::Days { upper, start: day(w.from_us), again: 0, step, zone });
        }
        let text = plan
            .start
            .text(&|n| connection.value(n))
            .ok_or_else(|| Error::config("the option with the first day is not set"))?;
        let start = throughline_core::instant::parse_date(&text).ok_or_else(|| {
            Error::config(format!("start {text:?} is no date")).hint("write it as 2026-09-01")
        })?;
        let upper = day(now) + i64::from(spec.today);
        Ok(Self::Days { upper, start: i64::from(day_number(start)), again: spec.again.into(), step, zone })
    }

    /// The next window, or none when all is read. `first` is the first one this read opens: it begins
    /// before the last read's end.
    pub fn next(&self, state: &State, first: bool, stream: &str, now: InstantUs) -> Option<Span> {
        match *self {
            Self::All => first.then(Span::default),
            Self::Times { upper, start, overlap, step, .. } => {
                let from = match state.done_to {
                    Some(done) if done >= upper => return None,
                    Some(done) if first => Some(done.saturating_sub(overlap)),
                    Some(done) => Some(done),
                    None => start,
                };
                if from.is_some_and(|from| from >= upper) {
                    return None;
                }
                let to = match (from, step) {
                    (Some(from), Some(step)) => from.saturating_add(step).min(upper),
                    _ => upper,
                };
                Some(Span { from, to: Some(to), id: None })
            }
            Self::Days { upper, start, again, step, .. } => {
                let from = match state.done_to {
                    Some(done) if first => done.min(upper).saturating_sub(again).max(start),
                    Some(done) => done,
                    None => start,
                };
                if from >= upper {
                    return None;
                }
                let to = from.saturating_add(step).min(upper);
                Some(Span { from: Some(from), to: Some(to), id: Some(format!("{stream}:{from}:{to}:{now}")) })
            }
        }
    }

    /// `{from}` and `{to}`.
    pub fn bound(&self, name: &str, plan: &StreamPlan, span: &Span, turn: &Turn) -> Option<Value> {
        match self {
            Self::All => None,
            Self::Times { zone, .. } => {
                let (plan, spec) = (plan.incremental.as_ref()?, plan.spec.incremental.as_ref()?);
                bound_of_time(name, plan, spec, span, turn, *zone)
            }
            Self::Days { .. } => {
                let spec = plan.spec.days.as_ref()?;
                let day = if name == "from" { span.from? } else { span.to? - 1 };
                let date = day_of(i32::try_from(day).ok()?);
                Some(date.format(&spec.format).to_string().into())
            }
        }
    }

    pub fn zone(&self) -> Zone {
        match self {
            Self::All => Zone::utc(),
            Self::Times { zone, .. } | Self::Days { zone, .. } => *zone,
        }
    }
}

fn bound_of_time(
    name: &str,
    plan: &IncrementalPlan,
    spec: &Incremental,
    span: &Span,
    turn: &Turn,
    zone: Zone,
) -> Option<Value> {
    let step = us(plan.resolution);
    let at = if name == "from" {
        let from = turn.anchor.or(span.from)?;
        if spec.from_exclusive { from - step } else { from }
    } else {
        let to = span.to?;
        if spec.to_inclusive { to - step } else { to }
    };
    Some(plan.format.write(at, zone))
}

fn zone(connection: &Connection, template: Option<&Template>) -> Result<Zone> {
    match template.and_then(|t| t.text(&|n| connection.value(n))) {
        None => Ok(Zone::utc()),
        Some(text) => Zone::parse(&text).map_err(Error::config),
    }
}
