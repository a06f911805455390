//! The Markov chain of counted paths, of any order.

use rustc_hash::FxHashMap;
use throughline_core::{Error, Result};

use super::Counts;

const ROOT: u32 = 0;
/// States a chain may have; more would be a model of single journeys, not of channels.
const MOST_STATES: usize = 4_000_000;
/// Touches over all people; above, counts are no longer exact in a float.
const MOST_TOUCHES: u128 = 1 << 53;

/// A state, or the beginning of one: the last channels of a path.
#[derive(Clone, Copy, Default)]
struct Node {
    /// Its channels in [`ChainBuilder::windows`].
    begin: usize,
    len: u32,
    started: u64,
    conversions: u64,
    value: i128,
}

#[derive(Clone, Copy)]
struct Step {
    to: u32,
    people: u64,
}

/// Counts transitions while paths are read.
///
/// A state of order k is a sliding window of k channels, or the whole path where that is shorter. Windows
/// are nodes of a tree that is walked from the root over the first k channels; from there on every channel
/// leads from one full window to the next. Both kinds of step are found under one key, (node, channel).
pub struct ChainBuilder {
    order: usize,
    collapse: bool,
    nodes: Vec<Node>,
    windows: Vec<u32>,
    known: FxHashMap<u64, u32>,
    steps: Vec<Step>,
    people: u64,
    conversions: u64,
    value: i128,
    touches: u128,
}

impl ChainBuilder {
    /// `order` below 1 is taken for 1. `collapse`: staying in a state is no transition; it changes no effect.
    pub fn new(order: usize, collapse: bool) -> Self {
        Self {
            order: order.max(1),
            collapse,
            nodes: vec![Node::default()],
            windows: Vec::new(),
            known: FxHashMap::default(),
            steps: Vec::new(),
            people: 0,
            conversions: 0,
            value: 0,
            touches: 0,
        }
    }

    /// Adds a path. One without a touch stays outside of the chain, as does one that nobody went.
    pub fn add(&mut self, path: &[u32], counts: Counts) {
        let people = counts.people();
        if path.is_empty() || people == 0 {
            return;
        }
        let head = path.len().min(self.order);
        let mut node = ROOT;
        for &channel in &path[..head] {
            node = self.grow(node, channel);
        }
        let first = &mut self.nodes[node as usize];
        first.started = first.started.saturating_add(people);
        for &channel in &path[head..] {
            let step = self.step(node, channel);
            let to = step.to;
            if to != node || !self.collapse {
                let step = &mut self.steps[step.number];
                step.people = step.people.saturating_add(people);
            }
            node = to;
        }
        let last = &mut self.nodes[node as usize];
        last.conversions = last.conversions.saturating_add(counts.conversions);
        last.value += i128::from(counts.value);
        self.people = self.people.saturating_add(people);
        self.conversions = self.conversions.saturating_add(counts.conversions);
        self.value += i128::from(counts.value);
        self.touches += path.len() as u128 * u128::from(people);
    }

    /// The node one channel below a node that is no full window.
    fn grow(&mut self, node: u32, channel: u32) -> u32 {
        let key = u64::from(node) << 32 | u64::from(channel);
        if let Some(step) = self.known.get(&key) {
            return self.steps[*step as usize].to;
        }
        let Node { begin, len, .. } = self.nodes[node as usize];
        let window = self.windows.len();
        self.windows.extend_from_within(begin..begin + len as usize);
        self.windows.push(channel);
        let to = self.nodes.len() as u32;
        self.nodes.push(Node { begin: window, len: len + 1, ..Node::default() });
        self.remember(key, to);
        to
    }

    /// The step from a full window to the next one.
    fn step(&mut self, node: u32, channel: u32) -> Found {
        let key = u64::from(node) << 32 | u64::from(channel);
        if let Some(step) = self.known.get(&key) {
            let number = *step as usize;
            return Found { number, to: self.steps[number].to };
        }
        let Node { begin, len, .. } = self.nodes[node as usize];
        let mut to = ROOT;
        for at in begin + 1..begin + len as usize {
            to = self.grow(to, self.windows[at]);
        }
        to = self.grow(to, channel);
        Found { number: self.remember(key, to), to }
    }

    fn remember(&mut self, key: u64, to: u32) -> usize {
        let number = self.steps.len();
        self.steps.push(Step { to, people: 0 });
        self.known.insert(key, number as u32);
        number
    }

    /// Nodes so far, for a caller who wants to stop before memory does.
    pub fn is_too_large(&self) -> bool {
        self.nodes.len() > MOST_STATES || self.steps.len() > 2 * MOST_STATES
    }

    /// # Errors
    /// More states or more touches than can be counted exactly.
    pub fn finish(self) -> Result<Chain> {
        if self.is_too_large() {
            return Err(Error::data(format!(
                "a Markov chain of order {} has more than {MOST_STATES} states here",
                self.order
            ))
            .hint("choose a lower markov_order, or shorten paths with path_transforms such as last_n(4)"));
        }
        if self.touches >= MOST_TOUCHES {
            return Err(Error::data("the counts of the paths are too large to be exact")
                .hint("look for conversions or nulls that are no counts of people"));
        }
        // What comes into a node is what goes out of it: every path that reaches a state leaves it.
        let mut visits: Vec<u64> = self.nodes.iter().map(|n| n.started).collect();
        for step in &self.steps {
            visits[step.to as usize] += step.people;
        }
        let mut order: Vec<u32> = (0..self.nodes.len() as u32).filter(|n| visits[*n as usize] > 0).collect();
        let window = |node: u32| {
            let Node { begin, len, .. } = self.nodes[node as usize];
            &self.windows[begin..begin + len as usize]
        };
        // In the order of their channels, so that the order of paths changes no bit of the result.
        order.sort_unstable_by_key(|n| window(*n));
        let mut state_of = vec![u32::MAX; self.nodes.len()];
        for (state, node) in order.iter().enumerate() {
            state_of[*node as usize] = state as u32;
        }
        let mut moves: Vec<(u32, u32, u64)> = self
            .known
            .iter()
            .map(|(key, step)| ((key >> 32) as u32, self.steps[*step as usize]))
            .filter(|(_, step)| step.people > 0)
            .map(|(from, step)| (state_of[from as usize], state_of[step.to as usize], step.people))
            .collect();
        moves.sort_unstable();

        let mut channels: Vec<u32> = order.iter().flat_map(|n| window(*n)).copied().collect();
        channels.sort_unstable();
        channels.dedup();
        let mut with: Vec<Vec<u32>> = vec![Vec::new(); channels.len()];
        for (state, node) in order.iter().enumerate() {
            for channel in window(*node) {
                if let Ok(at) = channels.binary_search(channel)
                    && with[at].last() != Some(&(state as u32))
                {
                    with[at].push(state as u32);
                }
            }
        }

        let people = self.people.max(1) as f64;
        let per_visit = |amount: f64, node: u32| amount / visits[node as usize] as f64;
        let mut begins = vec![0_u32; order.len() + 1];
        for (from, _, _) in &moves {
            begins[*from as usize + 1] += 1;
        }
        for state in 0..order.len() {
            begins[state + 1] += begins[state];
        }
        Ok(Chain {
            order: self.order,
            with,
            start: order.iter().map(|n| self.nodes[*n as usize].started as f64 / people).collect(),
            visits: order.iter().map(|n| visits[*n as usize] as f64 / people).collect(),
            convert: order
                .iter()
                .map(|n| per_visit(self.nodes[*n as usize].conversions as f64, *n))
                .collect(),
            worth: order.iter().map(|n| per_visit(self.nodes[*n as usize].value as f64, *n)).collect(),
            begins,
            to: moves.iter().map(|m| m.1).collect(),
            p: moves.iter().map(|m| per_visit(m.2 as f64, order[m.0 as usize])).collect(),
            windows: order.iter().map(|n| window(*n).to_vec()).collect(),
            channels,
            people: self.people,
            conversions: self.conversions,
            value: self.value,
        })
    }
}

struct Found {
    number: usize,
    to: u32,
}

/// From, to, probability.
pub type Transition<'a> = (Option<&'a [u32]>, Option<&'a [u32]>, f64);

/// A chain ready to be solved: states in the order of their channels, rows that sum to 1 with the way to
/// `(null)` left out.
#[derive(Debug)]
pub struct Chain {
    pub order: usize,
    /// All channels, rising.
    pub channels: Vec<u32>,
    /// Per channel of [`Self::channels`]: the states that contain it, rising.
    pub(crate) with: Vec<Vec<u32>>,
    /// Probability that a path starts in a state.
    pub(crate) start: Vec<f64>,
    /// Expected visits of a state by one path. Known from the counts, without solving anything.
    pub(crate) visits: Vec<f64>,
    /// Probability of going to `(conversion)` from a state.
    pub(crate) convert: Vec<f64>,
    /// Value brought by that step, in minor units, on average over all visits of the state.
    pub(crate) worth: Vec<f64>,
    /// Row of state s: `to` and `p` from `begins[s]` to `begins[s + 1]`.
    pub(crate) begins: Vec<u32>,
    pub(crate) to: Vec<u32>,
    pub(crate) p: Vec<f64>,
    windows: Vec<Vec<u32>>,
    pub people: u64,
    pub conversions: u64,
    pub value: i128,
}

impl Chain {
    pub fn states(&self) -> usize {
        self.start.len()
    }

    /// The channels of a state.
    pub fn window(&self, state: usize) -> &[u32] {
        &self.windows[state]
    }

    pub(crate) fn row(&self, state: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.begins[state] as usize..self.begins[state + 1] as usize;
        self.to[range.clone()].iter().map(|t| *t as usize).zip(self.p[range].iter().copied())
    }

    /// Every transition between states, from `(start)` and to `(conversion)`, with its probability.
    /// `None` stands for `(start)` on the left and `(conversion)` on the right.
    pub fn transitions(&self) -> Vec<Transition<'_>> {
        let mut all = Vec::new();
        for state in 0..self.states() {
            if self.start[state] > 0.0 {
                all.push((None, Some(self.window(state)), self.start[state]));
            }
            for (to, p) in self.row(state) {
                all.push((Some(self.window(state)), Some(self.window(to)), p));
            }
            if self.convert[state] > 0.0 {
                all.push((Some(self.window(state)), None, self.convert[state]));
            }
        }
        all
    }
}
