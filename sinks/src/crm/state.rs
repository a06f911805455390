//! What is remembered, in the notes of the sink: what stands in each deal, what is staged, what was written over.
//!
//! ```text
//! crm/deal/DEAL            hash of what we wrote there last
//! crm/head/TXN/TABLE       how much is staged, and how far it is written
//! crm/part/TXN/TABLE/N     one batch of staged deals; gone once it is written
//! crm/wrote/TXN/DEAL       values before and after, by field: what undo needs
//! crm/refused/TXN/TABLE/N  what the CRM did not take of a batch
//! crm/done/TXN             the receipt
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use throughline_core::TxnId;

pub(super) use crate::notes::{get, json, parse, remove};

/// A deal whose values are not those that were written last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Staged {
    /// With the account: `amocrm:shop:123`.
    pub deal: String,
    pub hash: String,
    /// By the field's name in the pipeline; `None` empties it.
    pub values: Vec<(String, Option<String>)>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Head {
    pub rows: u64,
    pub parts: u64,
    /// Parts that are written.
    pub done: u64,
    pub tally: Tally,
}

/// What became of deals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub written: u64,
    /// The CRM held the values already.
    pub same: u64,
    pub refused: u64,
    /// Values that were cut to their field's length.
    pub cut: u64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.written += other.written;
        self.same += other.same;
        self.refused += other.refused;
        self.cut += other.cut;
    }
}

/// A deal that was not written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub deal: String,
    pub why: String,
    pub values: Vec<(String, Option<String>)>,
}

/// What stood in a field, and what we wrote.
pub(super) type Wrote = BTreeMap<String, (Option<String>, Option<String>)>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    pub rows: u64,
    pub location: String,
}

pub(super) fn deal_key(deal: &str) -> String {
    format!("crm/deal/{deal}")
}
pub(super) fn head_key(txn: &TxnId, table: &str) -> String {
    format!("crm/head/{}/{table}", txn.0)
}
pub(super) fn part_key(txn: &TxnId, table: &str, part: u64) -> String {
    format!("crm/part/{}/{table}/{part:010}", txn.0)
}
pub(super) fn wrote_prefix(txn: &TxnId) -> String {
    format!("crm/wrote/{}/", txn.0)
}
pub(super) fn wrote_key(txn: &TxnId, deal: &str) -> String {
    format!("{}{deal}", wrote_prefix(txn))
}
pub(super) fn refused_key(txn: &TxnId, table: &str, part: u64) -> String {
    format!("crm/refused/{}/{table}/{part:010}", txn.0)
}
pub(super) fn done_key(txn: &TxnId) -> String {
    format!("crm/done/{}", txn.0)
}
