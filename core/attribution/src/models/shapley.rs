//! Shapley values of channels.

use rustc_hash::FxHashMap;
use throughline_core::{Error, Result};

use super::Counts;

/// Players [`exact`] can be asked for at all: it holds a number per subset.
const MOST_PLAYERS: usize = 24;

/// The Shapley value of every player, by looking at every subset. A bit of the mask given to `utility` is a
/// player; the empty set is asked for too.
///
/// # Errors
/// More players than `most`: the work doubles with each.
pub fn exact(players: usize, most: usize, mut utility: impl FnMut(u32) -> f64) -> Result<Vec<f64>> {
    let most = most.min(MOST_PLAYERS);
    if players > most {
        return Err(Error::data(format!(
            "an exact Shapley value of {players} channels needs 2^{players} subsets; at most {most} channels are allowed"
        ))
        .hint("raise shapley_max_players, or have fewer channels"));
    }
    let values: Vec<f64> = (0..1_u32 << players).map(&mut utility).collect();
    let weights: Vec<f64> = (0..players).map(|s| joining_weight(s, players)).collect();
    let mut phi = vec![0.0; players];
    for (set, value) in values.iter().enumerate() {
        let size = set.count_ones() as usize;
        for (player, sum) in phi.iter_mut().enumerate() {
            if set >> player & 1 == 0 {
                *sum += weights[size] * (values[set | 1 << player] - value);
            }
        }
    }
    Ok(phi)
}

/// s! (n-s-1)! / n!: how often a player joins just this set of s in all orders of n.
fn joining_weight(s: usize, n: usize) -> f64 {
    // 1 / (n * (n-1 over s)), without factorials.
    let binomial = (0..s).fold(1.0, |b, i| b * (n - 1 - i) as f64 / (i + 1) as f64);
    1.0 / (n as f64 * binomial)
}

/// Shares by position of the model `shapley`: with v(S) the conversions of people who met channels of S
/// alone, v is a sum of unanimity games and each conversion belongs equally to its distinct channels. A
/// channel's part lies equally on its touches, which is `shapley_ordered`.
pub fn equal_shares(path: &[u32], shares: &mut Vec<f64>) {
    shares.clear();
    let mut channels = path.to_vec();
    channels.sort_unstable();
    let distinct = channels.chunk_by(|a, b| a == b).count();
    shares.extend(path.iter().map(|c| {
        let times = channels.partition_point(|x| x <= c) - channels.partition_point(|x| x < c);
        1.0 / (distinct * times) as f64
    }));
}

/// Shares by position from weights by channel: a channel's part lies equally on its touches. Weights that
/// are all 0 are taken as equal.
pub(crate) fn by_channel(path: &[u32], shares: &mut Vec<f64>, weight: impl Fn(u32) -> f64) {
    let mut channels = path.to_vec();
    channels.sort_unstable();
    let sum: f64 = channels.chunk_by(|a, b| a == b).map(|c| weight(c[0])).sum();
    if !(sum.is_finite() && sum > 0.0) {
        return equal_shares(path, shares);
    }
    shares.clear();
    shares.extend(path.iter().map(|c| {
        let times = channels.partition_point(|x| x <= c) - channels.partition_point(|x| x < c);
        weight(*c) / sum / times as f64
    }));
}

pub(crate) fn set_of(path: &[u32], set: &mut Vec<u32>) {
    set.clear();
    set.extend_from_slice(path);
    set.sort_unstable();
    set.dedup();
}

/// Counts people by the exact set of channels they met, for `shapley_rate`.
#[derive(Default)]
pub struct RateSets {
    sets: FxHashMap<Box<[u32]>, Counts>,
    scratch: Vec<u32>,
}

impl RateSets {
    pub fn add(&mut self, path: &[u32], counts: Counts) {
        if path.is_empty() || counts.people() == 0 {
            return;
        }
        let mut set = std::mem::take(&mut self.scratch);
        set_of(path, &mut set);
        if let Some(sum) = self.sets.get_mut(&set[..]) {
            sum.conversions = sum.conversions.saturating_add(counts.conversions);
            sum.nulls = sum.nulls.saturating_add(counts.nulls);
        } else {
            self.sets.insert(set[..].into(), counts);
        }
        self.scratch = set;
    }

    /// Values every set that converts.
    ///
    /// Only sets that were seen converting have a utility above 0, so a set of n channels is valued over
    /// those of them that lie in it, or over its 2^n subsets where they are fewer.
    ///
    /// # Errors
    /// A set of more than `most` channels among more than 2^`most` sets: the work would not end.
    pub fn finish(self, most: usize) -> Result<RateModel> {
        let mut seen: Vec<(Box<[u32]>, f64)> = self
            .sets
            .into_iter()
            .filter(|(_, c)| c.conversions > 0)
            .map(|(set, c)| (set, c.conversions as f64 / (c.conversions as f64 + c.nulls as f64)))
            .collect();
        seen.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let rates: FxHashMap<&[u32], f64> = seen.iter().map(|(set, rate)| (&set[..], *rate)).collect();
        let mut values = FxHashMap::default();
        for (set, _) in &seen {
            let subsets = 1_usize.checked_shl(set.len() as u32).unwrap_or(usize::MAX);
            if set.len() > most && seen.len() >> most.min(60) > 0 {
                return Err(Error::data(format!(
                    "shapley_rate: a path visits {} channels, more than shapley_max_players = {most}, and {} \
                     different sets of channels convert",
                    set.len(),
                    seen.len()
                ))
                .hint("leave shapley_rate out of `models`, raise shapley_max_players, or join channels"));
            }
            let phi = if subsets < seen.len() {
                over_subsets(set, &rates)
            } else {
                over_seen(set, seen.iter().map(|(s, rate)| (&s[..], *rate)))
            };
            values.insert(set.clone(), phi);
        }
        Ok(RateModel { values })
    }
}

/// Adds up what each subset gives: a set S of s among n players gives v(S) (s-1)!(n-s)!/n! to its members and
/// takes v(S) s!(n-s-1)!/n! from the others.
struct Sum {
    phi: Vec<f64>,
    taken: f64,
    n: usize,
}

impl Sum {
    fn new(n: usize) -> Self {
        Self { phi: vec![0.0; n], taken: 0.0, n }
    }

    fn add(&mut self, members: &[usize], value: f64) {
        let s = members.len();
        let take = if s < self.n { joining_weight(s, self.n) } else { 0.0 };
        let give = joining_weight(s - 1, self.n);
        self.taken += value * take;
        for member in members {
            self.phi[*member] += value * (give + take);
        }
    }

    fn finish(self) -> Vec<f64> {
        self.phi.iter().map(|phi| phi - self.taken).collect()
    }
}

fn over_subsets(set: &[u32], rates: &FxHashMap<&[u32], f64>) -> Vec<f64> {
    let mut sum = Sum::new(set.len());
    let (mut members, mut subset) = (Vec::new(), Vec::new());
    for mask in 1_usize..1 << set.len() {
        members.clear();
        members.extend((0..set.len()).filter(|i| mask >> i & 1 == 1));
        subset.clear();
        subset.extend(members.iter().map(|i| set[*i]));
        if let Some(rate) = rates.get(&subset[..]) {
            sum.add(&members, *rate);
        }
    }
    sum.finish()
}

fn over_seen<'a>(set: &[u32], seen: impl Iterator<Item = (&'a [u32], f64)>) -> Vec<f64> {
    let mut sum = Sum::new(set.len());
    let mut members = Vec::new();
    for (other, rate) in seen.filter(|(s, _)| s.len() <= set.len()) {
        members.clear();
        members.extend(other.iter().map_while(|c| set.binary_search(c).ok()));
        if members.len() == other.len() {
            sum.add(&members, rate);
        }
    }
    sum.finish()
}

/// What `shapley_rate` gives each channel of each set that converts.
#[derive(Debug)]
pub struct RateModel {
    values: FxHashMap<Box<[u32]>, Vec<f64>>,
}

impl RateModel {
    /// The Shapley values of the channels of a set, rising; parts may be negative. `None`: it never converted.
    pub fn values(&self, set: &[u32]) -> Option<&[f64]> {
        self.values.get(set).map(Vec::as_slice)
    }

    /// Shares by position of a converting path: negative parts count as 0; where nothing is left all its
    /// channels are equal.
    pub fn path_shares(&self, path: &[u32], shares: &mut Vec<f64>) {
        let mut set = Vec::new();
        set_of(path, &mut set);
        let Some(values) = self.values(&set) else { return equal_shares(path, shares) };
        by_channel(path, shares, |c| set.binary_search(&c).map_or(0.0, |at| values[at].max(0.0)));
    }
}
