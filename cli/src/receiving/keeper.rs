//! The receivers of `throughline schedule`: one for each `[receiver]`, begun anew when its file changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};
use throughline_core::{Error, Result};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Plan, Receiving};

/// Before a receiver that could not be begun, or broke off, is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// A pipeline file was read (with what its `[receiver]` asks for, if it has one) or is gone.
pub type Changes = mpsc::UnboundedReceiver<(PathBuf, Option<Plan>)>;

/// Tells what happens: a line, and the same as JSON with its `event`.
type Tell = Box<dyn Fn(String, Json) + Send + Sync>;

pub struct Keeper {
    wanted: BTreeMap<PathBuf, Plan>,
    running: BTreeMap<PathBuf, Kept>,
    tell: Tell,
    stop: CancellationToken,
}

struct Kept {
    plan: Plan,
    receiving: Receiving,
    stop: CancellationToken,
}

impl Keeper {
    pub fn new(stop: CancellationToken, tell: impl Fn(String, Json) + Send + Sync + 'static) -> Self {
        Self { wanted: BTreeMap::new(), running: BTreeMap::new(), tell: Box::new(tell), stop }
    }

    /// Begins those of the start, where an error is for who has started the daemon.
    ///
    /// # Errors
    /// Two plans share a state folder, or one cannot be begun.
    pub async fn begin(&mut self, plans: Vec<Plan>) -> Result<()> {
        for plan in plans {
            if let Some(other) = self.wanted.values().find(|other| other.state_dir == plan.state_dir) {
                return Err(two_in_one(other, &plan));
            }
            self.start(&plan).await?;
            self.wanted.insert(plan.path.clone(), plan);
        }
        Ok(())
    }

    /// Keeps them as the files say until the stop, and returns when all have handed on what they received.
    pub async fn keep(mut self, mut changes: Changes) {
        let mut again = tokio::time::interval(AGAIN_AFTER);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        again.reset();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some((path, plan)) = changes.recv() => match plan {
                    Some(plan) if self.wanted.get(&path) == Some(&plan) => continue,
                    None if !self.wanted.contains_key(&path) => continue,
                    Some(plan) => drop(self.wanted.insert(path, plan)),
                    None => drop(self.wanted.remove(&path)),
                },
                _ = again.tick() => {}
            }
            self.settle().await;
        }
        for (_, kept) in std::mem::take(&mut self.running) {
            self.end(kept).await;
        }
    }

    /// Makes what runs be what is wanted, as far as that works now.
    async fn settle(&mut self) {
        let mut stale = Vec::new();
        for (path, kept) in &mut self.running {
            // One that broke off, without being told to stop, is begun anew.
            let broke = kept.receiving.has_ended();
            if broke || self.wanted.get(path) != Some(&kept.plan) {
                stale.push(path.clone());
            }
        }
        for path in stale {
            if let Some(kept) = self.running.remove(&path) {
                self.end(kept).await;
            }
        }
        let missing: Vec<Plan> =
            self.wanted.values().filter(|plan| !self.running.contains_key(&plan.path)).cloned().collect();
        for plan in missing {
            let shared = self.running.values().find(|kept| kept.plan.state_dir == plan.state_dir);
            let begun = match shared.map(|kept| two_in_one(&kept.plan, &plan)) {
                Some(error) => Err(error),
                None => self.start(&plan).await,
            };
            if let Err(error) = begun {
                let message = format!("cannot receive for {}: {error}", plan.path.display());
                let event =
                    json!({"event": "receiver_failed", "path": plan.path, "message": error.to_string()});
                (self.tell)(format!("{message}; again in {} s", AGAIN_AFTER.as_secs()), event);
            }
        }
    }

    async fn start(&mut self, plan: &Plan) -> Result<()> {
        let stop = self.stop.child_token();
        let receiving = Receiving::start(plan, stop.clone()).await?;
        let mut event = receiving.address.to_json();
        if let Some(event) = event.as_object_mut() {
            event.insert("event".into(), "receiving".into());
            event.insert("path".into(), plan.path.display().to_string().into());
        }
        (self.tell)(receiving.address.to_line(), event);
        self.running.insert(plan.path.clone(), Kept { plan: plan.clone(), receiving, stop });
        Ok(())
    }

    async fn end(&self, mut kept: Kept) {
        kept.stop.cancel();
        let path = &kept.plan.path;
        let (word, message) = match kept.receiving.ended().await {
            Ok(()) => ("received", "all that was received is handed on".to_owned()),
            Err(error) => ("receiver_failed", format!("{error}; what it acknowledged is safe in the inbox")),
        };
        let event = json!({"event": word, "path": path, "message": message});
        (self.tell)(format!("{}: {message}", path.display()), event);
    }
}

pub fn two_in_one(first: &Plan, second: &Plan) -> Error {
    Error::config(format!(
        "two files have a [receiver]: {} and {}",
        first.path.display(),
        second.path.display()
    ))
    .hint("keep one, with the hooks and sites of both; or give each a state folder, and a port, of its own")
}
