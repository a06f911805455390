//! What a connector may touch of the world: nothing reads the clock, the network or the token store
//! behind its back.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::http::HttpClient;
use crate::secret::Secret;
use crate::time::{Clock, InstantUs};

#[derive(Clone)]
pub struct Context {
    /// Name of the source or sink in the pipeline file, for messages.
    pub name: Arc<str>,
    pub clock: Arc<dyn Clock>,
    pub http: Arc<dyn HttpClient>,
    pub tokens: Arc<dyn TokenStore>,
    /// Small durable notes that outlive a crash although they are no checkpoint (the id of a report
    /// that was ordered and must be cleaned up).
    pub notes: Arc<dyn NoteStore>,
    pub cancel: CancellationToken,
    /// A folder for temporary files, emptied at the end of the run.
    pub scratch: PathBuf,
}

impl Context {
    /// Ends a wait or a loop when the run is stopped.
    pub fn check_cancelled(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// Sleeps on the context's clock; a stop ends the sleep with an error.
    pub async fn sleep(&self, duration: std::time::Duration) -> Result<()> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::cancelled()),
            () = self.clock.sleep(duration) => Ok(()),
        }
    }
}

/// An access token and, where the vendor rotates, the refresh token that buys the next one.
#[derive(Clone, Debug)]
pub struct TokenPair {
    pub access: Secret,
    pub refresh: Option<Secret>,
    pub expires_at_us: Option<InstantUs>,
    /// What else the vendor gave with it (the account's own domain, say). No secrets.
    pub extra: serde_json::Value,
}

/// Tokens that outlive a run.
///
/// Vendors that rotate refresh tokens make the old pair void with the answer that carries the new
/// one. So: one refresher at a time (the lease), and the new pair is durable before its first use.
#[async_trait]
pub trait TokenStore: Send + Sync {
    async fn load(&self, account: &str) -> Result<Option<TokenPair>>;
    /// Waits until nobody else, in this process or another, refreshes this account.
    async fn lease(&self, account: &str) -> Result<Box<dyn TokenLease>>;
}

#[async_trait]
pub trait TokenLease: Send {
    /// The pair as it stands now that we hold the lease: another may just have refreshed it.
    async fn current(&self) -> Result<Option<TokenPair>>;
    /// Durable (fsync) when it returns. Keeps the previous pair for diagnosis.
    async fn save(&mut self, pair: &TokenPair) -> Result<()>;
}

/// Durable small values of a source, by key.
#[async_trait]
pub trait NoteStore: Send + Sync {
    async fn get(&self, key: &str) -> Result<Option<serde_json::Value>>;
    /// `None` removes. Durable when it returns.
    async fn put(&self, key: &str, value: Option<serde_json::Value>) -> Result<()>;
    /// Keys that start with `prefix`, in order.
    async fn list(&self, prefix: &str) -> Result<Vec<(String, serde_json::Value)>>;

    /// As [`NoteStore::put`] for each. The state file takes all of them or none; what only lives in memory
    /// takes them one after another.
    async fn put_many(&self, notes: Vec<(String, Option<serde_json::Value>)>) -> Result<()> {
        for (key, value) in notes {
            self.put(&key, value).await?;
        }
        Ok(())
    }

    /// The values of these keys, in their order.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<serde_json::Value>>> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.get(key).await?);
        }
        Ok(found)
    }

    /// As [`NoteStore::list`], a part at a time: the first `limit` keys behind `after`.
    async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, serde_json::Value)>> {
        let all = self.list(prefix).await?;
        Ok(all.into_iter().filter(|(key, _)| after.is_none_or(|a| key.as_str() > a)).take(limit).collect())
    }
}
