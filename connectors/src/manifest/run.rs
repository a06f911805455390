//! What one run learns of the vendor: lists that were looked up, statuses that were seen, why to stop.
//!
//! A source may live on, run after run, in the scheduler: what stopped one run must not stop the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::Value;
use throughline_core::http::HttpClient;
use throughline_core::{Context, Error, Result};

use super::client::{Connection, Outcome};

pub(crate) struct Run {
    /// Whose it is: every run has an HTTP client of its own.
    client: Weak<dyn HttpClient>,
    /// Statuses seen so far, for rules with `after_status`.
    pub seen: Mutex<BTreeSet<u16>>,
    /// A rule said stop: why nothing is asked any more.
    pub stopped: Mutex<Option<Arc<Error>>>,
    /// Until when the vendor wants no more of some requests, by their topic, in microseconds.
    pub pauses: Mutex<BTreeMap<String, i64>>,
    /// What was looked up, in the order of the plan's lookups.
    looked_up: Vec<tokio::sync::OnceCell<Value>>,
}

impl Connection {
    /// What the run of this context has learnt.
    pub(super) fn run(&self, ctx: &Context) -> Arc<Run> {
        let client = Arc::downgrade(&ctx.http);
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        match &*run {
            Some(known) if known.client.ptr_eq(&client) => known.clone(),
            _ => {
                let looked_up = self.plan.lookups.iter().map(|_| tokio::sync::OnceCell::new()).collect();
                let (seen, stopped, pauses) = (Mutex::default(), Mutex::default(), Mutex::default());
                let new = Arc::new(Run { client, seen, stopped, pauses, looked_up });
                *run = Some(new.clone());
                new
            }
        }
    }

    /// Name and value of a lookup, asked for once in a run.
    ///
    /// # Errors
    /// `Protocol` when the vendor has no values there.
    pub(super) async fn look_up(&self, ctx: &Context, run: &Arc<Run>, index: usize) -> Result<(&str, Value)> {
        let (Some(plan), Some(cell)) = (self.plan.lookups.get(index), run.looked_up.get(index)) else {
            return Err(Error::bug("a lookup that is not in the plan"));
        };
        let asked = || async {
            let mut times = 0;
            let found = loop {
                let taken = match self.ask_now(ctx, run, &plan.request, &|_| None).await? {
                    Outcome::Answer(answer) if !answer.empty => plan.path.all(&answer.body),
                    _ => Ok(Vec::new()),
                };
                if let Some(found) = self.whole(ctx, taken, &mut times).await? {
                    break found;
                }
            };
            if found.is_empty() {
                let what = format!("the lookup {:?} found nothing at {:?}", plan.name, plan.path.to_string());
                return Err(Error::protocol(what).hint("what is asked with it would be asked for nothing"));
            }
            Ok(Value::from(found))
        };
        cell.get_or_try_init(asked).await.map(|value| (plan.name.as_str(), value.clone()))
    }
}
