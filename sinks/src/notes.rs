//! Notes of sinks as values: what is written into a state file as JSON, and read again by a later process.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use throughline_core::{Context, Error, Result};

pub(crate) fn json<T: Serialize>(value: &T) -> Result<Option<Value>> {
    serde_json::to_value(value).map(Some).map_err(|e| Error::bug(format!("a note of a sink: {e}")))
}

/// # Errors
/// The note is of another shape, which is told with its key.
pub(crate) fn parse<T: DeserializeOwned>(key: &str, value: Value) -> Result<T> {
    serde_json::from_value(value)
        .map_err(|e| Error::data(format!("the note {key:?} of the state cannot be read: {e}")))
}

pub(crate) async fn get<T: DeserializeOwned>(ctx: &Context, key: &str) -> Result<Option<T>> {
    ctx.notes.get(key).await?.map(|value| parse(key, value)).transpose()
}

/// Notes of one page when all of a kind are gone over.
pub(crate) const PAGE: usize = 1000;

/// Removes every note whose key begins so and whose rest `which` chooses; how many.
pub(crate) async fn remove(
    ctx: &Context,
    prefix: &str,
    which: impl Fn(&str) -> bool + Send + Sync,
) -> Result<u64> {
    let (mut removed, mut after) = (0, None);
    loop {
        let page = ctx.notes.page(prefix, after.as_deref(), PAGE).await?;
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
