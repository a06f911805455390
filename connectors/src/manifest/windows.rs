//! Which windows a read goes through, and how their bounds are written.

use serde_json::Value;
use throughline_core::time::{InstantUs, Window};
use throughline_core::{Error, Result};

use super::client::Connection;
use super::moments::{Format, Zone, day_number, day_of, read_iso, us};
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
        wording: Wording,
    },
    /// In days since the epoch.
    Days { upper: i64, start: i64, again: i64, step: i64, format: String },
}

/// How bounds in time are written.
pub(crate) struct Wording {
    pub zone: Zone,
    format: Format,
    resolution: InstantUs,
    to_inclusive: bool,
    from_exclusive: bool,
}

impl Windows {
    /// `backfill` is an explicit window, which wins over what was read before.
    pub fn new(
        connection: &Connection,
        plan: &StreamPlan,
        now: InstantUs,
        backfill: Option<Window>,
    ) -> Result<Self> {
        if let (Some(times), Some(spec)) = (&plan.incremental, &plan.spec.incremental) {
            return Self::times(connection, times, spec, now, backfill);
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
        spec: &Incremental,
        now: InstantUs,
        backfill: Option<Window>,
    ) -> Result<Self> {
        let zone = zone(connection, plan.zone.as_ref())?;
        let resolution = us(plan.resolution).max(1);
        let floor = |at: InstantUs| at - at.rem_euclid(resolution);
        let start = match plan.start.as_ref().and_then(|t| t.text(&|n| connection.value(n))) {
            None => None,
            Some(text) => Some(read_iso(&text, zone).ok_or_else(|| {
                Error::config(format!("start {text:?} is no date")).hint("write it as 2026-09-01")
            })?),
        };
        let step = plan.step.map(us);
        let overlap = us(plan.overlap);
        let wording = Wording {
            zone,
            format: plan.format.clone(),
            resolution,
            to_inclusive: spec.to_inclusive,
            from_exclusive: spec.from_exclusive,
        };
        let (upper, start, overlap) = match backfill {
            None => (floor(now.saturating_sub(us(plan.lag))), start.map(floor), overlap),
            // A bound between two times that can be written takes the whole step with it.
            Some(w) => (floor(w.to_us.saturating_add(resolution - 1)), Some(floor(w.from_us)), 0),
        };
        Ok(Self::Times { upper, start, overlap, step, wording })
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
            return Ok(Self::Days {
                upper,
                start: day(w.from_us),
                again: 0,
                step,
                format: spec.format.clone(),
            });
        }
        let text = plan
            .start
            .text(&|n| connection.value(n))
            .ok_or_else(|| Error::config("the option with the first day is not set"))?;
        let start = throughline_core::instant::parse_date(&text).ok_or_else(|| {
            Error::config(format!("start {text:?} is no date")).hint("write it as 2026-09-01")
        })?;
        let upper = day(now) + i64::from(spec.today);
        let (start, again) = (i64::from(day_number(start)), spec.again.into());
        Ok(Self::Days { upper, start, again, step, format: spec.format.clone() })
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
                let twice = state.width.map(|width| width.saturating_mul(2));
                let to = match (from, step.into_iter().chain(twice).min()) {
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

    /// The first half of a window, when its first page tells of too many records and it can be shorter.
    pub fn half(&self, span: &Span, split: Option<u64>, left: Option<u64>) -> Option<Span> {
        let Self::Times { wording, .. } = self else { return None };
        let (from, to) = (span.from?, span.to?);
        if left? < split? {
            return None;
        }
        let middle = from + (to - from) / 2;
        let middle = middle - middle.rem_euclid(wording.resolution);
        (middle > from).then_some(Span { to: Some(middle), ..span.clone() })
    }

    /// `{from}` and `{to}`.
    pub fn bound(&self, name: &str, span: &Span, turn: &Turn) -> Option<Value> {
        if !matches!(name, "from" | "to") {
            return None;
        }
        match self {
            Self::All => None,
            Self::Times { wording: w, .. } => {
                let at = if name == "from" {
                    let from = turn.anchor.or(span.from)?;
                    if w.from_exclusive { from - w.resolution } else { from }
                } else {
                    let to = span.to?;
                    if w.to_inclusive { to - w.resolution } else { to }
                };
                Some(w.format.write(at, w.zone))
            }
            Self::Days { format, .. } => {
                let day = if name == "from" { span.from? } else { span.to? - 1 };
                Some(day_of(i32::try_from(day).ok()?).format(format).to_string().into())
            }
        }
    }

    pub fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    pub fn zone(&self) -> Zone {
        match self {
            Self::Times { wording, .. } => wording.zone,
            Self::All | Self::Days { .. } => Zone::utc(),
        }
    }
}

fn zone(connection: &Connection, template: Option<&Template>) -> Result<Zone> {
    match template.and_then(|t| t.text(&|n| connection.value(n))) {
        None => Ok(Zone::utc()),
        Some(text) => Zone::parse(&text).map_err(Error::config),
    }
}
