//! How often HubSpot lets itself be asked.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Options;
use crate::reply::{Reply, lock};

#[derive(Default)]
struct Seen {
    all: VecDeque<Instant>,
    searches: VecDeque<Instant>,
    daily: u64,
}

pub struct Limiter {
    options: Options,
    seen: Mutex<Seen>,
}

impl Limiter {
    pub fn new(options: Options) -> Self {
        Self { options, seen: Mutex::default() }
    }

    /// Notes a request; the answer when it is one too many.
    pub fn refuse(&self, search: bool) -> Option<Reply> {
        let mut seen = lock(&self.seen);
        let now = Instant::now();
        let within = |times: &mut VecDeque<Instant>, span: Duration| {
            while times.front().is_some_and(|t| now.duration_since(*t) >= span) {
                times.pop_front();
            }
            times.len()
        };
        if self.options.daily > 0 && seen.daily >= self.options.daily {
            return Some(too_many("DAILY"));
        }
        if search
            && self.options.searches > 0
            && within(&mut seen.searches, Duration::from_secs(1)) >= self.options.searches
        {
            return Some(too_many("SECONDLY"));
        }
        if self.options.per_10s > 0 && within(&mut seen.all, Duration::from_secs(10)) >= self.options.per_10s
        {
            return Some(too_many("TEN_SECONDLY_ROLLING"));
        }
        seen.daily += 1;
        if self.options.per_10s > 0 {
            seen.all.push_back(now);
        }
        if search && self.options.searches > 0 {
            seen.searches.push_back(now);
        }
        None
    }

    /// What every answer but those of search tells.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let seen = lock(&self.seen);
        let (most, daily) = (self.options.per_10s.max(seen.all.len()), self.options.daily.max(seen.daily));
        vec![
            ("x-hubspot-ratelimit-interval-milliseconds", "10000".to_owned()),
            ("x-hubspot-ratelimit-max", most.to_string()),
            ("x-hubspot-ratelimit-remaining", (most - seen.all.len()).to_string()),
            ("x-hubspot-ratelimit-daily", daily.to_string()),
            ("x-hubspot-ratelimit-daily-remaining", (daily - seen.daily).to_string()),
        ]
    }
}

pub fn too_many(policy: &str) -> Reply {
    let body = json!({
        "status": "error", "message": format!("You have reached your {} limit.", policy.to_lowercase()),
        "errorType": "RATE_LIMIT", "correlationId": "aeb5f871-7f07-4993-9211-000000000001",
        "policyName": policy,
    });
    Reply::json(429, body.to_string())
}
