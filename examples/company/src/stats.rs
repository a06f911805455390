//! What the server was asked: for tests that want to know how a client behaved.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::reply::lock;

#[derive(Default, Clone, Serialize)]
pub struct Snapshot {
    /// By method and path, numbers replaced by `{id}`.
    pub requests: BTreeMap<String, u64>,
    pub statuses: BTreeMap<u16, u64>,
    pub total: u64,
    pub body_bytes: u64,
    pub refreshes: u64,
    pub refused_refreshes: u64,
    pub rate_limited: u64,
    /// Most requests seen within any second, by interface.
    pub max_rps: BTreeMap<&'static str, usize>,
    pub rows_touched: u64,
}

#[derive(Default)]
struct Inner {
    snapshot: Snapshot,
    recent: BTreeMap<&'static str, VecDeque<Instant>>,
}

#[derive(Default)]
pub struct Stats(Mutex<Inner>);

impl Stats {
    /// Notes a request and says how many this interface had within the last second, this one included.
    pub fn request(&self, api: &'static str, method: &str, path: &str) -> usize {
        let mut s = lock(&self.0);
        s.snapshot.total += 1;
        *s.snapshot.requests.entry(format!("{method} {}", template(path))).or_default() += 1;
        let now = Instant::now();
        let recent = s.recent.entry(api).or_default();
        while recent.front().is_some_and(|t| now.duration_since(*t) >= Duration::from_secs(1)) {
            recent.pop_front();
        }
        recent.push_back(now);
        let n = recent.len();
        let max = s.snapshot.max_rps.entry(api).or_default();
        *max = (*max).max(n);
        n
    }

    /// A refused request does not count against the limit of the next second.
    pub fn refused(&self, api: &'static str) {
        let mut s = lock(&self.0);
        s.snapshot.rate_limited += 1;
        if let Some(q) = s.recent.get_mut(api) {
            q.pop_back();
        }
    }

    pub fn answered(&self, status: u16, bytes: usize) {
        let mut s = lock(&self.0);
        *s.snapshot.statuses.entry(status).or_default() += 1;
        s.snapshot.body_bytes += bytes as u64;
    }

    pub fn refresh(&self, accepted: bool) {
        let mut s = lock(&self.0);
        if accepted {
            s.snapshot.refreshes += 1;
        } else {
            s.snapshot.refused_refreshes += 1;
        }
    }

    pub fn touched(&self, rows: usize) {
        lock(&self.0).snapshot.rows_touched += rows as u64;
    }

    pub fn snapshot(&self) -> Snapshot {
        lock(&self.0).snapshot.clone()
    }

    pub fn reset(&self) {
        *lock(&self.0) = Inner::default();
    }
}

fn template(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for (n, part) in path.split('/').enumerate() {
        if n > 0 {
            out.push('/');
        }
        let id = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        out.push_str(if id { "{id}" } else { part });
    }
    out
}
