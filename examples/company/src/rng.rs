//! Random numbers by counter: everything about record `i` follows from (seed, purpose, i) alone, so a
//! million records need no memory and any of them can be made again at any time, in any order.
//!
//! Whole numbers only: floating point may differ between machines, and the same seed must give the same
//! bytes everywhere.

/// What a stream of numbers is for. Adding a purpose never disturbs the others.
#[derive(Clone, Copy)]
#[repr(u64)]
pub enum For {
    Person = 1,
    Visits = 2,
    Inquiries = 3,
    Token = 4,
    Chat = 5,
    Deal = 6,
    Client = 7,
    Cost = 8,
    Batch = 9,
    Id = 10,
    History = 11,
    Visit = 12,
    Contact = 13,
    Broadcast = 14,
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, quick, and good enough to play a company.
#[derive(Clone)]
pub struct Rng(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    pub fn new(seed: u64, purpose: For, a: u64, b: u64) -> Rng {
        let s = mix(seed.wrapping_add(GOLDEN));
        let s = mix(s ^ (purpose as u64).wrapping_mul(GOLDEN));
        let s = mix(s ^ a.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        Rng(mix(s ^ b.wrapping_mul(0xA076_1D64_78BD_642F)))
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// 0..n, for n > 0; the bias of the multiplication is far below anything visible here.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(n)) >> 64) as u64
    }

    /// lo..=hi
    pub fn range(&mut self, lo: i64, hi: i64) -> i64 {
        lo + self.below((hi - lo).max(0) as u64 + 1) as i64
    }

    /// True in `n` cases of a thousand.
    pub fn permille(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// An index, as often as its weight says.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        let mut left = self.below(sum.max(1));
        for (i, w) in weights.iter().enumerate() {
            if left < u64::from(*w) {
                return i;
            }
            left -= u64::from(*w);
        }
        weights.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_independent_and_repeatable() {
        let mut a = Rng::new(1, For::Person, 7, 0);
        let mut b = Rng::new(1, For::Person, 7, 0);
        let mut c = Rng::new(1, For::Visits, 7, 0);
        let first = a.draw();
        assert_eq!(first, b.draw());
        assert_ne!(first, c.draw());
    }

    #[test]
    fn weights_are_obeyed() {
        let mut r = Rng::new(3, For::Person, 0, 0);
        let mut seen = [0u32; 3];
        for _ in 0..10_000 {
            seen[r.weighted(&[70, 0, 30])] += 1;
        }
        assert_eq!(seen[1], 0);
        assert!((6700..7300).contains(&seen[0]), "{seen:?}");
    }
}
