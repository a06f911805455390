//! How operators of a query share the memory limit.
//!
//! Some operators can spill what they hold (sorts, aggregations), some cannot (the table of a hash
//! join, the cursors of a merge). A sort that spills needs cursors for that very spill, about as
//! large as its keys; where spillable memory may fill the whole limit, as in DataFusion's own pools,
//! there is nothing left for them and the query fails though the disk is empty. So here spillable
//! memory takes at most half, in equal shares, and what cannot spill takes whatever is free.
//!
//! A plan of many joins has dozens of sorts, most of which are idle at a time. Their equal shares may
//! be less than one batch, without which a sort cannot even begin to spill: so each may take a little
//! more than its share while a quarter of the limit stays free.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// The part of the limit that an operator may begin with, whatever its share.
const LITTLE: usize = 16;

#[derive(Debug)]
pub(crate) struct HalfSpillPool {
    limit: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    spillers: usize,
    spillable: usize,
    unspillable: usize,
}

impl HalfSpillPool {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, used: Mutex::default() }
    }
    fn used(&self) -> MutexGuard<'_, Used> {
        // Three counters that are changed together: a panic cannot leave them half-changed.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn of(&mut self, reservation: &MemoryReservation) -> &mut usize {
        if reservation.consumer().can_spill() { &mut self.spillable } else { &mut self.unspillable }
    }
}

impl fmt::Display for HalfSpillPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the limit of {} MB", self.limit >> 20)
    }
}

impl MemoryPool for HalfSpillPool {
    fn name(&self) -> &str {
        "half_spill"
    }
    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.used().spillers += 1;
        }
    }
    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            let mut used = self.used();
            used.spillers = used.spillers.saturating_sub(1);
        }
    }
    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut used = self.used();
        let held = used.of(reservation);
        *held = held.saturating_add(additional);
    }
    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut used = self.used();
        let held = used.of(reservation);
        *held = held.saturating_sub(shrink);
    }
    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut used = self.used();
        let all = used.unspillable.saturating_add(used.spillable).saturating_add(additional);
        let (held, fits) = if reservation.consumer().can_spill() {
            let half = (self.limit / 2).min(self.limit.saturating_sub(used.unspillable));
            let held = reservation.size();
            let wanted = held.saturating_add(additional);
            let begins = wanted <= self.limit / LITTLE && all <= self.limit / 4 * 3;
            (held, wanted <= half / used.spillers.max(1) || begins)
        } else {
            (all - additional, all <= self.limit)
        };
        if !fits {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{} asked for {} KB beside {} KB, {self}",
                reservation.consumer().name(),
                additional >> 10,
                held >> 10,
            )));
        }
        *used.of(reservation) += additional;
        Ok(())
    }
    fn reserved(&self) -> usize {
        let used = self.used();
        used.spillable + used.unspillable
    }
    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn spillers(pool: &Arc<dyn MemoryPool>, count: usize) -> Vec<MemoryReservation> {
        let consumer = |n: usize| MemoryConsumer::new(format!("sort {n}")).with_can_spill(true);
        (0..count).map(|n| consumer(n).register(pool)).collect()
    }

    #[test]
    fn spillers_share_half_equally() {
        let pool: Arc<dyn MemoryPool> = Arc::new(HalfSpillPool::new(1600));
        let two = spillers(&pool, 2);
        two[0].try_grow(400).unwrap();
        assert!(two[0].try_grow(1).is_err());
        two[1].try_grow(400).unwrap();
        let table = MemoryConsumer::new("join").register(&pool);
        table.try_grow(800).unwrap();
        assert!(table.try_grow(1).is_err());
    }

    #[test]
    fn one_of_many_can_begin_and_a_quarter_stays_free() {
        let pool: Arc<dyn MemoryPool> = Arc::new(HalfSpillPool::new(1600));
        let many = spillers(&pool, 100);
        for sort in &many[..12] {
            sort.try_grow(100).unwrap();
            assert!(sort.try_grow(1).is_err());
        }
        // Beyond three quarters only the share is left.
        assert!(many[12].try_grow(100).is_err());
        many[12].try_grow(8).unwrap();
    }
}
