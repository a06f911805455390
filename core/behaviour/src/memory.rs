//! Notes and tokens that live as long as the test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use throughline_core::{NoteStore, Result, TokenLease, TokenPair, TokenStore};

/// Notes of one source. Give the same to its next process: notes outlive a crash.
#[derive(Default)]
pub struct MemoryNotes(Mutex<BTreeMap<String, Value>>);

#[async_trait]
impl NoteStore for MemoryNotes {
    async fn get(&self, key: &str) -> Result<Option<Value>> {
        Ok(lock(&self.0).get(key).cloned())
    }
    async fn put(&self, key: &str, value: Option<Value>) -> Result<()> {
        let mut notes = lock(&self.0);
        match value {
            Some(value) => notes.insert(key.to_owned(), value),
            None => notes.remove(key),
        };
        Ok(())
    }
    async fn list(&self, prefix: &str) -> Result<Vec<(String, Value)>> {
        let notes = lock(&self.0);
        Ok(notes.iter().filter(|(k, _)| k.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

/// Tokens by account. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryTokens {
    pairs: Arc<Mutex<BTreeMap<String, TokenPair>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

struct Lease {
    tokens: MemoryTokens,
    account: String,
    _turn: tokio::sync::OwnedMutexGuard<()>,
}

#[async_trait]
impl TokenStore for MemoryTokens {
    async fn load(&self, account: &str) -> Result<Option<TokenPair>> {
        Ok(lock(&self.pairs).get(account).cloned())
    }
    async fn lease(&self, account: &str) -> Result<Box<dyn TokenLease>> {
        let turn = self.turn.clone().lock_owned().await;
        Ok(Box::new(Lease { tokens: self.clone(), account: account.to_owned(), _turn: turn }))
    }
}

#[async_trait]
impl TokenLease for Lease {
    async fn current(&self) -> Result<Option<TokenPair>> {
        Ok(lock(&self.tokens.pairs).get(&self.account).cloned())
    }
    async fn save(&mut self, pair: &TokenPair) -> Result<()> {
        lock(&self.tokens.pairs).insert(self.account.clone(), pair.clone());
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
