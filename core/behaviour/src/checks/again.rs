//! Reads that must fit together: the same one twice, one resumed, the next one, parts and the whole.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use throughline_core::time::US_PER_DAY;

use super::{Lab, some_of, spread};
use crate::landed::{Landed, count, land};
use crate::memory::MemoryNotes;
use crate::reading::Stop;
use crate::reading::{Fact, Reading, request, stored, windowed};
use crate::report::{Findings, Verdict, skipped};
use crate::watch::Plan;

/// The largest checkpoint that is sensible, in bytes of JSON.
const CHECKPOINT_BYTES: usize = 1 << 20;

pub(super) async fn repeatable(lab: &Lab<'_>) -> Verdict {
    let mut wrong = Findings::default();
    let again = lab.suite.read(&lab.spec, request(&lab.spec, None)).await;
    let to_do = "order what is asked for, and keep moments, random values and what is in memory out of rows";
    if !again.ended() {
        wrong.add(
            lab.place("second read"),
            "an end without error",
            again.end_words(&lab.suite.bounds),
            to_do,
        );
    } else if let Some(how) = land(&[&again.facts], &lab.spec, false).differs(&lab.landed) {
        wrong.add(lab.place("second read"), "the rows of the first", how, to_do);
    }
    wrong.verdict(format!("{} twice", count(lab.landed.len(), "row")))
}

pub(super) async fn checkpoints(lab: &Lab<'_>) -> Verdict {
    let (mut wrong, spec) = (Findings::default(), &lab.spec);
    let all: Vec<_> = lab.whole.checkpoints().map(|(_, checkpoint)| checkpoint).collect();
    let can = spec.capabilities;
    if all.is_empty() {
        if !can.resumable && !can.incremental {
            return skipped("the stream gives no checkpoints, and says so");
        }
        let to_do = "give a checkpoint behind each page, and one at the end";
        wrong.add(lab.place(""), "checkpoints of a stream that is resumable or incremental", "none", to_do);
    }
    for (i, checkpoint) in all.iter().enumerate() {
        let place = lab.place(&format!("checkpoint {} of {}", i + 1, all.len()));
        let text = serde_json::to_string(checkpoint).unwrap_or_default();
        if stored(checkpoint).as_ref() != Some(*checkpoint) {
            let to_do = "keep numbers that JSON changes (floats, beyond 64 bits) as text";
            wrong.add(&place, "a checkpoint that JSON keeps as it is", text.clone(), to_do);
        }
        if text.len() > CHECKPOINT_BYTES {
            let found = format!("{} bytes", text.len());
            wrong.add(&place, format!("at most {CHECKPOINT_BYTES} bytes"), found, "keep places, not records");
        }
        if lab.holds_secret(&text) {
            let to_do = "take credentials out of URLs before they are kept";
            wrong.add(&place, "a checkpoint without secrets", "one of the options' secrets in it", to_do);
        }
    }
    let chosen = spread(all.len(), lab.suite.bounds.checkpoints);
    match lab.suite.process(&Arc::default(), Plan::Pass) {
        Err(error) => wrong.add(lab.place(""), "a fresh source", error.to_string(), "mend what it names"),
        Ok(process) => {
            for n in &chosen {
                let Some(checkpoint) = all.get(n - 1).and_then(|c| stored(c)) else { continue };
                for time in ["first", "second"] {
                    let told = process.source.committed(&process.ctx, &spec.name, &checkpoint);
                    let told = tokio::time::timeout(lab.suite.bounds.read, told).await;
                    if process.missing().is_some() {
                        break;
                    }
                    let found = match told {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => format!("the error: {error}"),
                        Err(_) => "no end in time".to_owned(),
                    };
                    wrong.add(
                        lab.place(&format!("checkpoint {n} of {}, told a {time} time", all.len())),
                        "committed to succeed however often it is told",
                        found,
                        "what is acknowledged already is no error: a crash tells it again",
                    );
                }
            }
        }
    }
    wrong.verdict(count(all.len(), "checkpoint"))
}

pub(super) async fn resumable(lab: &Lab<'_>) -> Verdict {
    if let Err(why) = lab.resumes() {
        return skipped(why);
    }
    let spec = &lab.spec;
    // At the end of a read the next one begins: the check `incremental`.
    let facts = &lab.whole.facts;
    let counts = |f: &Fact| !matches!(f, Fact::Checkpoint(_) | Fact::Count(_) | Fact::Notice);
    let last = facts.iter().rposition(counts).unwrap_or(0);
    let all = lab.whole.checkpoints().count();
    let inside = lab.whole.checkpoints().filter(|(at, _)| *at < last).count();
    // Keyless rows of the last page must not come again either.
    let places = if spec.key.is_empty() { inside } else { all.saturating_sub(1).max(inside) };
    if places == 0 {
        return skipped("the read has no checkpoint before its end: have answers of more than one page");
    }
    let (mut wrong, chosen) = (Findings::default(), spread(places, lab.suite.bounds.checkpoints));
    for n in &chosen {
        let place = lab.place(&format!("checkpoint {n} of {all}"));
        let notes: Arc<MemoryNotes> = Arc::default();
        let stop = Stop::AfterCheckpoint(*n);
        let first = lab.suite.read_as(&notes, spec, request(spec, None), Plan::Pass, stop).await;
        let (durable, checkpoint) = first.durable();
        if !first.ended() || checkpoint.is_none() {
            let found = first.end_words(&lab.suite.bounds);
            wrong.add(&place, "a read that comes so far again", found, "see the check repeatable");
            continue;
        }
        let rest = lab.suite.read_as(&notes, spec, request(spec, checkpoint), Plan::Pass, Stop::Never).await;
        together(lab, &place, durable, &rest, &mut wrong);
    }
    wrong.verdict(format!("stopped at {} checkpoints", some_of(&chosen, places)))
}

/// What was durable and what a later process read are the whole.
pub(super) fn together(lab: &Lab<'_>, place: &str, durable: &[Fact], rest: &Reading, wrong: &mut Findings) {
    let to_do =
        "a checkpoint holds all that is needed to go on behind it, and counts nothing that comes later";
    if !rest.ended() {
        let mut found = rest.end_words(&lab.suite.bounds);
        if let Some(request) = &rest.missing {
            found = format!("a request that the whole read did not make: {request}");
        }
        wrong.add(place, "the rest, read to its end", found, to_do);
    } else if let Some(how) = land(&[durable, &rest.facts], &lab.spec, false).differs(&lab.landed) {
        wrong.add(place, "with the rest all rows, none twice", how, to_do);
    }
}

pub(super) async fn incremental(lab: &Lab<'_>) -> Verdict {
    if !lab.spec.capabilities.incremental {
        return skipped("the stream does not say that it is incremental: each read is whole");
    }
    let spec = &lab.spec;
    let notes: Arc<MemoryNotes> = Arc::default();
    let first = lab.suite.read_as(&notes, spec, request(spec, None), Plan::Pass, Stop::Never).await;
    let (durable, checkpoint) = first.durable();
    if checkpoint.is_none() {
        return skipped("the read gave no checkpoint");
    }
    let mut wrong = Findings::default();
    let process = match lab.suite.process(&notes, Plan::Pass) {
        Ok(process) => process,
        Err(error) => return skipped(error.to_string()),
    };
    // Runs are never at one moment. A recording's clock stands all the same.
    process.ctx.clock.sleep(Duration::from_secs(1)).await;
    let second = lab.suite.read_on(&process, spec, request(spec, checkpoint), Stop::Never).await;
    if let Some(request) = &second.missing {
        return skipped(format!("no recorded answer to {request}, which the next run asks"));
    }
    let place = lab.place("the next run");
    let to_do =
        "begin behind what the last checkpoint says was read; where runs overlap, rows need a key or windows";
    if !second.ended() {
        wrong.add(place, "an end without error", second.end_words(&lab.suite.bounds), to_do);
    } else if let Some(how) = land(&[durable, &second.facts], spec, false).differs(&lab.landed) {
        wrong.add(place, "no row that is new", how, to_do);
    }
    let (rows, exchanges) = (second.rows().count(), second.exchanges);
    wrong.verdict(format!("{} by {}, none of them new", count(rows, "row"), count(exchanges, "request")))
}

pub(super) async fn dry_read(lab: &Lab<'_>) -> Verdict {
    let (mut wrong, spec) = (Findings::default(), &lab.spec);
    let pages = |reading: &Reading| -> BTreeSet<String> {
        let labels = reading.facts.iter().filter_map(|fact| match fact {
            Fact::Rows { rows, page } if !rows.is_empty() => Some(page_of(page)),
            _ => None,
        });
        labels.collect()
    };
    let there = pages(&lab.whole).len();
    let to_do = "count pages (files, parts) against max_pages, and end there without error";
    for most in [1, 2] {
        let asked = throughline_core::ReadRequest { max_pages: Some(most as u64), ..request(spec, None) };
        let dry = lab.suite.read(spec, asked).await;
        let place = lab.place(&format!("max_pages {most}"));
        if !dry.ended() {
            wrong.add(place, "an end without error", dry.end_words(&lab.suite.bounds), to_do);
            continue;
        }
        let found = pages(&dry);
        if found.len() > most {
            let found = format!("{}: {}", found.len(), found.into_iter().collect::<Vec<_>>().join(", "));
            wrong.add(&place, format!("rows of at most {most} pages"), found, to_do);
        }
        if let Some(how) = land(&[&dry.facts], spec, true).beyond(&lab.landed) {
            wrong.add(
                &place,
                "rows of the whole read",
                how,
                "a dry read reads as the real one does, only less",
            );
        }
    }
    wrong.verdict(format!("the whole has {}", count(there, "page")))
}

/// A page's name without the line in it, and without what else is told of it.
fn page_of(label: &str) -> String {
    let label = label.split(", ").next().unwrap_or(label);
    match label.rsplit_once(':') {
        Some((page, line)) if line.bytes().all(|b| b.is_ascii_digit()) => page.to_owned(),
        _ => label.to_owned(),
    }
}

pub(super) async fn windows(lab: &Lab<'_>) -> Verdict {
    let spec = &lab.spec;
    if !spec.capabilities.windowed {
        return skipped("the stream does not say that it is windowed");
    }
    let (from, middle, to) = match bounds(lab) {
        Ok(bounds) => bounds,
        Err(why) => return skipped(why),
    };
    let mut wrong = Findings::default();
    let mut parts: Vec<Reading> = Vec::new();
    for (from, to) in [(from, to), (from, middle), (middle, to)] {
        let part = lab.suite.read(spec, windowed(spec, from, to)).await;
        let place = lab.place(&format!("from {} to {}", instant(from), instant(to)));
        if let Some(request) = &part.missing {
            return skipped(format!("no recorded answer to {request}, which a window asks"));
        }
        if !part.ended() {
            let to_do = "read windows, or do not say that the stream is windowed";
            wrong.add(place, "an end without error", part.end_words(&lab.suite.bounds), to_do);
            return wrong.verdict("");
        }
        parts.push(part);
    }
    let whole: Landed = land(&[&parts[0].facts], spec, false);
    let halves = land(&[&parts[1].facts, &parts[2].facts], spec, false);
    if let Some(how) = halves.differs(&whole) {
        wrong.add(
            lab.place(&format!("from {}, {} and {}", instant(from), instant(middle), instant(to))),
            "the first and the second window together to be the window over both",
            how,
            "windows are half-open: what lies on the border belongs to the later one, and to it alone",
        );
    } else if whole.len() == 0 {
        return skipped(format!("no rows from {} to {}: choose another window", instant(from), instant(to)));
    }
    wrong.verdict(format!("{} from {} to {}", count(whole.len(), "row"), instant(from), instant(to)))
}

fn bounds(lab: &Lab<'_>) -> Result<(i64, i64, i64), String> {
    let halves = |from: i64, to: i64, step: i64| {
        let middle = from + (to - from) / 2;
        (from, middle - middle.rem_euclid(step), to)
    };
    let by_days = lab.spec.restates.is_some();
    let found = match lab.suite.window {
        Some((from, to)) => halves(from, to, if by_days { US_PER_DAY } else { 1_000_000 }),
        None if by_days => {
            let days = lab.whole.rows().filter_map(|r| crate::landed::day_number(r.day.as_deref()?));
            let days: BTreeSet<i64> = days.map(i64::from).collect();
            let (Some(first), Some(last)) = (days.first(), days.last()) else {
                return Err("no day has rows".into());
            };
            halves(first * US_PER_DAY, (last + 1) * US_PER_DAY, US_PER_DAY)
        }
        None => {
            let process = lab.suite.process(&Arc::default(), Plan::Pass).map_err(|e| e.to_string())?;
            let now = process.ctx.clock.now_us();
            let today = now - now.rem_euclid(US_PER_DAY);
            (today - 2 * US_PER_DAY, today - US_PER_DAY, today)
        }
    };
    if found.0 < found.1 && found.1 < found.2 {
        Ok(found)
    } else {
        Err(format!("from {} to {} there are no two windows", instant(found.0), instant(found.2)))
    }
}

/// For people.
fn instant(us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(us)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
