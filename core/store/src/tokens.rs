//! Tokens that outlive a run, encrypted, and refreshed by one process at a time.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use throughline_core::time::InstantUs;
use throughline_core::{Error, ErrorKind, Result, Secret, TokenLease, TokenPair, TokenStore};

use crate::lock::{LockFile, lock_path};
use crate::store::Store;
use crate::token_key::TokenKey;

/// Between two tries for a lock that another process holds: a refresh takes a second or so.
const RETRY_EVERY: Duration = Duration::from_millis(20);
/// A holder that lives this long refreshes nothing any more: better an error than waiting for ever.
const WAIT_AT_MOST: Duration = Duration::from_secs(300);

/// One lock per account for the tasks of this process, before they ask the operating system's.
#[derive(Default)]
pub(crate) struct Leases(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Leases {
    fn of(&self, account: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(account.to_owned()).or_default().clone()
    }

    async fn settled(&self, at_most: Duration) -> bool {
        let all: Vec<_> = self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let given_back = async {
            for account in all {
                drop(account.lock().await);
            }
        };
        tokio::time::timeout(at_most, given_back).await.is_ok()
    }
}

impl Store {
    /// Waits until nobody of this process refreshes a token; false when somebody still does after `at_most`.
    ///
    /// A refresh goes on when the read that asked for it was stopped, but not when the program ends: the new pair
    /// would be lost, and the old one is void.
    pub async fn tokens_settled(&self, at_most: Duration) -> bool {
        self.0.leases.settled(at_most).await
    }
}

/// What is encrypted.
#[derive(Serialize, Deserialize)]
struct Clear {
    access: String,
    refresh: Option<String>,
    expires_at_us: Option<InstantUs>,
    extra: serde_json::Value,
}

#[derive(Clone)]
pub(crate) struct Tokens {
    store: Store,
    key: TokenKey,
}

impl Tokens {
    pub(crate) fn new(store: Store, key: TokenKey) -> Self {
        Self { store, key }
    }

    async fn save(&self, account: &str, pair: &TokenPair) -> Result<()> {
        let clear = Clear {
            access: pair.access.expose().to_owned(),
            refresh: pair.refresh.as_ref().map(|s| s.expose().to_owned()),
            expires_at_us: pair.expires_at_us,
            extra: pair.extra.clone(),
        };
        let clear = serde_json::to_vec(&clear).map_err(|_| Error::bug("a token pair is no JSON"))?;
        let sealed = self.key.seal(account, &clear)?;
        let account = account.to_owned();
        self.store
            .write(move |conn| {
                conn.prepare_cached(
                    "INSERT INTO tokens (account, revision, value) VALUES (?1, 1, ?2)
                     ON CONFLICT (account) DO UPDATE
                     SET revision = revision + 1, previous = value, value = excluded.value",
                )?
                .execute(params![account, sealed])?;
                Ok(())
            })
            .await
    }
}

#[async_trait]
impl TokenStore for Tokens {
    async fn load(&self, account: &str) -> Result<Option<TokenPair>> {
        let name = account.to_owned();
        let sealed: Option<Vec<u8>> = self
            .store
            .read(move |conn| {
                let mut statement = conn.prepare_cached("SELECT value FROM tokens WHERE account = ?1")?;
                Ok(statement.query_row([name], |r| r.get(0)).optional()?)
            })
            .await?;
        let Some(sealed) = sealed else { return Ok(None) };
        let clear = self.key.open(account, &sealed)?;
        // The parser's message may quote what it read, which is the token.
        let clear: Clear = serde_json::from_slice(&clear).map_err(|_| {
            Error::data(format!("the stored token of account {account:?} has an unknown form"))
        })?;
        Ok(Some(TokenPair {
            access: Secret::new(clear.access),
            refresh: clear.refresh.map(Secret::new),
            expires_at_us: clear.expires_at_us,
            extra: clear.extra,
        }))
    }

    async fn lease(&self, account: &str) -> Result<Box<dyn TokenLease>> {
        let turn = self.store.0.leases.of(account).lock_owned().await;
        let path = lock_path(self.store.dir(), "token", account)?;
        let file = lock_patiently(path, account, WAIT_AT_MOST).await?;
        Ok(Box::new(Lease { tokens: self.clone(), account: account.to_owned(), _file: file, _turn: turn }))
    }
}

async fn lock_patiently(path: PathBuf, account: &str, at_most: Duration) -> Result<LockFile> {
    let begun = Instant::now();
    loop {
        let holder = match LockFile::try_take(&path, None)? {
            Ok(file) => return Ok(file),
            Err(holder) => holder,
        };
        if begun.elapsed() > at_most {
            return Err(Error::new(
                ErrorKind::Io,
                format!("the token of account {account:?} is being refreshed by {holder}, for too long"),
            )
            .hint("stop that process")
            .temporary(None));
        }
        // The machine's clock and not the context's: this waits for another process.
        tokio::time::sleep(RETRY_EVERY).await;
    }
}

struct Lease {
    tokens: Tokens,
    account: String,
    // The file is let go first: the next task of this process must find it free.
    _file: LockFile,
    _turn: tokio::sync::OwnedMutexGuard<()>,
}

#[async_trait]
impl TokenLease for Lease {
    async fn current(&self) -> Result<Option<TokenPair>> {
        self.tokens.load(&self.account).await
    }

    async fn save(&mut self, pair: &TokenPair) -> Result<()> {
        self.tokens.save(&self.account, pair).await
    }
}
