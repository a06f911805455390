//! Small durable values of a source.

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, params};
use serde_json::Value;
use throughline_core::{NoteStore, Result};

use crate::db::{json, to_json};
use crate::store::Store;

pub(crate) struct Notes {
    store: Store,
    pipeline: String,
    source: String,
}

impl Notes {
    pub(crate) fn new(store: Store, pipeline: &str, source: &str) -> Self {
        Self { store, pipeline: pipeline.to_owned(), source: source.to_owned() }
    }
}

#[async_trait]
impl NoteStore for Notes {
    async fn get(&self, key: &str) -> Result<Option<Value>> {
        let at = (self.pipeline.clone(), self.source.clone(), key.to_owned());
        self.store
            .read(move |conn| {
                let text: Option<String> = conn
                    .prepare_cached(
                        "SELECT value FROM notes WHERE pipeline = ?1 AND source = ?2 AND key = ?3",
                    )?
                    .query_row(params![at.0, at.1, at.2], |r| r.get(0))
                    .optional()?;
                text.as_deref().map(json).transpose()
            })
            .await
    }

    async fn put(&self, key: &str, value: Option<Value>) -> Result<()> {
        let at = (self.pipeline.clone(), self.source.clone(), key.to_owned());
        self.store
            .write(move |conn| {
                match value {
                    Some(value) => conn
                        .prepare_cached(
                            "INSERT INTO notes (pipeline, source, key, value) VALUES (?1, ?2, ?3, ?4)
                             ON CONFLICT (pipeline, source, key) DO UPDATE SET value = excluded.value",
                        )?
                        .execute(params![at.0, at.1, at.2, to_json(&value)?])?,
                    None => conn
                        .prepare_cached("DELETE FROM notes WHERE pipeline = ?1 AND source = ?2 AND key = ?3")?
                        .execute(params![at.0, at.1, at.2])?,
                };
                Ok(())
            })
            .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Value)>> {
        let at = (self.pipeline.clone(), self.source.clone(), prefix.to_owned());
        self.store
            .read(move |conn| {
                // Not LIKE: `%` and `_` are letters of a key here, and LIKE folds case.
                let mut statement = conn.prepare_cached(
                    "SELECT key, value FROM notes
                     WHERE pipeline = ?1 AND source = ?2 AND substr(key, 1, length(?3)) = ?3 ORDER BY key",
                )?;
                let mut rows = statement.query(params![at.0, at.1, at.2])?;
                let mut out = Vec::new();
                while let Some(row) = rows.next()? {
                    out.push((row.get(0)?, json(&row.get::<_, String>(1)?)?));
                }
                Ok(out)
            })
            .await
    }

    async fn put_many(&self, notes: Vec<(String, Option<Value>)>) -> Result<()> {
        let at = (self.pipeline.clone(), self.source.clone());
        // One job of the writer is one transaction, or a savepoint in a larger one.
        self.store
            .write(move |conn| {
                let mut insert = conn.prepare_cached(
                    "INSERT INTO notes (pipeline, source, key, value) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (pipeline, source, key) DO UPDATE SET value = excluded.value",
                )?;
                let mut delete = conn
                    .prepare_cached("DELETE FROM notes WHERE pipeline = ?1 AND source = ?2 AND key = ?3")?;
                for (key, value) in notes {
                    match value {
                        Some(value) => insert.execute(params![at.0, at.1, key, to_json(&value)?])?,
                        None => delete.execute(params![at.0, at.1, key])?,
                    };
                }
                Ok(())
            })
            .await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Value>>> {
        let at = (self.pipeline.clone(), self.source.clone(), keys.to_vec());
        self.store
            .read(move |conn| {
                let mut statement = conn.prepare_cached(
                    "SELECT value FROM notes WHERE pipeline = ?1 AND source = ?2 AND key = ?3",
                )?;
                let mut out = Vec::with_capacity(at.2.len());
                for key in &at.2 {
                    let text: Option<String> =
                        statement.query_row(params![at.0, at.1, key], |r| r.get(0)).optional()?;
                    out.push(text.as_deref().map(json).transpose()?);
                }
                Ok(out)
            })
            .await
    }

    async fn page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Value)>> {
        let after = after.unwrap_or_default().to_owned();
        let at = (self.pipeline.clone(), self.source.clone(), prefix.to_owned());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.store
            .read(move |conn| {
                // Keys go in the order of their bytes: none that begins with the prefix lies behind the last
                // character there is.
                let mut statement = conn.prepare_cached(
                    "SELECT key, value FROM notes
                     WHERE pipeline = ?1 AND source = ?2 AND key >= ?3 AND key < ?3 || char(1114111)
                       AND key > ?4
                     ORDER BY key LIMIT ?5",
                )?;
                let mut rows = statement.query(params![at.0, at.1, at.2, after, limit])?;
                let mut out = Vec::new();
                while let Some(row) = rows.next()? {
                    out.push((row.get(0)?, json(&row.get::<_, String>(1)?)?));
                }
                Ok(out)
            })
            .await
    }
}
