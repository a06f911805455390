//! Removal effects: what would be lost without a channel. Anderl, Becker, von Wangenheim, Schumann: Mapping
//! the customer journey (2016), solved exactly instead of simulated.

use throughline_core::{Error, ErrorKind, Result};

use super::chain::Chain;
use super::solve::{self, Lost};

/// Above this many states a dense factorisation, whose cost grows with their cube, is slower than iterating.
const DENSE_STATES: usize = 400;

/// How a chain is solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Solver {
    Dense,
    Sparse,
}

/// Removal effects of every channel of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Effects {
    /// The numbers of the channels, rising.
    pub channels: Vec<u32>,
    /// P(conversion) of one path: conversions / people.
    pub p: f64,
    /// Expected value of one path in minor units.
    pub worth: f64,
    /// 1 - P without the channel / P. All 0 where nothing converts.
    pub removal: Vec<f64>,
    /// The same of the value. All 0 where the value in all is not above 0.
    pub removal_value: Vec<f64>,
}

/// # Errors
/// A chain that cannot be solved to the last digits is an error, never an approximation.
pub fn effects(chain: &Chain) -> Result<Effects> {
    effects_by(chain, if chain.states() <= DENSE_STATES { Solver::Dense } else { Solver::Sparse })
}

/// # Errors
/// As [`effects`].
pub fn effects_by(chain: &Chain, solver: Solver) -> Result<Effects> {
    let nothing = || vec![0.0; chain.channels.len()];
    if chain.conversions == 0 {
        return Ok(Effects {
            channels: chain.channels.clone(),
            p: 0.0,
            worth: 0.0,
            removal: nothing(),
            removal_value: nothing(),
        });
    }
    let Lost { p, worth, p_by, worth_by } = match solver {
        Solver::Dense => solve::dense(chain)?,
        Solver::Sparse => solve::sparse(chain)?,
    };
    // The chain reproduces what was counted, whatever its order; else the numbers are not to be trusted.
    let expected = chain.conversions as f64 / chain.people as f64;
    let off = (p / expected - 1.0).abs();
    if off.is_nan() || off > 1e-9 {
        return Err(Error::new(
            ErrorKind::Bug,
            format!("a Markov chain of order {} gives conversion {p}, the paths {expected}", chain.order),
        )
        .hint("please report this with the run's log"));
    }
    let of = |lost: Vec<f64>, whole: f64| lost.into_iter().map(|l| (l / whole).clamp(0.0, 1.0)).collect();
    Ok(Effects {
        channels: chain.channels.clone(),
        p,
        worth,
        removal: of(p_by, p),
        removal_value: if chain.value > 0 { of(worth_by, worth) } else { nothing() },
    })
}

/// Effects in proportion: they sum to 1, or are all 0.
pub fn shares(effects: &[f64]) -> Vec<f64> {
    let sum: f64 = effects.iter().sum();
    if sum > 0.0 { effects.iter().map(|e| e / sum).collect() } else { vec![0.0; effects.len()] }
}

impl Effects {
    pub fn removal_of(&self, channel: u32) -> f64 {
        self.channels.binary_search(&channel).map_or(0.0, |at| self.removal[at])
    }
}

/// One conversion's shares by position: its channels in proportion to their removal effects, each channel's
/// part equally over its touches.
pub fn path_shares(effects: &Effects, path: &[u32], shares: &mut Vec<f64>) {
    super::shapley::by_channel(path, shares, |channel| effects.removal_of(channel));
}
