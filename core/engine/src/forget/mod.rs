//! Forgetting a person: what is stored goes, and what comes again is dropped.
//!
//! ```text
//! plan (identifiers of the person) -> marks (keyed hashes, durable) -> one run:
//!     stored places gone over -> tables computed and published anew -> older epochs deleted -> done
//! ```
//! The marks are the point of no return. From then on every run, of whatever process, first finishes
//! what is open; and every record that lands is asked whether it is of somebody forgotten. The plain
//! identifiers are kept nowhere. docs/privacy.md tells it to users.

mod apply;
mod leaves;
mod marks;
mod plan;
mod rows;
mod stored;

use serde::{Deserialize, Serialize};
use throughline_core::{Result, Scrubbed};
use throughline_store::Store;

pub use apply::preview;
pub(crate) use apply::{Published, apply, finish, marks_of};
pub use marks::Marks;
pub use plan::{Plan, plan};
pub use rows::{Filtered, Role, StreamScope};

use crate::pipeline::Pipeline;

/// What was taken out where: for people, and for the run table. It names nobody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForgetReport {
    /// Places with something of the person, and how much went.
    pub done: Vec<Scrubbed>,
    /// Places that may hold the person and are not ours to touch.
    pub untouched: Vec<String>,
    /// Tables of the published epoch in which the person is still found. There should be none.
    pub left: Vec<String>,
}

impl ForgetReport {
    pub(crate) fn add(&mut self, scrubbed: Scrubbed) {
        if scrubbed.removed + scrubbed.changed == 0 {
            return;
        }
        match self.done.iter_mut().find(|s| s.place == scrubbed.place) {
            Some(same) => {
                same.removed += scrubbed.removed;
                same.changed += scrubbed.changed;
            }
            None => self.done.push(scrubbed),
        }
    }
}

/// How a question stands to what was forgotten before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Never,
    /// Begun and broken off: a run finishes it.
    Open,
    Done,
}

/// Whether somebody known by `who` was forgotten before: the marks tell it, nothing else does.
pub async fn before(pipeline: &Pipeline, store: &Store, who: &str) -> Result<Before> {
    let Some(marks) = marks_of(store, &pipeline.name).await? else { return Ok(Before::Never) };
    let asked = who.split_once(':').filter(|(t, _)| matches!(*t, "phone" | "email")).map_or(who, |(_, v)| v);
    if !marks.speaks(&StreamScope::anywhere(""), asked) && !marks.knows_number(pipeline, asked) {
        return Ok(Before::Never);
    }
    let open = store.forget_requests(&pipeline.name, true).await?;
    Ok(if open.is_empty() { Before::Done } else { Before::Open })
}
