//! The checks, and in which order they run.

mod again;
mod catalog;
mod faults;
mod options;
mod stop;
mod whole;

use throughline_core::{Error, StreamSpec};

pub(crate) use options::options;

use crate::Suite;
use crate::landed::{Landed, count, land};
use crate::reading::{Reading, request};
use crate::report::{Check, Findings, Outcome, Report, Verdict, skipped};
use crate::watch::Plan;

macro_rules! checks {
    ($($name:ident $number:literal $word:literal $promise:literal,)*) => {
        $(pub(crate) const $name: Check = Check { number: $number, name: $word, promise: $promise };)*
        /// Every check, by number.
        pub const CHECKS: &[Check] = &[$($name),*];
    };
}

checks! {
    CATALOG 1 "catalog" "names, keys, types and mappings fit together, and discover agrees with them",
    OPTIONS 2 "options" "wrong options are errors that name the option",
    CONNECTION 3 "connection" "check succeeds with good credentials",
    READ 4 "read" "the stream reads to its end",
    EVENTS 5 "events" "windows and replaces nest, their ids are used once, their rows lie in them",
    ROWS 6 "rows" "rows are sound, have their key, and a key is one record",
    COUNTS 7 "counts" "the vendor's number, the number told and the rows that came are equal",
    REPEATABLE 8 "repeatable" "reading twice gives the same rows",
    CHECKPOINTS 9 "checkpoints" "checkpoints come, survive the store, may be told twice and hold no secret",
    RESUMABLE 10 "resumable" "stopped at any checkpoint and resumed, nothing is lost and nothing twice",
    INCREMENTAL 11 "incremental" "behind the last checkpoint there is nothing new",
    DRY_READ 12 "dry_read" "a dry read ends after so many pages",
    WINDOWS 13 "windows" "two windows give what one over both gives",
    CANCEL 14 "cancel" "stopped between events, the read ends at once and says so",
    CANCEL_REQUEST 15 "cancel_request" "stopped while a request is under way, the read ends at once and says so",
    HTTP_ERRORS 16 "http_errors" "a broken request ends the read with an error, and a later read gives all",
    HTTP_RUBBISH 17 "http_rubbish" "rubbish in an answer ends the read with an error, and a later read gives all",
}

/// One stream under test.
pub(crate) struct Lab<'s> {
    pub suite: &'s Suite,
    pub spec: StreamSpec,
    /// The first whole read, and what stands of it.
    pub whole: Reading,
    pub landed: Landed,
    outcomes: Vec<Outcome>,
}

pub(crate) async fn run(suite: &Suite) -> Report {
    let mut outcomes = Vec::new();
    let mut of_source = |check: Check, verdict: Verdict| {
        outcomes.push(Outcome { check, stream: None, verdict });
    };
    let process = match suite.process(&Default::default(), Plan::Pass) {
        Ok(process) => process,
        Err(error) => {
            let mut wrong = Findings::default();
            wrong.add(
                &*suite.name,
                "a source that can be set up",
                format!("the error: {error}"),
                "mend what it names",
            );
            of_source(CATALOG, wrong.verdict(""));
            return Report { source: suite.name.clone(), outcomes };
        }
    };
    let (verdict, known) = catalog::catalog(suite, &process).await;
    of_source(CATALOG, verdict);
    of_source(OPTIONS, options(suite.options.as_ref()));
    of_source(CONNECTION, catalog::connection(suite).await);
    let wanted = suite.streams.clone();
    let wanted = wanted.unwrap_or_else(|| known.streams.iter().map(|s| s.name.clone()).collect());
    for name in wanted {
        let Some(spec) = known.stream(&name) else {
            let names: Vec<&str> = known.streams.iter().map(|s| s.name.as_str()).collect();
            let mut wrong = Findings::default();
            let found = format!("the streams {}", names.join(", "));
            wrong.add(&*suite.name, format!("a stream {name:?}"), found, "name one of these");
            outcomes.push(Outcome { check: READ, stream: Some(name), verdict: wrong.verdict("") });
            continue;
        };
        let whole = suite.read(spec, request(spec, None)).await;
        let landed = land(&[&whole.facts], spec, false);
        let mut lab = Lab { suite, spec: spec.clone(), whole, landed, outcomes: Vec::new() };
        lab.run().await;
        outcomes.extend(lab.outcomes);
    }
    Report { source: suite.name.clone(), outcomes }
}

impl Lab<'_> {
    async fn run(&mut self) {
        let read = self.readable();
        self.note(READ, read);
        if self.failed(READ) {
            for check in &CHECKS[usize::from(READ.number)..] {
                self.note(*check, skipped("the stream could not be read"));
            }
            return;
        }
        self.note(EVENTS, whole::events(self));
        self.note(ROWS, whole::rows(self));
        self.note(COUNTS, whole::counts(self));
        self.note(REPEATABLE, again::repeatable(self).await);
        self.note(CHECKPOINTS, again::checkpoints(self).await);
        // What follows compares reads with each other.
        if !self.comparable() {
            for check in [RESUMABLE, INCREMENTAL, DRY_READ, WINDOWS] {
                self.note(check, skipped("reads cannot be compared while an earlier check fails"));
            }
        } else {
            self.note(RESUMABLE, again::resumable(self).await);
            self.note(INCREMENTAL, again::incremental(self).await);
            self.note(DRY_READ, again::dry_read(self).await);
            self.note(WINDOWS, again::windows(self).await);
        }
        self.note(CANCEL, stop::cancel(self).await);
        self.note(CANCEL_REQUEST, stop::cancel_request(self).await);
        let resumes = self.comparable() && !self.failed(RESUMABLE) && self.resumes().is_ok();
        self.note(HTTP_ERRORS, faults::errors(self, resumes).await);
        self.note(HTTP_RUBBISH, faults::rubbish(self, resumes).await);
    }

    fn note(&mut self, check: Check, verdict: Verdict) {
        self.outcomes.push(Outcome { check, stream: Some(self.spec.name.clone()), verdict });
    }

    fn failed(&self, check: Check) -> bool {
        self.outcomes.iter().any(|o| o.check == check && matches!(o.verdict, Verdict::Failed { .. }))
    }

    /// Whether two reads of this stream can be compared at all.
    pub fn comparable(&self) -> bool {
        !self.failed(REPEATABLE) && !self.failed(EVENTS)
    }

    fn readable(&self) -> Verdict {
        let (whole, mut wrong) = (&self.whole, Findings::default());
        if let Some(request) = &whole.missing {
            wrong.add(
                self.place(""),
                "an answer to every request of a whole read",
                format!("no recorded answer to {request}"),
                "record it, or write it into the file of answers; see docs/connector-tests.md",
            );
        } else if !whole.ended() {
            wrong.add(
                self.place(""),
                "a read to the end without an error",
                whole.end_words(&self.suite.bounds),
                "mend what the error names; nothing else can be tested before",
            );
        } else if whole.after_error {
            wrong.add(self.place(""), "nothing behind an error", "further events", "end the stream there");
        }
        let rows = whole.rows().count();
        wrong.verdict(format!("{} by {}", count(rows, "row"), count(whole.exchanges, "request")))
    }

    /// `deals`, or `deals, checkpoint 3 of 7`.
    pub fn place(&self, more: &str) -> String {
        let comma = if more.is_empty() { "" } else { ", " };
        format!("{}{comma}{more}", self.spec.name)
    }

    /// Whether the engine goes on in the middle of this stream; else why not.
    pub fn resumes(&self) -> Result<(), &'static str> {
        let can = self.spec.capabilities;
        if !can.resumable {
            Err("the stream does not say that it is resumable")
        } else if self.spec.key.is_empty() && !can.incremental {
            Err("rows without a key, read whole each time: such a stream always starts over")
        } else {
            Ok(())
        }
    }

    /// Tells of secrets of the options in a text.
    pub fn holds_secret(&self, text: &str) -> bool {
        let Some(options) = &self.suite.options else { return false };
        let mut secrets = Vec::new();
        secrets_of(&options.good, &mut secrets);
        // Short ones may stand in any text.
        secrets.iter().any(|secret| secret.len() >= 6 && text.contains(secret))
    }

    /// An error must name the stream and hold no secret.
    pub fn judge_error(&self, place: &str, error: &Error, wrong: &mut Findings) {
        if !crate::reading::names_stream(error, &self.spec.name) {
            wrong.add(
                place,
                "an error that names the stream",
                format!("the error: {error}"),
                "add the place: Place::Stream with source, stream and page",
            );
        }
        if self.holds_secret(&error.to_string()) {
            wrong.add(place, "an error without secrets", "one of the options' secrets in it", "leave it out");
        }
    }
}

fn secrets_of<'v>(value: &'v serde_json::Value, found: &mut Vec<&'v str>) {
    match value {
        serde_json::Value::Object(map) => {
            match map.get(throughline_core::secret::SECRET_KEY).and_then(serde_json::Value::as_str) {
                Some(secret) => found.push(secret),
                None => map.values().for_each(|v| secrets_of(v, found)),
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|v| secrets_of(v, found)),
        _ => {}
    }
}

/// Some of `1..=n`, at most `most`: the first, the last, and some between.
pub(crate) fn spread(n: usize, most: usize) -> Vec<usize> {
    if n <= most {
        return (1..=n).collect();
    }
    match most {
        0 => Vec::new(),
        1 => vec![n],
        _ => (0..most).map(|i| 1 + i * (n - 1) / (most - 1)).collect(),
    }
}

/// `5 of 5`, `16 of 40`.
pub(crate) fn some_of(chosen: &[usize], n: usize) -> String {
    format!("{} of {n}", chosen.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_both_ends() {
        assert_eq!(spread(0, 4), Vec::<usize>::new());
        assert_eq!(spread(4, 4), [1, 2, 3, 4]);
        assert_eq!(spread(100, 4), [1, 34, 67, 100]);
        assert_eq!(spread(9, 1), [9]);
        assert_eq!(spread(5, 0), Vec::<usize>::new());
    }

    #[test]
    fn numbers_are_places_and_names_are_different() {
        for (i, check) in CHECKS.iter().enumerate() {
            assert_eq!(usize::from(check.number), i + 1);
            assert!(CHECKS.iter().filter(|c| c.name == check.name).count() == 1, "{}", check.name);
        }
    }
}
