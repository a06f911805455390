//! Two ways to solve a chain: one dense factorisation for all removals, and Gauss-Seidel for large ones.
//!
//! Removing channel X sends every transition into a state with X to `(null)`. What is lost is what paths
//! through such states bring: with f(s) the probability that a path's first state with X is s, and h(s) the
//! probability of converting from s in the whole chain, P - P_-X = sum of f(s) h(s). Both factors are sums of
//! products of probabilities, so rare channels keep their digits; subtracting P_-X from P would lose them.

use throughline_core::{Error, ErrorKind, Result};

use super::chain::Chain;

/// What a removal takes away, absolutely, per channel of the chain.
pub(crate) struct Lost {
    /// P(conversion) and expected value of one path in the whole chain.
    pub p: f64,
    pub worth: f64,
    /// What paths through each channel bring of them.
    pub p_by: Vec<f64>,
    pub worth_by: Vec<f64>,
}

/// With N = (I-Q)^-1 at hand, f over the states of X is y_X (N_XX)^-1, where y are the expected visits: one
/// small system per channel.
pub(crate) fn dense(chain: &Chain) -> Result<Lost> {
    let n = chain.states();
    let mut inverse = vec![0.0; n * n];
    for s in 0..n {
        for (to, p) in chain.row(s) {
            inverse[s * n + to] = -p;
        }
        inverse[s * n + s] += 1.0;
    }
    invert(&mut inverse, n)?;
    let times = |v: &[f64]| -> Vec<f64> { inverse.chunks_exact(n.max(1)).map(|row| dot(row, v)).collect() };
    let (h, worth) = (times(&chain.convert), times(&chain.worth));
    let mut lost = Lost::over(chain, &h, &worth);
    for states in &chain.with {
        let first = first_visits(&inverse, n, states, &chain.visits)?;
        lost.add(states, &first, &h, &worth);
    }
    Ok(lost)
}

impl Lost {
    fn over(chain: &Chain, h: &[f64], worth: &[f64]) -> Self {
        Self {
            p: dot(&chain.start, h),
            worth: dot(&chain.start, worth),
            p_by: Vec::new(),
            worth_by: Vec::new(),
        }
    }

    fn add(&mut self, states: &[u32], first: &[f64], h: &[f64], worth: &[f64]) {
        let sum = |v: &[f64]| states.iter().zip(first).map(|(s, f)| f * v[*s as usize]).sum::<f64>();
        self.p_by.push(sum(h));
        self.worth_by.push(sum(worth));
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Gauss-Jordan in place. I-Q is an M-matrix whose rows are dominated by the diagonal: it needs no pivoting.
fn invert(a: &mut [f64], n: usize) -> Result<()> {
    let mut row = vec![0.0; n];
    for k in 0..n {
        let pivot = a[k * n + k];
        if !(pivot.is_finite() && pivot > 0.0) {
            return Err(unsolvable());
        }
        a[k * n + k] = 1.0;
        for value in &mut a[k * n..(k + 1) * n] {
            *value /= pivot;
        }
        row.copy_from_slice(&a[k * n..(k + 1) * n]);
        for (i, other) in a.chunks_exact_mut(n).enumerate() {
            let factor = other[k];
            if i == k || factor == 0.0 {
                continue;
            }
            other[k] = 0.0;
            for (value, by) in other.iter_mut().zip(&row) {
                *value -= factor * by;
            }
        }
    }
    Ok(())
}

/// Solves f N_XX = y_X by elimination with row pivoting on the transposed system.
fn first_visits(inverse: &[f64], n: usize, states: &[u32], visits: &[f64]) -> Result<Vec<f64>> {
    let m = states.len();
    let at = |i: usize, j: usize| inverse[states[j] as usize * n + states[i] as usize];
    let mut a: Vec<f64> = (0..m * m).map(|i| at(i / m, i % m)).collect();
    let mut f: Vec<f64> = states.iter().map(|s| visits[*s as usize]).collect();
    for k in 0..m {
        let best = (k..m).max_by(|i, j| a[i * m + k].abs().total_cmp(&a[j * m + k].abs())).unwrap_or(k);
        if best != k {
            for column in 0..m {
                a.swap(k * m + column, best * m + column);
            }
            f.swap(k, best);
        }
        let pivot = a[k * m + k];
        if !(pivot.is_finite() && pivot != 0.0) {
            return Err(unsolvable());
        }
        for i in k + 1..m {
            let factor = a[i * m + k] / pivot;
            if factor != 0.0 {
                for column in k..m {
                    a[i * m + column] -= factor * a[k * m + column];
                }
                f[i] -= factor * f[k];
            }
        }
    }
    for k in (0..m).rev() {
        let known: f64 = (k + 1..m).map(|column| a[k * m + column] * f[column]).sum();
        f[k] = (f[k] - known) / a[k * m + k];
    }
    Ok(f)
}

fn unsolvable() -> Error {
    Error::new(ErrorKind::Bug, "a Markov chain that was counted from paths cannot be solved")
        .hint("please report this with the run's log")
}

/// Of P and of the value: what an iteration may still miss when it stops.
const TOLERANCE: f64 = 1e-14;
/// Of the sum an iteration works on: what rounding alone leaves, so that it cannot be asked for less.
const ROUNDING: f64 = 64.0 * f64::EPSILON;
const MOST_SWEEPS: usize = 200_000;
/// Sweeps between two looks at what is missing.
const SWEEPS: usize = 4;

/// Gauss-Seidel. From zero it climbs to the answer, since Q has no negative entry and every state leads out;
/// what it still misses is bounded by the residual weighed with the visits (or with h), both of which are
/// known, so that the stop is exact and not a guess.
pub(crate) fn sparse(chain: &Chain) -> Result<Lost> {
    let n = chain.states();
    let h = from_the_end(chain, &chain.convert)?;
    let worth = from_the_end(chain, &chain.worth)?;
    let incoming = Incoming::of(chain);
    let mut lost = Lost::over(chain, &h, &worth);
    let mut removed = vec![false; n];
    let mut visits = vec![0.0; n];
    for states in &chain.with {
        for s in states {
            removed[*s as usize] = true;
        }
        incoming.visits_without(chain, &removed, [&h, &worth], &mut visits)?;
        let first: Vec<f64> = states.iter().map(|s| incoming.arriving(chain, *s as usize, &visits)).collect();
        lost.add(states, &first, &h, &worth);
        for s in states {
            removed[*s as usize] = false;
        }
    }
    Ok(lost)
}

/// x = r + Q x.
fn from_the_end(chain: &Chain, r: &[f64]) -> Result<Vec<f64>> {
    let n = chain.states();
    let mut x = vec![0.0; n];
    let through =
        |s: usize, x: &[f64]| chain.row(s).map(|(to, p)| if to == s { 0.0 } else { p * x[to] }).sum::<f64>();
    let stay: Vec<f64> =
        (0..n).map(|s| chain.row(s).filter(|(to, _)| *to == s).map(|(_, p)| p).sum()).collect();
    let scale: f64 = (0..n).map(|s| chain.visits[s] * r[s].abs()).sum();
    for sweep in 1..=MOST_SWEEPS {
        let update = |s: usize, x: &mut [f64]| x[s] = (r[s] + through(s, x)) / (1.0 - stay[s]);
        if sweep % 2 == 1 {
            (0..n).rev().for_each(|s| update(s, &mut x));
        } else {
            (0..n).for_each(|s| update(s, &mut x));
        }
        if sweep % SWEEPS == 0 {
            let residual = |s: usize| (r[s] + through(s, &x) - (1.0 - stay[s]) * x[s]).abs();
            let missing: f64 = (0..n).map(|s| chain.visits[s] * residual(s)).sum();
            let sum: f64 = (0..n).map(|s| chain.visits[s] * x[s].abs()).sum();
            if missing <= (TOLERANCE * scale).max(ROUNDING * sum) {
                return Ok(x);
            }
        }
    }
    Err(endless(n))
}

fn endless(states: usize) -> Error {
    Error::data(format!("a Markov chain of {states} states was not solved within {MOST_SWEEPS} rounds")).hint(
        "some journeys are thousands of touches long: shorten paths, e.g. path_transforms = [\"last_n(50)\"]",
    )
}

/// The transitions by where they lead to.
struct Incoming {
    begins: Vec<u32>,
    from: Vec<u32>,
    p: Vec<f64>,
}

impl Incoming {
    fn of(chain: &Chain) -> Self {
        let n = chain.states();
        let mut begins = vec![0_u32; n + 1];
        for to in &chain.to {
            begins[*to as usize + 1] += 1;
        }
        for s in 0..n {
            begins[s + 1] += begins[s];
        }
        let mut next = begins.clone();
        let (mut from, mut p) = (vec![0_u32; chain.to.len()], vec![0.0; chain.to.len()]);
        for s in 0..n {
            for (to, probability) in chain.row(s) {
                let at = next[to] as usize;
                (from[at], p[at]) = (s as u32, probability);
                next[to] += 1;
            }
        }
        Self { begins, from, p }
    }

    /// Probability of coming into `state` from the states whose visits are given, or of starting there.
    fn arriving(&self, chain: &Chain, state: usize, visits: &[f64]) -> f64 {
        let range = self.begins[state] as usize..self.begins[state + 1] as usize;
        let from = self.from[range.clone()].iter().zip(&self.p[range]);
        chain.start[state]
            + from.map(|(s, p)| if *s as usize == state { 0.0 } else { visits[*s as usize] * p }).sum::<f64>()
    }

    fn stay(&self, state: usize) -> f64 {
        let range = self.begins[state] as usize..self.begins[state + 1] as usize;
        self.from[range.clone()]
            .iter()
            .zip(&self.p[range])
            .filter(|(s, _)| **s as usize == state)
            .map(|(_, p)| p)
            .sum()
    }

    /// Expected visits of each state by paths that end when they come into a removed one; 0 there.
    fn visits_without(&self, chain: &Chain, removed: &[bool], h: [&[f64]; 2], y: &mut [f64]) -> Result<()> {
        let n = y.len();
        y.fill(0.0);
        let kept: Vec<(usize, f64)> =
            (0..n).filter(|s| !removed[*s]).map(|s| (s, 1.0 - self.stay(s))).collect();
        let scale = h.map(|h| dot(&chain.start, h).abs());
        for sweep in 1..=MOST_SWEEPS {
            let update =
                |(s, leave): &(usize, f64), y: &mut [f64]| y[*s] = self.arriving(chain, *s, y) / leave;
            if sweep % 2 == 1 {
                kept.iter().for_each(|s| update(s, y));
            } else {
                kept.iter().rev().for_each(|s| update(s, y));
            }
            if sweep % SWEEPS == 0 {
                let (mut missing, mut sum) = ([0.0; 2], [0.0; 2]);
                for (s, leave) in &kept {
                    let residual = (self.arriving(chain, *s, y) - leave * y[*s]).abs();
                    for of in 0..2 {
                        missing[of] += residual * h[of][*s].abs();
                        sum[of] += y[*s] * h[of][*s].abs();
                    }
                }
                if (0..2).all(|of| missing[of] <= (TOLERANCE * scale[of]).max(ROUNDING * sum[of])) {
                    return Ok(());
                }
            }
        }
        Err(endless(n))
    }
}
