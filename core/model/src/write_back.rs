//! Sinks that write into records which others own: a CRM's deals.
//!
//! Such a sink gets one table, made for it from the epoch's tables. It writes nothing before a person agreed,
//! tells records that it could not write, shows what it would change, and can take back what it changed.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::Result;
use crate::sink::{BatchStream, TxnId};
use crate::source::{Param, Reject};

/// What a sink wants to be given in place of the epoch's tables.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Name of the table, as the sink is to be told it.
    pub table: String,
    /// A SELECT over the epoch's tables; `None`: the table of that name as it is.
    pub sql: Option<String>,
    /// Values of `$name` placeholders.
    pub params: Vec<(String, Param)>,
    /// Columns that identify a row.
    pub key: Vec<String>,
}

#[async_trait]
pub trait WriteBack: Send + Sync {
    fn wanted(&self) -> Result<Wanted>;

    /// What a person must have agreed to before anything is written, in words: which fields of which account.
    /// Other words need a new consent.
    fn consent(&self) -> Result<String>;

    /// What is missing in the destination before anything can be written; with `apply` it is made.
    async fn setup(&self, ctx: &Context, apply: bool) -> Result<Vec<Missing>>;

    /// What a commit of these rows would change, asked from the destination for the first `limit` records.
    async fn differences(&self, ctx: &Context, rows: BatchStream, limit: usize) -> Result<Differences>;

    /// Records of a committed epoch that the destination refused, a part at a time: `after` is what the part
    /// before gave as `next`.
    async fn refused(&self, ctx: &Context, txn: &TxnId, after: Option<String>) -> Result<Refused>;

    /// Puts back the values that stood before the epoch, where the destination still holds what was written;
    /// without `apply` it only looks.
    async fn undo(&self, ctx: &Context, txn: &TxnId, apply: bool) -> Result<Undone>;
}

/// Something that has to be made in the destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// `field TL_SOURCE`
    pub what: String,
    /// Of what kind it will be.
    pub detail: String,
    pub made: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub record: String,
    pub field: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// Records whose values are not those written last.
    pub changed: u64,
    /// Of them, those that the destination was asked about.
    pub asked: u64,
    pub fields: Vec<Difference>,
    /// What would be refused, with why.
    pub refused: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Refused {
    pub rejects: Vec<Reject>,
    /// Where the next part begins; `None`: this was the last.
    pub next: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// Fields that hold again (or would hold) what stood before.
    pub fields: u64,
    pub records: u64,
    /// Fields that hold again what stood before, already.
    pub already: u64,
    /// What was left as it is, the first thousand, with why.
    pub left: Vec<String>,
    pub left_in_all: u64,
}
