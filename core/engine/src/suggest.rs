//! "Did you mean": the nearest of the names that would have been right.

/// The candidate nearest to `wrong`, when it is near enough to be a slip of the hand.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(wrong);
    let candidates: Vec<&str> = candidates.into_iter().collect();
    // `lookback` for `lookback_days`: the beginning of exactly one name.
    let mut longer = candidates.iter().filter(|c| folded.len() >= 4 && fold(c).starts_with(&folded));
    if let (Some(only), None) = (longer.next(), longer.next()) {
        return Some(only);
    }
    candidates
        .into_iter()
        .filter(|candidate| *candidate != wrong)
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        // One slip in three letters, and two names of one or two letters are just different.
        .filter(|(d, candidate)| *d * 3 <= folded.chars().count().max(candidate.chars().count()))
        .min_by_key(|(d, _)| *d)
        .map(|(_, candidate)| candidate)
}

/// A hint for a name that is not there: the nearest one, else all of them.
pub fn hint<'a>(wrong: &str, what: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const MOST: usize = 16;
    let all: Vec<&str> = candidates.into_iter().collect();
    if let Some(near) = nearest(wrong, all.iter().copied()) {
        return Some(format!("did you mean \"{near}\"?"));
    }
    match all.len() {
        0 => None,
        1..=MOST => Some(format!("{what}: {}", all.join(", "))),
        more => Some(format!("{what}: {}, and {} more", all[..MOST].join(", "), more - MOST)),
    }
}

fn distance(a: &str, b: &str) -> usize {
    // `time_zone` and `timezone`, `state` and `states`, `sources` and `source` are one slip each.
    strsim::damerau_levenshtein(a, b)
}

fn fold(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_does_not() {
        let names = ["subdomain", "streams", "page_size", "name"];
        assert_eq!(nearest("subdoman", names), Some("subdomain"));
        assert_eq!(nearest("Page-Size", names), Some("page_size"));
        assert_eq!(nearest("nmae", names), Some("name"));
        assert_eq!(nearest("currency", names), None);
        assert_eq!(nearest("lookback", ["lookback_days", "models"]), Some("lookback_days"));
        assert_eq!(nearest("сегменты", ["сегмент"]), Some("сегмент"));
        assert_eq!(hint("x", "known", ["a", "b"]), Some("known: a, b".into()));
        assert_eq!(hint("x", "known", []), None);
    }
}
