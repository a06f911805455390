//! What must hold for Markov and Shapley on any paths.

use std::collections::BTreeMap;

use proptest::prelude::*;
use throughline_attribution::models::{
    ChainBuilder, Counts, Effects, LeaveOneOut, OrderTrial, RateSets, Solver, choose_order, effects_by,
    equal_shares, exact, path_shares, shares, split,
};

type Paths = Vec<(Vec<u32>, Counts)>;

/// Up to 40 paths over a few channels, with rare and frequent outcomes.
fn paths() -> impl Strategy<Value = Paths> {
    let counts = (0_u64..4, 0_u64..60, 0_i64..100_000).prop_map(|(conversions, nulls, value)| Counts {
        conversions,
        nulls,
        value: if conversions > 0 { value } else { 0 },
    });
    proptest::collection::vec((proptest::collection::vec(0_u32..7, 1..9), counts), 1..40).prop_map(|rows| {
        // Each path once.
        let mut all: BTreeMap<Vec<u32>, Counts> = BTreeMap::new();
        for (path, counts) in rows {
            let sum = all.entry(path).or_default();
            sum.conversions += counts.conversions;
            sum.nulls += counts.nulls;
            sum.value += counts.value;
        }
        all.into_iter().collect()
    })
}

fn solve(paths: &Paths, order: usize, collapse: bool, solver: Solver) -> Effects {
    let mut builder = ChainBuilder::new(order, collapse);
    for (path, counts) in paths {
        builder.add(path, *counts);
    }
    effects_by(&builder.finish().unwrap(), solver).unwrap()
}

fn sums(paths: &Paths) -> (f64, f64, f64) {
    paths.iter().fold((0.0, 0.0, 0.0), |(c, people, v), (_, n)| {
        (c + n.conversions as f64, people + n.people() as f64, v + n.value as f64)
    })
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-11 * b.abs().max(1.0)
}

fn alike(a: &Effects, b: &Effects) -> bool {
    let all = |e: &Effects| e.removal.iter().chain(&e.removal_value).copied().collect::<Vec<f64>>();
    a.channels == b.channels && all(a).iter().zip(all(b)).all(|(x, y)| near(*x, y))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn every_order_reproduces_what_was_counted(paths in paths(), order in 1_usize..5, collapse: bool) {
        let (c, people, v) = sums(&paths);
        prop_assume!(c > 0.0);
        for solver in [Solver::Dense, Solver::Sparse] {
            let found = solve(&paths, order, collapse, solver);
            prop_assert!(near(found.p, c / people), "{} for {}", found.p, c / people);
            prop_assert!(near(found.worth, v / people), "{} for {}", found.worth, v / people);
            prop_assert!(found.removal.iter().chain(&found.removal_value).all(|e| (0.0..=1.0).contains(e)));
            prop_assert!(near(shares(&found.removal).iter().sum(), 1.0));
        }
    }

    #[test]
    fn collapsing_repeats_changes_no_effect(paths in paths(), order in 1_usize..4) {
        let kept = solve(&paths, order, false, Solver::Dense);
        let collapsed = solve(&paths, order, true, Solver::Dense);
        prop_assert!(alike(&kept, &collapsed), "{kept:?} {collapsed:?}");
    }

    #[test]
    fn both_solvers_agree(paths in paths(), order in 1_usize..4, collapse: bool) {
        let dense = solve(&paths, order, collapse, Solver::Dense);
        let sparse = solve(&paths, order, collapse, Solver::Sparse);
        prop_assert!(alike(&dense, &sparse), "{dense:?} {sparse:?}");
    }

    #[test]
    fn the_order_of_paths_changes_no_bit(paths in paths(), order in 1_usize..4, seed: u64) {
        let mut shuffled = paths.clone();
        shuffled.sort_by_key(|(path, _)| path.iter().fold(seed, |h, c| (h ^ u64::from(*c)).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        prop_assert_eq!(solve(&paths, order, true, Solver::Dense), solve(&shuffled, order, true, Solver::Dense));
        prop_assert_eq!(solve(&paths, order, true, Solver::Sparse), solve(&shuffled, order, true, Solver::Sparse));
    }

    /// By the definition: without the channel, every transition into a state with it ends.
    #[test]
    fn removal_is_what_the_definition_says(paths in paths(), order in 1_usize..4) {
        let (c, people, _) = sums(&paths);
        prop_assume!(c > 0.0);
        let found = solve(&paths, order, false, Solver::Dense);
        for (channel, effect) in found.channels.iter().zip(&found.removal) {
            let without = simulate_exactly(&paths, order, *channel);
            prop_assert!(near(*effect, 1.0 - without / (c / people)), "{channel}: {effect}");
        }
    }

    #[test]
    fn shares_of_a_path_sum_to_one(paths in paths(), order in 1_usize..4) {
        let effects = solve(&paths, order, true, Solver::Dense);
        let (mut rates, mut without) = (RateSets::default(), LeaveOneOut::default());
        for (path, counts) in &paths {
            rates.add(path, *counts);
            without.add(path, *counts);
        }
        let rates = rates.finish(15).unwrap();
        let mut out = Vec::new();
        for (path, _) in paths.iter().filter(|(_, c)| c.conversions > 0) {
            for model in 0..4 {
                match model {
                    0 => equal_shares(path, &mut out),
                    1 => path_shares(&effects, path, &mut out),
                    2 => rates.path_shares(path, &mut out),
                    _ => without.path_shares(path, &mut out),
                }
                prop_assert_eq!(out.len(), path.len());
                prop_assert!(out.iter().all(|s| (0.0..=1.0).contains(s)));
                prop_assert!((out.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                prop_assert_eq!(split(1001, &out).iter().sum::<i64>(), 1001);
            }
        }
    }

    #[test]
    fn the_simple_shapley_value_is_the_exact_one(paths in paths()) {
        let set = |path: &[u32]| path.iter().fold(0_u32, |mask, c| mask | 1 << c);
        let phi = exact(7, 7, |mask| {
            paths.iter().filter(|(p, _)| set(p) & !mask == 0).map(|(_, c)| c.conversions as f64).sum()
        }).unwrap();
        let (mut simple, mut out) = (vec![0.0; 7], Vec::new());
        for (path, counts) in &paths {
            equal_shares(path, &mut out);
            for (channel, share) in path.iter().zip(&out) {
                simple[*channel as usize] += share * counts.conversions as f64;
            }
        }
        for (a, b) in phi.iter().zip(&simple) {
            prop_assert!(near(*a, *b), "{phi:?} {simple:?}");
        }
    }

    /// The sets seen and the subsets of each are two ways to one value.
    #[test]
    fn rates_are_the_exact_value_of_their_game(paths in paths()) {
        let mut sets = RateSets::default();
        let mut by_mask: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for (path, counts) in &paths {
            sets.add(path, *counts);
            let sum = by_mask.entry(path.iter().fold(0, |mask, c| mask | 1 << c)).or_default();
            sum.0 += counts.conversions;
            sum.1 += counts.nulls;
        }
        let model = sets.finish(15).unwrap();
        for (mask, _) in by_mask.iter().filter(|(_, (c, _))| *c > 0) {
            let players: Vec<u32> = (0..7).filter(|c| mask >> c & 1 == 1).collect();
            let phi = exact(players.len(), 15, |within| {
                let inner = players.iter().enumerate().filter(|(i, _)| within >> i & 1 == 1).fold(0, |m, (_, c)| m | 1 << c);
                by_mask.get(&inner).filter(|(c, _)| *c > 0).map_or(0.0, |(c, u)| *c as f64 / (c + u) as f64)
            }).unwrap();
            for (a, b) in phi.iter().zip(model.values(&players).unwrap()) {
                prop_assert!(near(*a, *b));
            }
        }
    }
}

/// P(conversion) without a channel, by following the probability mass step by step until it is gone.
fn simulate_exactly(paths: &Paths, order: usize, without: u32) -> f64 {
    let mut rows: BTreeMap<Vec<u32>, BTreeMap<Option<Vec<u32>>, f64>> = BTreeMap::new();
    let mut start: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
    let left = |from: &[u32],
                to: Option<&[u32]>,
                n: f64,
                rows: &mut BTreeMap<Vec<u32>, BTreeMap<Option<Vec<u32>>, f64>>| {
        *rows.entry(from.to_vec()).or_default().entry(to.map(<[u32]>::to_vec)).or_default() += n;
    };
    for (path, counts) in paths {
        let people = counts.people() as f64;
        let windows: Vec<&[u32]> =
            if path.len() <= order { vec![path] } else { path.windows(order).collect() };
        *start.entry(windows[0].to_vec()).or_default() += people;
        for pair in windows.windows(2) {
            left(pair[0], Some(pair[1]), people, &mut rows);
        }
        let last = windows[windows.len() - 1];
        left(last, None, counts.conversions as f64, &mut rows);
        left(last, Some(&[]), counts.nulls as f64, &mut rows);
    }
    let total: f64 = start.values().sum();
    let mut here: BTreeMap<Vec<u32>, f64> = start.into_iter().map(|(s, n)| (s, n / total)).collect();
    let mut converted = 0.0;
    for _ in 0..3000 {
        let mut next: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
        for (state, mass) in here.iter().filter(|(s, m)| !s.contains(&without) && **m > 0.0) {
            let Some(row) = rows.get(state) else { continue };
            let sum: f64 = row.values().sum();
            for (to, n) in row {
                match to {
                    None => converted += mass * n / sum,
                    Some(to) if to.is_empty() => {}
                    Some(to) => *next.entry(to.clone()).or_default() += mass * n / sum,
                }
            }
        }
        here = next;
        if here.values().sum::<f64>() < 1e-17 {
            break;
        }
    }
    converted
}

/// A world whose next step depends on the last two channels: order 2 is found, 1 where it does not.
#[test]
fn the_order_is_the_one_the_data_bears() {
    let mut deep = Vec::new();
    let mut shallow = Vec::new();
    for first in 0..4_u32 {
        for second in 0..4_u32 {
            for third in 0..3_u32 {
                let path = vec![third, first, second];
                let likely = |yes: bool| if yes { (90, 10) } else { (10, 90) };
                let (c, u) = likely((first + second) % 2 == 0);
                deep.push((path.clone(), Counts { conversions: c, nulls: u, value: 0 }));
                let (c, u) = likely(second % 2 == 0);
                shallow.push((path, Counts { conversions: c, nulls: u, value: 0 }));
            }
        }
    }
    let chosen = |paths: &Paths| {
        choose_order(|order| {
            let mut trial = OrderTrial::new(order);
            paths.iter().for_each(|(path, counts)| trial.add(path, *counts));
            trial.auc()
        })
    };
    assert_eq!(chosen(&deep), 2);
    assert_eq!(chosen(&shallow), 1);
    assert_eq!(chosen(&vec![(vec![1], Counts { conversions: 3, nulls: 0, value: 0 })]), 1);
    assert_eq!(chosen(&Vec::new()), 1);
}

/// 30 channels, order 2: some 900 states, and journeys long enough for slow iterations.
#[test]
fn large_chains_are_solved_to_the_last_digits() {
    let mut seed = 7_u64;
    let mut roll = |n: u64| {
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    };
    let paths: Paths = (0..3000)
        .map(|i| {
            let length = if i % 50 == 0 { 400 } else { 1 + roll(6) };
            let path = (0..length).map(|_| (roll(30) * roll(30) / 30) as u32).collect();
            (path, Counts { conversions: u64::from(roll(20) == 0), nulls: 1 + roll(9), value: 0 })
        })
        .collect();
    let dense = solve(&paths, 2, true, Solver::Dense);
    let sparse = solve(&paths, 2, true, Solver::Sparse);
    assert!(dense.channels.len() >= 25, "{}", dense.channels.len());
    assert!(alike(&dense, &sparse));
    let (c, people, _) = sums(&paths);
    assert!(near(sparse.p, c / people));
}
