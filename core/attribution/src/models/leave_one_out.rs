//! Leave one out: what a path's conversion rate loses without one of its touches.

use rustc_hash::FxHashMap;

use super::Counts;

/// Conversion rates of whole paths. Paths that never converted have rate 0 and are not kept.
#[derive(Default)]
pub struct LeaveOneOut {
    rates: FxHashMap<Box<[u32]>, f64>,
}

impl LeaveOneOut {
    /// Each path once, with all its people: a rate cannot be put together from parts.
    pub fn add(&mut self, path: &[u32], counts: Counts) {
        if !path.is_empty() && counts.conversions > 0 {
            let rate = counts.conversions as f64 / (counts.conversions as f64 + counts.nulls as f64);
            self.rates.insert(path.into(), rate);
        }
    }

    fn rate(&self, path: &[u32]) -> f64 {
        self.rates.get(path).copied().unwrap_or(0.0)
    }

    /// Shares by position: p(path) - p(path without the touch), floored at 0, in proportion. Where no touch
    /// is missed the last one gets all.
    pub fn path_shares(&self, path: &[u32], shares: &mut Vec<f64>) {
        shares.clear();
        let whole = self.rate(path);
        let mut rest: Vec<u32> = path.iter().skip(1).copied().collect();
        for (i, channel) in path.iter().enumerate() {
            if i > 0 && path[i - 1] == *channel {
                // Without either of two equal neighbours the path is the same.
                shares.push(shares[i - 1]);
            } else {
                shares.push((whole - self.rate(&rest)).max(0.0));
            }
            if let Some(next) = rest.get_mut(i) {
                *next = *channel;
            }
        }
        let sum: f64 = shares.iter().sum();
        if sum > 0.0 && path.len() > 1 {
            for share in shares.iter_mut() {
                *share /= sum;
            }
        } else if let Some(last) = path.len().checked_sub(1) {
            shares.fill(0.0);
            shares[last] = 1.0;
        }
    }
}
