//! The models that learn from all journeys together: Markov removal effects, Shapley values and
//! leave-one-out. Definitions: docs/attribution.md.
//!
//! Pure functions over counted paths, with no table and no engine in sight. A path is a list of channel
//! numbers in the order of touches; [`Counts`] says how many people went it and what came of it. What is fed
//! one path at a time ([`ChainBuilder`], [`RateSets`], [`LeaveOneOut`], [`OrderTrial`]) keeps states, sets
//! or converting paths, never the paths themselves.

mod chain;
mod leave_one_out;
mod markov;
mod names;
mod order;
mod shapley;
mod solve;
mod split;

pub use chain::{Chain, ChainBuilder};
pub use leave_one_out::LeaveOneOut;
pub use markov::{Effects, Solver, effects, effects_by, path_shares, shares};
pub use names::Names;
pub use order::{HIGHEST_ORDER, OrderTrial, choose_order};
pub use shapley::{RateModel, RateSets, equal_shares, exact};
pub(crate) use split::give_rest;
pub use split::{round_to, split};

/// How many people went a path, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub conversions: u64,
    /// People who did not convert.
    pub nulls: u64,
    /// What the conversions brought in all, in minor units of one currency.
    pub value: i64,
}

impl Counts {
    pub fn people(&self) -> u64 {
        self.conversions.saturating_add(self.nulls)
    }
}
