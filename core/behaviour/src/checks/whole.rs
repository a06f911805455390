//! What one whole read must look like.

use std::collections::{HashMap, HashSet};

use super::Lab;
use crate::landed::{count as plural, day_number};
use crate::reading::Fact;
use crate::report::{Findings, Verdict, skipped};

pub(super) fn events(lab: &Lab<'_>) -> Verdict {
    let mut wrong = Findings::default();
    let mut used: HashSet<&str> = HashSet::new();
    // Id, and the days of a window.
    let mut open: Option<(&str, Option<(i32, i32)>)> = None;
    let mut spans = 0;
    for fact in &lab.whole.facts {
        match fact {
            Fact::WindowBegin { id, .. } | Fact::ReplaceBegin { id, .. } => {
                spans += 1;
                let place = lab.place(&format!("window {id:?}"));
                if let Some((before, _)) = open {
                    let found = format!("a begin inside {before:?}");
                    wrong.add(
                        &place,
                        "windows and replaces that do not nest",
                        found,
                        "end the one before first",
                    );
                }
                if !used.insert(id) {
                    let to_do = "make ids of something that every beginning changes, the clock say";
                    wrong.add(&place, "an id that is used once", "it came before in this read", to_do);
                }
                let days = match fact {
                    Fact::WindowBegin { from_on, to_on, .. } => Some((*from_on, *to_on)),
                    _ => None,
                };
                if days.is_some_and(|(from, to)| from >= to) {
                    wrong.add(
                        &place,
                        "a window of at least a day",
                        format!("days {days:?}"),
                        "its end is excluded",
                    );
                }
                if days.is_some() && lab.spec.restates.is_none() {
                    let to_do = "set restates in the catalog: without it windows replace nothing";
                    wrong.add(&place, "a stream with windows to restate", "it does not say so", to_do);
                }
                open = Some((id, days));
            }
            Fact::WindowEnd { id } | Fact::ReplaceEnd { id } => match open.take() {
                Some((begun, days))
                    if begun == id && days.is_some() == matches!(fact, Fact::WindowEnd { .. }) => {}
                other => {
                    let found =
                        other.map_or("nothing was open".into(), |(begun, _)| format!("{begun:?} was open"));
                    wrong.add(
                        lab.place(&format!("window {id:?}")),
                        "an end of what is open",
                        found,
                        "end it with its own id",
                    );
                }
            },
            Fact::Rows { rows, page } => {
                let Some((id, Some((from, to)))) = open else { continue };
                let outside = rows.iter().find(|row| {
                    !row.day.as_deref().and_then(day_number).is_some_and(|day| (from..to).contains(&day))
                });
                if let (Some(row), true) = (outside, lab.spec.restates.is_some()) {
                    wrong.add(
                        lab.place(page),
                        format!("rows of the days {from}..{to} (since 1970) in the window {id:?}"),
                        format!("the day {} in {}", row.day.as_deref().unwrap_or("null"), row.shown),
                        "rows outside their window are lost: ask for its days only, in the vendor's zone",
                    );
                }
            }
            _ => {}
        }
    }
    if let Some((id, _)) = open {
        wrong.add(
            lab.place(&format!("window {id:?}")),
            "an end of it",
            "the read ended inside",
            "end every window",
        );
    }
    wrong.verdict(format!("{}, {}", plural(lab.whole.facts.len(), "event"), plural(spans, "window")))
}

pub(super) fn rows(lab: &Lab<'_>) -> Verdict {
    let mut wrong = Findings::default();
    for (page, why) in &lab.whole.bad_batches {
        wrong.add(
            lab.place(page),
            "batches of sound data under the vendor's names",
            why,
            "build them by arrow's builders",
        );
    }
    let told = lab.whole.facts.iter().any(|fact| matches!(fact, Fact::Notice));
    let mut versions: HashMap<(usize, &str), (u64, &str)> = HashMap::new();
    let (mut count, mut again, mut span) = (0, 0, 0);
    for fact in &lab.whole.facts {
        match fact {
            Fact::WindowBegin { .. } | Fact::ReplaceBegin { .. } => span += 1,
            Fact::Rows { rows, page } => {
                count += rows.len();
                for row in rows.iter().filter(|_| !lab.spec.key.is_empty()) {
                    let Some(key) = &row.key else {
                        wrong.add(
                            lab.place(page),
                            format!("a value in the key ({})", lab.spec.key.join(", ")),
                            format!("none in {}", row.shown),
                            "choose a key that every record has, or reject the record",
                        );
                        continue;
                    };
                    match versions.insert((span, key), (row.print, &row.shown)) {
                        None => {}
                        Some((print, _)) if print == row.print => again += 1,
                        // Records that changed while they were read come twice, and the source says so.
                        Some(_) if told => again += 1,
                        Some((_, earlier)) => wrong.add(
                            lab.place(page),
                            format!("one record of the key {key}"),
                            format!("another before: {earlier} and {}", row.shown),
                            "add to the key what tells them apart: the later one would replace the earlier",
                        ),
                    }
                }
            }
            _ => {}
        }
    }
    let mut note = plural(count, "row");
    if again > 0 {
        note += &format!(", {again} of them a second time");
    }
    wrong.verdict(note)
}

pub(super) fn counts(lab: &Lab<'_>) -> Verdict {
    let mut wrong = Findings::default();
    let (mut rows, mut rejects, mut told) = (0u64, 0u64, 0u64);
    let mut keys: HashSet<&str> = HashSet::new();
    let (mut checks, mut counted) = (0, false);
    let mut last = String::new();
    // Numbers that come together stand for the rows since the numbers before.
    let mut facts = lab.whole.facts.iter().peekable();
    while let Some(fact) = facts.next() {
        match fact {
            Fact::Rows { rows: new, .. } => {
                rows += new.len() as u64;
                keys.extend(new.iter().filter_map(|row| row.key.as_deref()));
            }
            Fact::Rejected { .. } => rejects += 1,
            Fact::Count(count) => {
                checks += 1;
                // Where the vendor tells a number of bytes, rows do not show whether it is right.
                if !count.what.starts_with("bytes ") {
                    counted = true;
                    told += count.read;
                }
                last.clone_from(&count.what);
                if count.expected != count.read {
                    let found = format!("{} expected, {} read", count.expected, count.read);
                    wrong.add(
                        lab.place(&count.what),
                        "as many records as the vendor counts",
                        found,
                        "look for what is not read",
                    );
                }
            }
            _ => {}
        }
        let more = |fact: &&Fact| !matches!(fact, Fact::Rows { .. } | Fact::Rejected { .. });
        let goes_on = facts.peek().is_some_and(more);
        if !goes_on && counted {
            let seen = [rows + rejects, keys.len() as u64 + rejects];
            if !seen.contains(&told) {
                let found = format!("{told} told as read, {} rows and {rejects} rejected came", rows);
                wrong.add(
                    lab.place(&last),
                    "the number told to be what came",
                    found,
                    "count what is delivered",
                );
            }
            (rows, rejects, told, counted) = (0, 0, 0, false);
            keys.clear();
        }
    }
    let can = lab.spec.capabilities.count;
    if checks == 0 && can && lab.whole.rows().next().is_some() {
        let to_do = "give a Count event, or do not say that the vendor gives a number";
        wrong.add(lab.place(""), "the vendor's number of records", "none", to_do);
    }
    if checks == 0 && wrong.is_empty() {
        return skipped("the vendor gives no number");
    }
    wrong.verdict(plural(checks, "number"))
}
