//! How often an address may come: a bucket each that fills steadily.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Addresses that are remembered; those beyond share one bucket.
const ADDRESSES: usize = 65_536;
/// Full buckets are forgotten no more often than this, however many addresses come.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

pub struct Rate {
    per_second: f64,
    burst: f64,
    buckets: Mutex<Buckets>,
}

struct Buckets {
    known: HashMap<IpAddr, Bucket>,
    others: Bucket,
    swept: Instant,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn fill(&mut self, now: Instant, per_second: f64, burst: f64) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * per_second).min(burst);
        self.at = now;
    }
}

impl Rate {
    pub fn new(per_second: u32, burst: u32) -> Self {
        let now = Instant::now();
        let burst = f64::from(burst.max(1));
        let others = Bucket { left: burst, at: now };
        let buckets = Mutex::new(Buckets { known: HashMap::new(), others, swept: now });
        Self { per_second: f64::from(per_second), burst, buckets }
    }

    /// Takes one; false when there is none left.
    pub fn take(&self, address: IpAddr, now: Instant) -> bool {
        self.with(address, now, |left| {
            let any = *left >= 1.0;
            if any {
                *left -= 1.0;
            }
            any
        })
    }

    /// Whether there is one to take.
    pub fn has(&self, address: IpAddr, now: Instant) -> bool {
        self.with(address, now, |left| *left >= 1.0)
    }

    fn with<T>(&self, address: IpAddr, now: Instant, work: impl FnOnce(&mut f64) -> T) -> T {
        let (per_second, burst) = (self.per_second, self.burst);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let crowded = buckets.known.len() >= ADDRESSES && !buckets.known.contains_key(&address);
        if crowded && now.saturating_duration_since(buckets.swept) >= SWEEP_EVERY {
            buckets.swept = now;
            buckets.known.retain(|_, bucket| {
                bucket.fill(now, per_second, burst);
                bucket.left < burst
            });
        }
        let room = buckets.known.len() < ADDRESSES || buckets.known.contains_key(&address);
        let bucket = if room {
            buckets.known.entry(address).or_insert(Bucket { left: burst, at: now })
        } else {
            &mut buckets.others
        };
        bucket.fill(now, per_second, burst);
        work(&mut bucket.left)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate() {
        let rate = Rate::new(2, 3);
        let (a, b): (IpAddr, IpAddr) = ("1.1.1.1".parse().unwrap(), "1.1.1.2".parse().unwrap());
        let now = Instant::now();
        assert_eq!((0..5).filter(|_| rate.take(a, now)).count(), 3);
        assert!(rate.take(b, now) && !rate.has(a, now));
        let later = now + Duration::from_millis(600);
        assert!(rate.take(a, later) && !rate.take(a, later));
        // A clock that goes back gives nothing.
        assert!(!rate.take(a, now));
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory() {
        let rate = Rate::new(1, 2);
        let now = Instant::now();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..(ADDRESSES as u32 + 10) {
            rate.take(address(n), now);
        }
        assert!(!rate.take(address(0xFFFF_FFFF), now), "the shared bucket is empty");
        assert_eq!(rate.buckets.lock().unwrap().known.len(), ADDRESSES);
        assert!(rate.take(address(0xFFFF_FFFF), now + Duration::from_secs(60)));
        assert!(rate.buckets.lock().unwrap().known.len() < 10);
    }
}
