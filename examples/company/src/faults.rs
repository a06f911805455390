//! Faults that can be switched on by flags or while running. A rule says on which requests it fires; what it
//! does is up to the server at the fitting moment.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::reply::lock;

/// A rule, as in `POST /_company/faults` (`{"faults":[{"kind":"status","status":429,"every":5}]}`) or, short,
/// as `429:every=5,retry_after=1,path=/api/v4/leads`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub kind: String,
    /// Only requests whose path with query contains this. Streams that read one path at the same time are
    /// told apart by their queries; without them, which of them a count falls on is a matter of chance.
    #[serde(default)]
    pub path: String,
    /// Fires on each n-th of them.
    #[serde(default)]
    pub every: u64,
    /// Fires on these of them, counted from 1.
    #[serde(default)]
    pub at: Vec<u64>,
    /// Fires on these and all later ones.
    #[serde(default)]
    pub from: u64,
    /// At most so often; 0: without end.
    #[serde(default)]
    pub times: u64,
    #[serde(default)]
    pub status: u16,
    /// Seconds, or any text, for the `Retry-After` header; absent: no header.
    #[serde(default)]
    pub retry_after: Option<String>,
    /// Send `Retry-After` as a date that many seconds from the company's now.
    #[serde(default)]
    pub retry_date: bool,
    #[serde(default)]
    pub ms: u64,
    /// Percent of the body that gets through.
    #[serde(default)]
    pub percent: Option<u64>,
    #[serde(default)]
    pub rows: usize,
    #[serde(default)]
    pub variant: String,
    /// First page, or request, that shows a drift.
    #[serde(default)]
    pub page: u64,
}

/// What a fired rule does to one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    Status {
        status: u16,
        retry_after: Option<String>,
        retry_date: bool,
    },
    /// The connection closes in the middle of the body.
    Cut {
        percent: u64,
    },
    /// A shorter body with a Content-Length that fits it.
    Truncate {
        percent: u64,
    },
    Slow {
        ms: u64,
    },
    /// The access token is void from now on.
    ExpireToken,
    /// The token answer comes late, after the old pair is void.
    RotateDelay {
        ms: u64,
    },
    /// Rows of the list change before the page is made.
    Touch {
        rows: usize,
    },
    /// A batch is answered in part: so many of its records are errors of the vendor's.
    Partial {
        rows: usize,
    },
    /// So many records are missing from the answer, in silence.
    LeaveOut {
        rows: usize,
    },
    /// A method says that it has worked for so long of the time it may.
    Operating {
        ms: u64,
    },
    Drift {
        variant: String,
        page: u64,
        /// So many requests came that it shows on every page, whatever its number: a list may be read
        /// by times instead of pages.
        late: bool,
    },
    Malformed {
        variant: String,
        row: usize,
    },
    /// A full last page still points to a next one, which is empty.
    NextWhenFull,
    JobFails,
    JobRetries,
}

pub const KINDS: &str = "status (or the code itself: 429, 420, 403, 500, 502, 503, 504), cut, truncate, slow, \
expire_token, rotate_delay, touch, partial, leave_out, operating, drift, malformed, next_when_full, job_fails, job_retries";

/// Variants of `drift`.
pub const DRIFTS: &[&str] = &[
    "nested_grows",
    "item_grows",
    "array_for_object",
    "null_then_text",
    "int_then_decimal",
    "beyond_64_bits",
    "changed_type",
    "price_decimal",
    "price_text",
    "empty_list_for_null",
];

/// Variants of `malformed`, for JSON pages and for TSV parts.
pub const MALFORMED: &[&str] =
    &["text_for_time", "text_for_price", "no_id", "not_an_object", "extra_cell", "bad_utf8", "zero_dates"];

impl Rule {
    /// Parses the short form.
    ///
    /// # Errors
    /// Says which part of the text it does not understand.
    pub fn parse(text: &str) -> Result<Rule, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut map = serde_json::Map::new();
        map.insert("kind".to_owned(), kind.into());
        for part in rest.split(',').filter(|p| !p.is_empty()) {
            let (k, v) = part.split_once('=').ok_or_else(|| format!("{part:?}: name=value is needed"))?;
            let value = match k {
                "path" | "variant" | "retry_after" => v.into(),
                "at" => v
                    .split('+')
                    .map(|n| n.parse::<u64>().map(serde_json::Value::from))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|e| format!("{part:?}: {e}; numbers joined by + are needed"))?
                    .into(),
                "retry_date" => (v == "true").into(),
                _ => v.parse::<u64>().map_err(|e| format!("{part:?}: {e}"))?.into(),
            };
            map.insert(k.to_owned(), value);
        }
        let rule: Rule = serde_json::from_value(map.into()).map_err(|e| format!("{text:?}: {e}"))?;
        rule.checked()
    }

    /// Turns a code used as kind into `status`, and refuses what would never do anything.
    ///
    /// # Errors
    /// Unknown kinds, variants and rules that never fire.
    pub fn checked(mut self) -> Result<Rule, String> {
        if let Ok(code) = self.kind.parse::<u16>() {
            self.kind = "status".to_owned();
            self.status = code;
        }
        if self.every == 0 && self.at.is_empty() && self.from == 0 {
            self.every = 1;
        }
        match self.kind.as_str() {
            "status" if !(400..600).contains(&self.status) => {
                Err(format!("status {}: 400 to 599", self.status))
            }
            "drift" if !DRIFTS.contains(&self.variant.as_str()) => {
                Err(format!("drift variant {:?}: one of {}", self.variant, DRIFTS.join(", ")))
            }
            "malformed" if !MALFORMED.contains(&self.variant.as_str()) => {
                Err(format!("malformed variant {:?}: one of {}", self.variant, MALFORMED.join(", ")))
            }
            "status" | "cut" | "truncate" | "slow" | "operating" | "expire_token" | "rotate_delay"
            | "touch" | "partial" | "leave_out" | "drift" | "malformed" | "next_when_full" | "job_fails"
            | "job_retries" => Ok(self),
            other => Err(format!("unknown fault {other:?}: one of {KINDS}")),
        }
    }

    /// `on_path`: the requests to this very path so far, this one too.
    fn fault(&self, on_path: u64) -> Fault {
        let percent = self.percent.unwrap_or(50).min(100);
        match self.kind.as_str() {
            "status" => Fault::Status {
                status: self.status,
                retry_after: self.retry_after.clone(),
                retry_date: self.retry_date,
            },
            "cut" => Fault::Cut { percent },
            "truncate" => Fault::Truncate { percent },
            "slow" => Fault::Slow { ms: self.ms },
            "expire_token" => Fault::ExpireToken,
            "rotate_delay" => Fault::RotateDelay { ms: self.ms },
            "touch" => Fault::Touch { rows: self.rows.max(1) },
            "partial" => Fault::Partial { rows: self.rows.max(1) },
            "leave_out" => Fault::LeaveOut { rows: self.rows.max(1) },
            "operating" => Fault::Operating { ms: self.ms },
            "drift" => {
                let page = self.page.max(2);
                Fault::Drift { variant: self.variant.clone(), page, late: on_path >= page }
            }
            "malformed" => Fault::Malformed { variant: self.variant.clone(), row: self.rows },
            "job_fails" => Fault::JobFails,
            "job_retries" => Fault::JobRetries,
            _ => Fault::NextWhenFull,
        }
    }
}

struct Armed {
    rule: Rule,
    seen: u64,
    /// By whole path: `/leads/pipelines` must not move the page from which `/leads` drifts.
    paths: BTreeMap<String, u64>,
    fired: u64,
}

#[derive(Default)]
pub struct Faults(Mutex<Vec<Armed>>);

impl Faults {
    pub fn set(&self, rules: Vec<Rule>) {
        *lock(&self.0) =
            rules.into_iter().map(|rule| Armed { rule, seen: 0, paths: BTreeMap::new(), fired: 0 }).collect();
    }

    /// The faults that fire on this request; counts it for every rule it fits.
    pub fn on(&self, path: &str, query: &str) -> Vec<Fault> {
        let mut out = Vec::new();
        let whole = format!("{path}?{query}");
        for a in lock(&self.0).iter_mut() {
            if !whole.contains(&a.rule.path) {
                continue;
            }
            a.seen += 1;
            let on_path = a.paths.entry(path.to_owned()).or_default();
            *on_path += 1;
            let r = &a.rule;
            let due = (r.every > 0 && a.seen.is_multiple_of(r.every))
                || r.at.contains(&a.seen)
                || (r.from > 0 && a.seen >= r.from);
            if due && (r.times == 0 || a.fired < r.times) {
                a.fired += 1;
                out.push(r.fault(*on_path));
            }
        }
        out
    }

    /// Rules with how often they fired.
    pub fn fired(&self) -> Vec<(Rule, u64)> {
        lock(&self.0).iter().map(|a| (a.rule.clone(), a.fired)).collect()
    }

    /// How often each kind fired.
    pub fn by_kind(&self) -> BTreeMap<String, u64> {
        let mut out = BTreeMap::new();
        for a in lock(&self.0).iter() {
            *out.entry(a.rule.kind.clone()).or_default() += a.fired;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rules_fire_when_they_say() {
        let f = Faults::default();
        f.set(vec![
            Rule::parse("429:every=3,path=/leads,times=2").unwrap(),
            Rule::parse("cut:at=1+4,percent=10").unwrap(),
        ]);
        let fired: Vec<usize> = (0..10).map(|_| f.on("/api/v4/leads", "page=1").len()).collect();
        assert_eq!(fired, [1, 0, 1, 1, 0, 1, 0, 0, 0, 0]);
        assert!(f.on("/api/v4/users", "").is_empty());
        assert_eq!(f.by_kind()["status"], 2);
    }

    #[test]
    fn other_paths_do_not_bring_a_drift_forward() {
        let f = Faults::default();
        f.set(vec![Rule::parse("drift:variant=price_text,page=2,path=/api/v4/leads").unwrap()]);
        let late = |path| matches!(f.on(path, "")[..], [Fault::Drift { late: true, .. }]);
        assert_eq!(
            ["/api/v4/leads/pipelines", "/api/v4/leads", "/api/v4/leads", "/api/v4/leads"].map(late),
            [false, false, true, true]
        );
    }

    #[test]
    fn streams_on_one_path_are_told_apart() {
        let f = Faults::default();
        f.set(vec![Rule::parse("429:at=1,path=leads?with=only_deleted").unwrap()]);
        let fired = ["with=contacts", "with=only_deleted", "with=only_deleted"]
            .map(|query| f.on("/api/v4/leads", query).len());
        assert_eq!(fired, [0, 1, 0]);
    }

    #[test]
    fn mistakes_are_told() {
        for bad in ["teapot", "drift:variant=x", "429:every=x", "429:evry=3", "200", "cut:every"] {
            assert!(Rule::parse(bad).is_err(), "{bad}");
        }
    }
}
