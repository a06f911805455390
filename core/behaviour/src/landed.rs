//! What stands of a stream after some processes read it: the engine's rules about keys, windows and slices
//! in small.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use throughline_core::StreamSpec;

use crate::reading::Fact;
use crate::rows::Row;

/// Current rows.
#[derive(Debug, Default)]
pub(crate) struct Landed {
    /// By key, or by the row itself where there is none: its print, how often it stands there, how it looks.
    rows: BTreeMap<String, (u64, usize, String)>,
    /// Raw records that cannot be used.
    rejects: BTreeSet<u64>,
}

/// What several processes delivered one after the other, each up to where it was durable. In a dry read the
/// window under way counts.
pub(crate) fn land(processes: &[&[Fact]], spec: &StreamSpec, dry: bool) -> Landed {
    let mut rows: Vec<(Option<usize>, &Row)> = Vec::new();
    let mut landed = Landed::default();
    // Windows and slices by their first appearance; ids that come again behind a crash go on.
    let mut ids: HashMap<&str, usize> = HashMap::new();
    let mut spans: Vec<Option<(i32, i32)>> = Vec::new();
    let mut ended: Vec<usize> = Vec::new();
    let mut slices: Vec<Option<&str>> = Vec::new();
    for facts in processes {
        let mut open: Option<usize> = None;
        for fact in *facts {
            match fact {
                Fact::Rows { rows: new, .. } => rows.extend(new.iter().map(|row| (open, row))),
                Fact::Rejected { print, .. } => {
                    landed.rejects.insert(*print);
                }
                Fact::WindowBegin { id, .. } | Fact::ReplaceBegin { id, .. } => {
                    let known = ids.get(id.as_str()).copied().filter(|n| !ended.contains(n));
                    let number = known.unwrap_or(spans.len());
                    if known.is_none() {
                        ids.insert(id, number);
                        spans.push(None);
                        slices.push(None);
                    }
                    match fact {
                        Fact::WindowBegin { from_on, to_on, .. } => {
                            spans[number] = Some((*from_on, *to_on));
                        }
                        Fact::ReplaceBegin { slice, .. } => slices[number] = Some(slice),
                        _ => {}
                    }
                    open = Some(number);
                }
                Fact::WindowEnd { .. } | Fact::ReplaceEnd { .. } => ended.extend(open.take()),
                _ => {}
            }
        }
        if dry {
            ended.extend(open.take());
        }
    }
    let last_of_slice = |slice: &str| ended.iter().rev().find(|n| slices[**n] == Some(slice));
    let last_of_day = |day: i32| {
        ended.iter().rev().find(|n| spans[**n].is_some_and(|(from, to)| (from..to).contains(&day)))
    };
    for (window, row) in rows {
        let counts = match window {
            Some(n) => match slices[n] {
                Some(slice) => last_of_slice(slice) == Some(&n),
                None => row.day.as_deref().and_then(day_number).and_then(last_of_day) == Some(&n),
            },
            None if spec.restates.is_some() => {
                row.day.as_deref().and_then(day_number).and_then(last_of_day).is_none()
            }
            None => true,
        };
        if counts {
            landed.add(row, !spec.key.is_empty());
        }
    }
    landed
}

/// Days since the epoch of a text that begins with a date.
pub(crate) fn day_number(text: &str) -> Option<i32> {
    let mut parts = text.get(..10)?.splitn(3, '-');
    let mut next = || parts.next()?.parse::<i64>().ok();
    let (year, month, day) = (next()?, next()?, next()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Howard Hinnant's days_from_civil.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    i32::try_from(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468).ok()
}

impl Landed {
    fn add(&mut self, row: &Row, keyed: bool) {
        match &row.key {
            Some(key) if keyed => {
                self.rows.insert(key.clone(), (row.print, 1, row.shown.clone()));
            }
            _ => {
                let by_row = format!("{:016x}", row.print);
                self.rows.entry(by_row).or_insert_with(|| (row.print, 0, row.shown.clone())).1 += 1;
            }
        }
    }

    pub fn len(&self) -> usize {
        self.rows.values().map(|(_, times, _)| times).sum()
    }

    /// How `self` differs from what it should be, in words; `None` when it does not.
    pub fn differs(&self, from: &Self) -> Option<String> {
        let (mut lost, mut twice, mut changed, mut new) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (key, (print, times, shown)) in &from.rows {
            match self.rows.get(key) {
                None => lost.push(shown),
                Some((_, found, _)) if found < times => lost.push(shown),
                Some((_, found, _)) if found > times => twice.push(shown),
                Some((other, _, now)) if other != print => changed.push(now),
                Some(_) => {}
            }
        }
        new.extend(self.rows.iter().filter(|(key, _)| !from.rows.contains_key(*key)).map(|(_, row)| &row.2));
        let mut words = Vec::new();
        for (rows, what) in [
            (lost, "lost"),
            (twice, "there more than once"),
            (changed, "there with other values"),
            (new, "there that should not be"),
        ] {
            if let Some(first) = rows.first() {
                words.push(format!("{} {what}, e.g. {first}", count(rows.len(), "row")));
            }
        }
        let rejects = from.rejects.difference(&self.rejects).count();
        if rejects > 0 {
            words.push(format!("{} lost that cannot be used and had been told", count(rejects, "record")));
        }
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// Rows of a part that the whole does not have; a part may have fewer.
    pub fn beyond(&self, whole: &Self) -> Option<String> {
        let beyond: Vec<&String> = self
            .rows
            .iter()
            .filter(|(key, (print, ..))| whole.rows.get(*key).is_none_or(|(other, ..)| other != print))
            .map(|(_, row)| &row.2)
            .collect();
        beyond.first().map(|first| format!("{}, e.g. {first}", count(beyond.len(), "row")))
    }
}

/// `1 row`, `2 rows`.
pub(crate) fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        let days =
            [("1970-01-01", 0), ("1969-12-31", -1), ("2000-02-29T01:02", 11_016), ("2026-09-01", 20_697)];
        for (text, day) in days {
            assert_eq!(day_number(text), Some(day), "{text}");
        }
        for text in ["", "2026-9-1", "2026-13-01", "yesterday…", "2026-00-10", "день за днём"] {
            assert_eq!(day_number(text), None, "{text}");
        }
    }
}
