//! What is remembered, in the notes of the sink.
//!
//! ```text
//! up/sent/ID             hash of what was sent of that row
//! up/head/TXN/TABLE      how much is staged, and how far it is sent
//! up/part/TXN/TABLE/N    one upload's lines; gone once it is sent
//! up/sending/TXN/TABLE/N it is being sent, since when; gone once that is settled
//! up/refused/TXN/N       what was not sent, or not taken
//! up/open/UPLOAD         an upload that is being processed there
//! up/done/TXN            the receipt
//! ```

use serde::{Deserialize, Serialize};
use throughline_core::TxnId;
use throughline_core::time::InstantUs;

pub(super) use crate::notes::{get, json, parse, remove};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Head {
    pub rows: u64,
    pub parts: u64,
    /// Parts that are settled.
    pub done: u64,
    pub sent: u64,
    pub refused: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sending {
    pub tag: String,
    pub since: InstantUs,
}

/// A row that did not go, or several that share a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub id: String,
    pub why: String,
    #[serde(default)]
    pub text: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Done {
    pub rows: u64,
    pub location: String,
}

pub(super) fn sent_key(id: &str) -> String {
    format!("up/sent/{id}")
}
pub(super) fn head_key(txn: &TxnId, table: &str) -> String {
    format!("up/head/{}/{table}", txn.0)
}
pub(super) fn part_key(txn: &TxnId, table: &str, part: u64) -> String {
    format!("up/part/{}/{table}/{part:010}", txn.0)
}
pub(super) fn sending_key(txn: &TxnId, table: &str, part: u64) -> String {
    format!("up/sending/{}/{table}/{part:010}", txn.0)
}
pub(super) fn refused_prefix(txn: &TxnId) -> String {
    format!("up/refused/{}/", txn.0)
}
pub(super) fn refused_key(txn: &TxnId, part: &str) -> String {
    format!("{}{part}", refused_prefix(txn))
}
pub(super) const OPEN: &str = "up/open/";
pub(super) fn done_key(txn: &TxnId) -> String {
    format!("up/done/{}", txn.0)
}
