//! A run that is stopped from outside.

use std::sync::Arc;

use super::{Lab, some_of, spread};
use crate::landed::land;
use crate::reading::{Reading, Stop, request};
use crate::report::{Findings, Verdict, skipped};
use crate::watch::Plan;

/// How many requests are held back, each in a read of its own.
const HELD: usize = 3;

pub(super) async fn cancel(lab: &Lab<'_>) -> Verdict {
    let mut wrong = Findings::default();
    let stop = Stop::CancelAfterFirstEvent;
    let read =
        lab.suite.read_as(&Arc::default(), &lab.spec, request(&lab.spec, None), Plan::Pass, stop).await;
    let place = lab.place("stopped behind the first event");
    judge(lab, &place, &read, &mut wrong);
    wrong.verdict(if read.was_cancelled() { "it said so" } else { "everything had come already" })
}

pub(super) async fn cancel_request(lab: &Lab<'_>) -> Verdict {
    if lab.whole.exchanges == 0 {
        return skipped("the stream asks nothing by HTTP");
    }
    let (mut wrong, mut stopped) = (Findings::default(), 0);
    let chosen = spread(lab.whole.exchanges, HELD);
    for at in &chosen {
        let (plan, stop) = (Plan::Hang { at: *at }, Stop::CancelWhenHanging);
        let read = lab.suite.read_as(&Arc::default(), &lab.spec, request(&lab.spec, None), plan, stop).await;
        if read.fired {
            stopped += 1;
            judge(lab, &lab.place(&format!("stopped during request {at}")), &read, &mut wrong);
        }
    }
    if stopped == 0 {
        return skipped("every request is one that must not be dropped half way");
    }
    wrong.verdict(format!("stopped during {} requests", some_of(&chosen, lab.whole.exchanges)))
}

fn judge(lab: &Lab<'_>, place: &str, read: &Reading, wrong: &mut Findings) {
    let expected = "an error of the kind cancelled";
    if read.was_cancelled() {
        return;
    }
    if read.timed_out {
        let to_do =
            "wait for ctx.cancel beside every wait: tokio::select!, Context::sleep, Context::check_cancelled";
        let found = format!("no end within {} ms", lab.suite.bounds.cancel.as_millis());
        return wrong.add(place, expected, found, to_do);
    }
    if read.ended() {
        // Whoever had everything in hand may give it. One request may have begun at the same moment.
        if read.asked_after_stop > 1 {
            let found = format!("{} more requests, and a normal end", read.asked_after_stop);
            return wrong.add(place, expected, found, "look at ctx.check_cancelled() before each request");
        }
        if let Some(how) = land(&[&read.facts], &lab.spec, false).differs(&lab.landed) {
            let to_do = "end with Error::cancelled(): a normal end says that everything came";
            wrong.add(place, expected, format!("a normal end, and {how}"), to_do);
        }
        return;
    }
    let to_do = "give Error::cancelled() as it is: other errors alarm people";
    wrong.add(place, expected, read.end_words(&lab.suite.bounds), to_do);
}
