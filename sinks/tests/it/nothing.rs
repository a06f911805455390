//! What sinks of files and tables run with: a clock, and no HTTP, tokens or notes. The benchmark of PostgreSQL uses it
//! too.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use throughline_core::http::{HttpClient, HttpRequest, HttpResponse};
use throughline_core::time::Clock;
use throughline_core::{Context, Error, NoteStore, Result, TokenLease, TokenPair, TokenStore};

/// Refuses whatever is asked of it.
struct Nothing;

fn unused<T>() -> Result<T> {
    Err(Error::bug("a file sink asked for what it has no need of"))
}

#[async_trait]
impl HttpClient for Nothing {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse> {
        unused()
    }
    async fn stream(&self, _: HttpRequest) -> Result<HttpResponse> {
        unused()
    }
}
#[async_trait]
impl TokenStore for Nothing {
    async fn load(&self, _: &str) -> Result<Option<TokenPair>> {
        unused()
    }
    async fn lease(&self, _: &str) -> Result<Box<dyn TokenLease>> {
        unused()
    }
}
#[async_trait]
impl NoteStore for Nothing {
    async fn get(&self, _: &str) -> Result<Option<Value>> {
        unused()
    }
    async fn put(&self, _: &str, _: Option<Value>) -> Result<()> {
        unused()
    }
    async fn list(&self, _: &str) -> Result<Vec<(String, Value)>> {
        unused()
    }
}

pub fn context(name: &str, clock: Arc<dyn Clock>) -> Context {
    Context {
        name: name.into(),
        clock,
        http: Arc::new(Nothing),
        tokens: Arc::new(Nothing),
        notes: Arc::new(Nothing),
        cancel: Default::default(),
        scratch: std::env::temp_dir(),
    }
}
