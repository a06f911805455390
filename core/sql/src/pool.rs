//! How operators of a query share the memory limit.
//!
//! Some operators can spill what they hold (sorts, aggregations), some cannot (the table of a hash
//! join, the cursors of a merge). A sort that spills needs cursors for that very spill, about as
//! large as its keys; where spillable memory may fill the whole limit, as in DataFusion's own pools,
//! there is nothing left for them and the query fails though the disk is empty. So here spillable
//! memory takes at most half, in equal shares, and what cannot spill takes whatever is free.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

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
        let (held, available) = if reservation.consumer().can_spill() {
            let half = (self.limit / 2).min(self.limit.saturating_sub(used.unspillable));
            (reservation.size(), half / used.spillers.max(1))
        } else {
            (used.unspillable.saturating_add(used.spillable), self.limit)
        };
        if held.saturating_add(additional) > available {
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
