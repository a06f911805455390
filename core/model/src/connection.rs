//! A vendor's account as something to ask: address, credentials, limits and error rules in one.
//!
//! A source and a sink of one account must share all of that: one bucket of requests, one pair of tokens whose
//! refresh makes the older one void. So whoever knows the vendor's way to sign in (a connector) lends it, and a
//! sink asks through it without knowing how.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use crate::connector::{ConfigErrors, Options};
use crate::context::Context;
use crate::error::Result;
use crate::http::Method;

/// One request of an account, without credentials.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    /// Behind the account's base URL, from its slash on.
    pub path: String,
    pub query: Vec<(String, String)>,
    /// Sent as JSON.
    pub body: Option<Value>,
    /// May be sent again when the answer was lost: writes of absolute values may, creating may not.
    pub repeatable: bool,
    /// Statuses besides 2xx whose body the caller reads, such as a 400 that tells of single records.
    pub accept: Vec<u16>,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path)
    }

    pub fn new(method: Method, path: impl Into<String>) -> Self {
        let repeatable = method == Method::Get;
        Self { method, path: path.into(), query: Vec::new(), body: None, repeatable, accept: Vec::new() }
    }

    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    #[must_use]
    pub fn accept(mut self, status: u16) -> Self {
        self.accept.push(status);
        self
    }
}

/// A good answer, or one with an accepted status.
#[derive(Clone, Debug)]
pub struct Answered {
    pub status: u16,
    pub body: Bytes,
}

/// An account that can be asked. Waits, retries and renewed tokens are its own affair.
#[async_trait]
pub trait Connection: Send + Sync {
    /// Vendor and account, e.g. `amocrm:shop`: ids of the account's records begin with it. No secret.
    ///
    /// # Errors
    /// Kind `Config` when an option it stands on is not set.
    fn account(&self) -> Result<String>;

    /// # Errors
    /// What is left when retries ended, or what no retry would mend.
    async fn call(&self, ctx: &Context, call: Call) -> Result<Answered>;
}

pub type DynConnection = Arc<dyn Connection>;

/// A kind of account.
pub trait ConnectionKind: Send + Sync {
    fn name(&self) -> &str;
    /// JSON Schema of the options, those of a source included.
    fn schema(&self) -> Value;
    /// # Errors
    /// All that is wrong with the options.
    fn build(&self, options: &Options) -> Result<DynConnection, ConfigErrors>;
}
