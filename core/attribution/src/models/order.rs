//! Which order of Markov chain the data bears.

use rustc_hash::FxHashMap;

use super::Counts;

/// No higher order is tried.
pub const HIGHEST_ORDER: usize = 5;
/// Every so many-th person is held out.
const HELD_OUT: u64 = 5;

/// States a trial keeps; an order with more would say more of single journeys than of channels.
const MOST_STATES: usize = 500_000;

/// People who ended in one state.
#[derive(Clone, Copy, Default)]
struct Ended {
    known: [u64; 2],
    held: [u64; 2],
}

/// How well the last state of a path foretells its conversion: counts four people of five, judges the fifth.
///
/// Who is held out is decided by counting along, conversions and nulls apart, so paths must come in the same
/// order each time for the same answer.
pub struct OrderTrial {
    order: usize,
    ends: FxHashMap<Box<[u32]>, Ended>,
    seen: [u64; 2],
    given_up: bool,
}

impl OrderTrial {
    pub fn new(order: usize) -> Self {
        Self { order: order.max(1), ends: FxHashMap::default(), seen: [0; 2], given_up: false }
    }

    pub fn add(&mut self, path: &[u32], counts: Counts) {
        if path.is_empty() || self.given_up {
            return;
        }
        if self.ends.len() > MOST_STATES {
            self.ends = FxHashMap::default();
            self.given_up = true;
            return;
        }
        let state = &path[path.len().saturating_sub(self.order)..];
        if !self.ends.contains_key(state) {
            self.ends.insert(state.into(), Ended::default());
        }
        let Some(ended) = self.ends.get_mut(state) else { return };
        for (which, people) in [counts.conversions, counts.nulls].into_iter().enumerate() {
            let before = self.seen[which];
            let after = before.saturating_add(people);
            let held = after / HELD_OUT - before / HELD_OUT;
            self.seen[which] = after;
            ended.held[which] += held;
            ended.known[which] += (after - before) - held;
        }
    }

    /// The area under the ROC curve over the people held out: the probability that one who converted is
    /// rated above one who did not, ties counting half. `None` without both kinds among them, or with too
    /// many states.
    pub fn auc(&self) -> Option<f64> {
        if self.given_up {
            return None;
        }
        let known = self.ends.values().fold([0; 2], |sum, e| [sum[0] + e.known[0], sum[1] + e.known[1]]);
        let rate = |[c, u]: [u64; 2]| c as f64 / (c as f64 + u as f64);
        let overall = rate(known);
        // A state nobody else ended in says nothing: the rate of all.
        let mut rated: Vec<(f64, [u64; 2])> = self
            .ends
            .values()
            .filter(|e| e.held != [0, 0])
            .map(|e| (if e.known == [0, 0] { overall } else { rate(e.known) }, e.held))
            .collect();
        rated.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let (mut below, mut converted, mut right) = (0_u128, 0_u128, 0_u128);
        for same in rated.chunk_by(|a, b| a.0 == b.0) {
            let c: u128 = same.iter().map(|(_, held)| u128::from(held[0])).sum();
            let u: u128 = same.iter().map(|(_, held)| u128::from(held[1])).sum();
            // In half pairs.
            right += c * (2 * below + u);
            below += u;
            converted += c;
        }
        (converted > 0 && below > 0).then(|| right as f64 / (2.0 * converted as f64 * below as f64))
    }
}

/// The smallest order whose AUC the next one does not better; 1 where nothing can be judged. `auc` is asked
/// for orders from 1 on, no further than needed.
pub fn choose_order(mut auc: impl FnMut(usize) -> Option<f64>) -> usize {
    let mut best = auc(1);
    for order in 1..HIGHEST_ORDER {
        let next = auc(order + 1);
        match (best, next) {
            (Some(now), Some(then)) if then > now => best = next,
            _ => return order,
        }
    }
    HIGHEST_ORDER
}
