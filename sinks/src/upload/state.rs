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

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use throughline_core::time::InstantUs;
use throughline_core::{Context, Error, Result, TxnId};

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

pub(super) fn json<T: Serialize>(value: &T) -> Result<Option<Value>> {
    serde_json::to_value(value).map(Some).map_err(|e| Error::bug(format!("a note of an upload: {e}")))
}

pub(super) fn parse<T: DeserializeOwned>(key: &str, value: Value) -> Result<T> {
    serde_json::from_value(value)
        .map_err(|e| Error::data(format!("the note {key:?} of the state cannot be read: {e}")))
}

pub(super) async fn get<T: DeserializeOwned>(ctx: &Context, key: &str) -> Result<Option<T>> {
    ctx.notes.get(key).await?.map(|value| parse(key, value)).transpose()
}

/// Removes every note whose key begins so and whose rest `which` chooses; how many.
pub(super) async fn remove(
    ctx: &Context,
    prefix: &str,
    which: impl Fn(&str) -> bool + Send + Sync,
) -> Result<u64> {
    let (mut removed, mut after) = (0, None);
    loop {
        let page = ctx.notes.page(prefix, after.as_deref(), 1000).await?;
        let Some((last, _)) = page.last() else { return Ok(removed) };
        after = Some(last.clone());
        let gone: Vec<_> = page
            .into_iter()
            .filter(|(key, _)| key.strip_prefix(prefix).is_some_and(&which))
            .map(|(key, _)| (key, None))
            .collect();
        removed += gone.len() as u64;
        ctx.notes.put_many(gone).await?;
    }
}
