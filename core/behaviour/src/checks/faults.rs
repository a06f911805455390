//! Requests that go wrong, one in each read.

use std::sync::Arc;

use super::again::together;
use super::{Lab, some_of, spread};
use crate::landed::land;
use crate::memory::MemoryNotes;
use crate::reading::{Stop, request};
use crate::report::{Findings, Verdict, skipped};
use crate::watch::{Kind, Plan};

/// `resumes`: reads of this stream can be resumed, as an earlier check found.
pub(super) async fn errors(lab: &Lab<'_>, resumes: bool) -> Verdict {
    broken(lab, &[Kind::Fails, Kind::Cut], resumes).await
}

pub(super) async fn rubbish(lab: &Lab<'_>, resumes: bool) -> Verdict {
    broken(lab, &[Kind::Html, Kind::HalfJson], resumes).await
}

async fn broken(lab: &Lab<'_>, kinds: &[Kind], resumes: bool) -> Verdict {
    if lab.whole.exchanges == 0 {
        return skipped("the stream asks nothing by HTTP");
    }
    let (mut wrong, spec) = (Findings::default(), &lab.spec);
    let chosen = spread(lab.whole.exchanges, lab.suite.bounds.exchanges);
    for (kind, at) in kinds.iter().flat_map(|kind| chosen.iter().map(move |at| (*kind, *at))) {
        let notes: Arc<MemoryNotes> = Arc::default();
        let plan = Plan::Fault { at, kind };
        let read = lab.suite.read_as(&notes, spec, request(spec, None), plan, Stop::Never).await;
        if !read.fired {
            continue;
        }
        let place = lab.place(&format!("request {at} of {} {}", lab.whole.exchanges, kind.words()));
        match &read.error {
            Some(error) => {
                lab.judge_error(&place, error, &mut wrong);
                if read.after_error {
                    wrong.add(&place, "nothing behind the error", "further events", "end the stream there");
                }
            }
            None if read.timed_out => {
                wrong.add(&place, "an error", read.end_words(&lab.suite.bounds), "do not ask for ever");
            }
            // It asked again by itself, or could do without.
            None => {
                if lab.comparable()
                    && let Some(how) = land(&[&read.facts], spec, false).differs(&lab.landed)
                {
                    let to_do = "never end a stream normally that is not whole: hand the error on";
                    wrong.add(&place, "an error", format!("a normal end, and {how}"), to_do);
                }
                continue;
            }
        }
        let (durable, checkpoint) = read.durable();
        let (durable, checkpoint) = if resumes { (durable, checkpoint) } else { (&[][..], None) };
        if !resumes && !lab.comparable() {
            continue;
        }
        let rest = lab.suite.read_as(&notes, spec, request(spec, checkpoint), Plan::Pass, Stop::Never).await;
        together(lab, &format!("{place}, then read on"), durable, &rest, &mut wrong);
    }
    wrong.verdict(format!("{} requests broken", some_of(&chosen, lab.whole.exchanges)))
}
