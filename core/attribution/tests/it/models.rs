//! Markov, Shapley and leave-one-out against the project's fixtures, whose answers are exact fractions.

use std::collections::BTreeMap;

use serde_json::Value;
use throughline_attribution::models::{
    Chain, ChainBuilder, Counts, Effects, LeaveOneOut, Names, RateSets, Solver, effects_by, equal_shares,
    exact, shares,
};

use crate::support::fixture;

const TOLERANCE: f64 = 1e-12;

struct Paths {
    names: Names,
    paths: Vec<(Vec<u32>, Counts)>,
}

impl Paths {
    fn read(rows: &Value) -> Self {
        let mut names = Names::default();
        let paths = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                let mut path = Vec::new();
                names.read_path(row["path"].as_str().unwrap(), &mut path);
                let counts = Counts {
                    conversions: row["conversions"].as_u64().unwrap(),
                    nulls: row["nulls"].as_u64().unwrap(),
                    value: row["value"].as_i64().unwrap(),
                };
                (path, counts)
            })
            .collect();
        Self { names, paths }
    }

    fn chain(&self, order: usize, collapse: bool) -> Chain {
        let mut builder = ChainBuilder::new(order, collapse);
        for (path, counts) in &self.paths {
            builder.add(path, *counts);
        }
        builder.finish().unwrap()
    }

    fn named(&self, channels: &[u32], numbers: &[f64]) -> BTreeMap<String, f64> {
        channels.iter().zip(numbers).map(|(c, n)| (self.names.name(*c).to_string(), *n)).collect()
    }
}

fn exact_value(value: &Value) -> f64 {
    let Some(text) = value.get("exact").and_then(Value::as_str) else {
        return value["value"].as_f64().unwrap();
    };
    fraction(text)
}

fn fraction(text: &str) -> f64 {
    let (p, q) = text.split_once('/').unwrap();
    p.parse::<f64>().unwrap() / q.parse::<f64>().unwrap()
}

fn compare(found: &BTreeMap<String, f64>, expected: &Value, what: &str) {
    let expected = expected.as_object().unwrap();
    assert_eq!(found.len(), expected.len(), "{what}: {found:?}");
    for (name, value) in expected {
        let wanted = exact_value(value);
        assert!((found[name] - wanted).abs() < TOLERANCE, "{what} {name}: {} for {wanted}", found[name]);
    }
}

fn check_markov(paths: &Paths, expected: &Value) {
    let order = expected["order"].as_u64().unwrap() as usize;
    let chain = paths.chain(order, expected["collapse_repeats"].as_bool().unwrap());
    for solver in [Solver::Dense, Solver::Sparse] {
        let found = effects_by(&chain, solver).unwrap();
        let at = format!("order {order} {solver:?}");
        assert!((found.p - exact_value(&expected["p_conversion"])).abs() < TOLERANCE, "{at}");
        assert!((found.worth - exact_value(&expected["expected_value_per_path"])).abs() < TOLERANCE, "{at}");
        let Effects { channels, removal, removal_value, .. } = &found;
        compare(&paths.named(channels, removal), &expected["removal_effect"], &at);
        compare(&paths.named(channels, removal_value), &expected["removal_effect_value"], &at);
        let times =
            |effects: &[f64], total: f64| shares(effects).iter().map(|s| s * total).collect::<Vec<_>>();
        let conversions = times(removal, chain.conversions as f64);
        compare(&paths.named(channels, &conversions), &expected["attributed_conversions"], &at);
        let value = times(removal_value, chain.value as f64);
        compare(&paths.named(channels, &value), &expected["attributed_value"], &at);
    }
    let name = |window: Option<&[u32]>, end: &str| match window {
        Some(window) => window.iter().map(|c| paths.names.name(*c)).collect::<Vec<_>>().join(" > "),
        None => end.to_string(),
    };
    let found: BTreeMap<(String, String), f64> = chain
        .transitions()
        .into_iter()
        .map(|(from, to, p)| ((name(from, "(start)"), name(to, "(conversion)")), p))
        .collect();
    let mut compared = 0;
    for step in expected["transitions"].as_array().unwrap() {
        if step["to"] == "(null)" {
            continue;
        }
        let key = (step["from"].as_str().unwrap().to_string(), step["to"].as_str().unwrap().to_string());
        let wanted = fraction(step["p"].as_str().unwrap());
        assert!((found[&key] - wanted).abs() < TOLERANCE, "{key:?}");
        compared += 1;
    }
    assert_eq!(compared, found.len());
}

#[test]
fn markov_effects_are_the_fixtures_own() {
    let mut checked = 0;
    for name in
        ["04_markov_order1_nulls_selfloops", "05_markov_three_paths_by_hand", "06_markov_order2_and_3"]
    {
        let fixture = fixture(&format!("{name}.json"));
        let paths = Paths::read(&fixture["paths"]);
        for expected in fixture["expected"].as_array().unwrap() {
            check_markov(&paths, expected);
            checked += 1;
        }
    }
    assert_eq!(checked, 6);
}

#[test]
fn markov_on_degenerate_paths() {
    let fixture = fixture("07_markov_degenerate.json");
    for case in fixture["cases"].as_array().unwrap() {
        let paths = Paths::read(&case["paths"]);
        if case["expected"].get("order").is_some() {
            check_markov(&paths, &case["expected"]);
        } else {
            let chain = paths.chain(1, true);
            let found = effects_by(&chain, Solver::Dense).unwrap();
            let credits: Vec<f64> =
                shares(&found.removal).iter().map(|s| s * chain.conversions as f64).collect();
            compare(
                &paths.named(&found.channels, &credits),
                &case["expected"]["attributed_conversions"],
                "C = 0",
            );
        }
        let outside: u64 = paths.paths.iter().filter(|(p, _)| p.is_empty()).map(|(_, c)| c.conversions).sum();
        assert_eq!(outside, case.get("none_conversions").and_then(Value::as_u64).unwrap_or(0));
    }
    let nothing = ChainBuilder::new(2, true).finish().unwrap();
    assert!(effects_by(&nothing, Solver::Dense).unwrap().removal.is_empty());
}

/// Sums shares by position over all converting paths.
fn credits(
    paths: &Paths,
    mut of: impl FnMut(&[u32], &mut Vec<f64>),
) -> BTreeMap<(String, usize), (f64, f64)> {
    let mut sums: BTreeMap<(String, usize), (f64, f64)> = BTreeMap::new();
    let mut parts = Vec::new();
    for (path, counts) in paths.paths.iter().filter(|(_, c)| c.conversions > 0) {
        of(path, &mut parts);
        assert_eq!(parts.len(), path.len());
        assert!((parts.iter().sum::<f64>() - 1.0).abs() < TOLERANCE);
        for (i, (channel, share)) in path.iter().zip(&parts).enumerate() {
            let sum = sums.entry((paths.names.name(*channel).to_string(), i + 1)).or_default();
            sum.0 += share * counts.conversions as f64;
            sum.1 += share * counts.value as f64;
        }
    }
    sums
}

fn by_channel(sums: &BTreeMap<(String, usize), (f64, f64)>, value: bool) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for ((channel, _), (conversions, money)) in sums {
        *all.entry(channel.clone()).or_default() += if value { *money } else { *conversions };
    }
    all
}

#[test]
fn shapley_values_are_the_fixtures_own() {
    let fixture = fixture("08_shapley.json");
    let paths = Paths::read(&fixture["paths"]);
    let expected = &fixture["expected"];

    let sums = credits(&paths, equal_shares);
    compare(&by_channel(&sums, false), &expected["simplified"], "simplified");
    compare(&by_channel(&sums, true), &expected["simplified_value"], "value");
    let mut positions = 0;
    for (channel, by_position) in expected["ordered"].as_object().unwrap() {
        for (position, value) in by_position.as_object().unwrap() {
            let found = sums[&(channel.clone(), position.parse().unwrap())].0;
            assert!((found - exact_value(value)).abs() < TOLERANCE, "{channel} at {position}: {found}");
            positions += 1;
        }
    }
    assert_eq!(positions, sums.len());

    // The same by the definition, over every subset.
    let set = |path: &[u32]| path.iter().fold(0_u32, |mask, c| mask | 1 << c);
    let utility = |mask: u32| {
        let within = paths.paths.iter().filter(|(p, _)| set(p) & !mask == 0);
        within.map(|(_, c)| c.conversions as f64).sum::<f64>()
    };
    let players: Vec<u32> = (0..paths.names.len() as u32).collect();
    let phi = exact(players.len(), 15, utility).unwrap();
    compare(&paths.named(&players, &phi), &expected["exact_bruteforce"], "exact");

    let mut sets = RateSets::default();
    for (path, counts) in &paths.paths {
        sets.add(path, *counts);
    }
    let rate = sets.finish(15).unwrap();
    for row in expected["rate"]["per_set"].as_array().unwrap() {
        let set: Vec<u32> = row["set"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| paths.names.get(n.as_str().unwrap()).unwrap())
            .collect();
        compare(&paths.named(&set, rate.values(&set).unwrap()), &row["raw_shapley"], "raw");
    }
    let sums = credits(&paths, |path, out| rate.path_shares(path, out));
    compare(&by_channel(&sums, false), &expected["rate"]["total"], "rate");

    let mut without = LeaveOneOut::default();
    for (path, counts) in &paths.paths {
        without.add(path, *counts);
    }
    let sums = credits(&paths, |path, out| without.path_shares(path, out));
    compare(&by_channel(&sums, false), &expected["leave_one_out"], "leave one out");
}

#[test]
fn exact_shapley_refuses_what_would_not_end() {
    let error = exact(16, 15, |_| 0.0).unwrap_err().to_string();
    assert!(error.contains("16 channels") && error.contains("at most 15"), "{error}");
    assert_eq!(exact(0, 15, |_| 0.0).unwrap(), Vec::<f64>::new());

    // More different sets than subsets of the largest set allowed.
    let mut sets = RateSets::default();
    let one = Counts { conversions: 1, nulls: 0, value: 0 };
    for n in 0..20_u32 {
        sets.add(&[n, n + 1], one);
    }
    sets.add(&[1, 2, 3, 4, 5], one);
    let error = sets.finish(4).unwrap_err().to_string();
    assert!(error.contains("visits 5 channels") && error.contains("shapley_max_players = 4"), "{error}");
}
