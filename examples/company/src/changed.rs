//! What changed apart from the story, and what was made for many questions: of vendors that are asked for whole lists.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::company::Company;
use crate::reply::lock;

/// `K` names a list, `T` is what is made of it for one moment.
pub struct Changed<K, T>(Mutex<Inner<K, T>>);

struct Inner<K, T> {
    /// Deals by their position: when they were changed last, in the vendor's unit.
    deals: BTreeMap<u32, i64>,
    turn: u64,
    kept: Vec<((K, i64), Arc<T>)>,
}

impl<K, T> Default for Changed<K, T> {
    fn default() -> Self {
        Changed(Mutex::new(Inner { deals: BTreeMap::new(), turn: 0, kept: Vec::new() }))
    }
}

impl<K: PartialEq, T> Changed<K, T> {
    /// The list at that moment, made when it is not among the `most` that were asked for last.
    pub fn list(&self, key: K, now: i64, most: usize, make: impl FnOnce(&BTreeMap<u32, i64>) -> T) -> Arc<T> {
        let mut inner = lock(&self.0);
        let key = (key, now);
        if let Some((_, list)) = inner.kept.iter().find(|(kept, _)| *kept == key) {
            return list.clone();
        }
        let list = Arc::new(make(&inner.deals));
        if inner.kept.len() >= most {
            inner.kept.remove(0);
        }
        inner.kept.push((key, list.clone()));
        list
    }

    /// Forgets what was made for an earlier moment.
    pub fn forget(&self) {
        lock(&self.0).kept.clear();
    }

    /// Lets some visible deals change at the moment `at`, as managers do while somebody reads.
    pub fn touch(&self, company: &Company, now: i64, at: i64, rows: usize) {
        let mut inner = lock(&self.0);
        let count = u64::from(company.leads_until(now));
        for _ in 0..rows {
            if count > 0 {
                let position = inner.turn.wrapping_mul(7_919).wrapping_add(3) % count;
                inner.turn += 1;
                inner.deals.insert(position as u32, at);
            }
        }
        inner.kept.clear();
    }

    /// Lets deals have been changed at one moment, as an import or a robot does.
    pub fn change(&self, positions: impl IntoIterator<Item = u32>, at: i64) {
        let mut inner = lock(&self.0);
        inner.deals.extend(positions.into_iter().map(|position| (position, at)));
        inner.kept.clear();
    }
}
