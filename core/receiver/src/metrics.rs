//! What happened, counted; as Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the latency buckets, milliseconds.
const BOUNDS_MS: [u64; 11] = [1, 2, 5, 10, 25, 50, 100, 250, 1000, 2500, 5000];

/// Of one endpoint. Labels are names out of the configuration and words of ours, never of a request.
#[derive(Default)]
pub struct Counts {
    pub received: AtomicU64,
    pub received_bytes: AtomicU64,
    pub verified: AtomicU64,
    pub stored: AtomicU64,
    pub duplicates: AtomicU64,
    /// Answered 503: not durable.
    pub unavailable: AtomicU64,
    rejected: Mutex<BTreeMap<&'static str, u64>>,
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    micros: AtomicU64,
}

pub fn add(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

impl Counts {
    pub fn reject(&self, reason: &'static str) {
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// How long an accepted delivery took, from its head to its answer.
    pub fn took(&self, time: Duration) {
        let ms = time.as_millis();
        let place = BOUNDS_MS.iter().position(|b| ms < u128::from(*b)).unwrap_or(BOUNDS_MS.len());
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A gauge of one moment: name, help, and its value by source.
pub struct Gauge {
    pub name: &'static str,
    pub help: &'static str,
    pub values: Vec<(String, f64)>,
}

/// The text of `/metrics`.
pub fn render(all: &[(&str, &Counts)], gauges: &[Gauge]) -> String {
    let mut text = String::new();
    type Pick = fn(&Counts) -> &AtomicU64;
    let counters: [(&str, &str, Pick); 6] = [
        ("received", "Requests to an endpoint.", |c| &c.received),
        ("received_bytes", "Bytes of their bodies.", |c| &c.received_bytes),
        ("verified", "Deliveries that proved their origin.", |c| &c.verified),
        ("stored", "Deliveries and events that are durable.", |c| &c.stored),
        ("duplicates", "Deliveries and events that were there before.", |c| &c.duplicates),
        ("unavailable", "Deliveries answered with 503.", |c| &c.unavailable),
    ];
    for (name, help, pick) in counters {
        let _ =
            writeln!(text, "# HELP throughline_{name}_total {help}\n# TYPE throughline_{name}_total counter");
        for (source, counts) in all {
            let value = pick(counts).load(Ordering::Relaxed);
            let _ = writeln!(text, "throughline_{name}_total{{source=\"{source}\"}} {value}");
        }
    }
    text += "# HELP throughline_rejected_total Requests that were turned away.\n# TYPE throughline_rejected_total counter\n";
    for (source, counts) in all {
        for (reason, value) in &*counts.rejected.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = writeln!(
                text,
                "throughline_rejected_total{{source=\"{source}\",reason=\"{reason}\"}} {value}"
            );
        }
    }
    text += "# HELP throughline_latency_seconds From the head of a delivery to its acknowledgement.\n# TYPE throughline_latency_seconds histogram\n";
    for (source, counts) in all {
        let mut sum = 0;
        for (place, bucket) in counts.buckets.iter().enumerate() {
            sum += bucket.load(Ordering::Relaxed);
            let bound =
                BOUNDS_MS.get(place).map_or("+Inf".to_owned(), |ms| (*ms as f64 / 1000.0).to_string());
            let _ = writeln!(
                text,
                "throughline_latency_seconds_bucket{{source=\"{source}\",le=\"{bound}\"}} {sum}"
            );
        }
        let seconds = counts.micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(text, "throughline_latency_seconds_sum{{source=\"{source}\"}} {seconds}");
        let _ = writeln!(text, "throughline_latency_seconds_count{{source=\"{source}\"}} {sum}");
    }
    for gauge in gauges {
        let _ = writeln!(text, "# HELP {0} {1}\n# TYPE {0} gauge", gauge.name, gauge.help);
        for (source, value) in &gauge.values {
            let label = if source.is_empty() { String::new() } else { format!("{{source=\"{source}\"}}") };
            let _ = writeln!(text, "{}{label} {value}", gauge.name);
        }
    }
    text
}
