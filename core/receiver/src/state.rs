//! What all requests share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};
use throughline_core::Clock;
use throughline_core::time::InstantUs;
use throughline_store::inbox::Inbox;

use crate::body::Room;
use crate::endpoint::Verify;
use crate::metrics::{Counts, Gauge};
use crate::rate::Rate;
use crate::server::Settings;

/// The site's script.
const TRACKER: &str = include_str!("../tracker/tracker.js");

pub enum Kind {
    Hook(Verify),
    Site { origins: Vec<String> },
}

pub struct Endpoint {
    pub source: Arc<str>,
    pub kind: Kind,
    pub counts: Counts,
}

pub struct State {
    pub settings: Settings,
    pub inbox: Inbox,
    pub clock: Arc<dyn Clock>,
    pub hooks: HashMap<String, Endpoint>,
    pub sites: HashMap<String, Endpoint>,
    /// What belongs to no endpoint.
    pub nowhere: Counts,
    pub room: Room,
    /// Events of sites, by address.
    pub events: Rate,
    /// Deliveries that could not be verified, by address: who guesses is sent away before the next guess.
    pub guesses: Rate,
    pub tracker: &'static str,
    pub tracker_tag: String,
}

impl Endpoint {
    /// Of a hook: how many parts of a path may stand behind its name.
    pub fn path_parts(&self) -> usize {
        match &self.kind {
            Kind::Hook(verify) => verify.path_parts(),
            Kind::Site { .. } => 0,
        }
    }
}

impl State {
    pub fn new(settings: Settings, inbox: Inbox, clock: Arc<dyn Clock>) -> Self {
        let endpoint = |source: &str, kind| {
            (source.to_owned(), Endpoint { source: source.into(), kind, counts: Counts::default() })
        };
        let hooks =
            settings.hooks.iter().map(|h| endpoint(&h.source, Kind::Hook(h.verify.clone()))).collect();
        let sites = settings
            .sites
            .iter()
            .map(|s| endpoint(&s.source, Kind::Site { origins: s.origins.clone() }))
            .collect();
        let limits = &settings.limits;
        let hex: String = Sha256::digest(TRACKER).iter().take(16).map(|b| format!("{b:02x}")).collect();
        Self {
            room: Room::new(limits.bodies_bytes),
            events: Rate::new(limits.events_per_second, limits.events_burst),
            guesses: Rate::new(limits.guesses_per_second, limits.guesses_burst),
            inbox,
            clock,
            hooks,
            sites,
            nowhere: Counts::default(),
            tracker: TRACKER,
            tracker_tag: format!("\"{hex}\""),
            settings,
        }
    }

    pub fn now_us(&self) -> InstantUs {
        self.clock.now_us()
    }

    /// The text of `/metrics`. Reads the inbox: not for the thread that answers webhooks.
    pub fn metrics(&self) -> String {
        let mut all: Vec<(&str, &Counts)> =
            self.hooks.values().chain(self.sites.values()).map(|e| (&*e.source, &e.counts)).collect();
        all.sort_by_key(|(source, _)| *source);
        all.push(("", &self.nowhere));
        let one = |name, help, value| Gauge { name, help, values: vec![(String::new(), value)] };
        let mut gauges = vec![
            one(
                "throughline_inbox_waiting",
                "Appends that wait for their commit.",
                self.inbox.waiting() as f64,
            ),
            one(
                "throughline_inbox_failing",
                "1 when the last commit failed.",
                f64::from(u8::from(self.inbox.is_failing())),
            ),
            one(
                "throughline_inbox_unfolded",
                "1 while inbox.db cannot be written or flushed: its log keeps everything and grows.",
                f64::from(u8::from(self.inbox.is_unfolded())),
            ),
        ];
        if let Ok(readers) = self.inbox.reader().and_then(|r| r.readers()) {
            let now_us = self.now_us();
            let lag = |at: Option<i64>| at.map_or(0.0, |at| now_us.saturating_sub(at).max(0) as f64 / 1e6);
            gauges.push(Gauge {
                name: "throughline_inbox_unread",
                help: "Deliveries that were not handed on yet, counted up to 100000.",
                values: readers.iter().map(|r| (r.source.clone(), r.unread as f64)).collect(),
            });
            gauges.push(Gauge {
                name: "throughline_inbox_lag_seconds",
                help: "Age of the oldest of them.",
                values: readers.iter().map(|r| (r.source.clone(), lag(r.oldest_unread_at_us))).collect(),
            });
        }
        crate::metrics::render(&all, &gauges)
    }

    /// A moment for limits.
    pub fn instant(&self) -> Instant {
        Instant::now()
    }
}
