//! What the suite found: as data, as text, as JSON.

use std::fmt::Write as _;

use serde::Serialize;

/// How many failures of one check are told; the rest is only counted.
const TOLD: usize = 5;

/// One check of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Never given to another check.
    pub number: u8,
    /// Stable: scripts may rely on it.
    pub name: &'static str,
    /// What holds when it passes.
    pub promise: &'static str,
}

/// Everything found about one source.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The source's name.
    pub source: String,
    pub outcomes: Vec<Outcome>,
}

/// What one check found of the source or of one of its streams.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    #[serde(flatten)]
    pub check: Check,
    /// `None` for what concerns the whole source.
    pub stream: Option<String>,
    #[serde(flatten)]
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Verdict {
    Passed {
        /// What was gone through, e.g. `stopped at 5 of 5 checkpoints`.
        note: String,
    },
    Failed {
        failures: Vec<Failure>,
        /// Failures beyond those told.
        more: usize,
    },
    /// Nothing was found out.
    Skipped { why: String },
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// E.g. `deals, checkpoint 3 of 7`.
    pub place: String,
    pub expected: String,
    pub found: String,
    /// What a person can do about it.
    pub to_do: String,
}

impl Report {
    /// Whether no check failed.
    pub fn passed(&self) -> bool {
        !self.outcomes.iter().any(|o| matches!(o.verdict, Verdict::Failed { .. }))
    }

    /// Names of the checks that failed, each once, in order.
    pub fn failed(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = Vec::new();
        for outcome in &self.outcomes {
            if matches!(outcome.verdict, Verdict::Failed { .. }) && !names.contains(&outcome.check.name) {
                names.push(outcome.check.name);
            }
        }
        names
    }

    /// Passed, failed, skipped.
    pub fn counts(&self) -> (usize, usize, usize) {
        let of = |wanted: fn(&Verdict) -> bool| self.outcomes.iter().filter(|o| wanted(&o.verdict)).count();
        (
            of(|v| matches!(v, Verdict::Passed { .. })),
            of(|v| matches!(v, Verdict::Failed { .. })),
            of(|v| matches!(v, Verdict::Skipped { .. })),
        )
    }

    /// One JSON document: `source`, `passed` and the outcomes.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "source": self.source, "passed": self.passed(), "outcomes": self.outcomes })
    }

    /// For people, without colours.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut of: Option<&Option<String>> = None;
        let mut outcomes = self.outcomes.iter().peekable();
        while let Some(outcome) = outcomes.next() {
            if of != Some(&outcome.stream) {
                of = Some(&outcome.stream);
                let _ = match &outcome.stream {
                    None => writeln!(text, "{}", self.source),
                    Some(stream) => writeln!(text, "{}.{stream}", self.source),
                };
            }
            let Check { number, name, promise } = outcome.check;
            let mut line = |mark: &str, rest: &str| {
                let _ = writeln!(text, "  {mark} {number:>2} {name:<14} {rest}");
            };
            match &outcome.verdict {
                Verdict::Passed { note } => line("✓", note),
                Verdict::Skipped { why } => {
                    line("-", &format!("skipped: {why}"));
                    // What follows for the same reason is only counted.
                    let alike = |o: &&Outcome| o.stream == outcome.stream && o.verdict == outcome.verdict;
                    let mut more = 0;
                    while outcomes.next_if(alike).is_some() {
                        more += 1;
                    }
                    if more > 0 {
                        let _ = writeln!(text, "         and {more} more for the same reason");
                    }
                }
                Verdict::Failed { failures, more } => {
                    line("✗", promise);
                    for failure in failures {
                        let Failure { place, expected, found, to_do } = failure;
                        for (word, said) in
                            [("where", place), ("expected", expected), ("found", found), ("to do", to_do)]
                        {
                            let _ = writeln!(text, "         {:<9} {said}", format!("{word}:"));
                        }
                    }
                    if *more > 0 {
                        let _ = writeln!(text, "         and {more} more like these");
                    }
                }
            }
        }
        let (passed, failed, skipped) = self.counts();
        let _ = writeln!(text, "{passed} passed, {failed} failed, {skipped} skipped");
        text
    }
}

/// What a check collects on its way.
#[derive(Default)]
pub(crate) struct Findings(Vec<Failure>);

impl Findings {
    pub fn add(
        &mut self,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        to_do: impl Into<String>,
    ) {
        let failure = Failure {
            place: place.into(),
            expected: expected.into(),
            found: found.into(),
            to_do: to_do.into(),
        };
        self.0.push(failure);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn verdict(mut self, note: impl Into<String>) -> Verdict {
        if self.0.is_empty() {
            return Verdict::Passed { note: note.into() };
        }
        let more = self.0.len().saturating_sub(TOLD);
        self.0.truncate(TOLD);
        Verdict::Failed { failures: self.0, more }
    }
}

pub(crate) fn skipped(why: impl Into<String>) -> Verdict {
    Verdict::Skipped { why: why.into() }
}
