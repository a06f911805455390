//! An account of a manifest, lent to a sink: the same address, credentials, limits and error rules.
//!
//! Tokens lie in the store under the manifest's own name of the account, so that a source and a sink of one
//! account renew them in turn and both see what the other bought.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use throughline_core::{
    Answered, Call, ConfigErrors, ConnectionKind, Context, DynConnection, Error, Options, Result,
};

use super::client::{Connection, Outcome};
use super::plan::{Request, topic};
use super::spec::Encoding;
use super::template::{Template, Tree};
use super::{ManifestConnector, options};

struct Lent(Arc<Connection>);

#[async_trait]
impl throughline_core::Connection for Lent {
    fn account(&self) -> Result<String> {
        self.0.account().map(|account| account.key.to_string())
    }

    async fn call(&self, ctx: &Context, call: Call) -> Result<Answered> {
        let request = Request {
            method: call.method,
            query: query(call.query),
            headers: Vec::new(),
            body: call.body.map(Tree::Leaf),
            encoding: Encoding::Json,
            repeatable: call.repeatable,
            limit: None,
            lookups: Vec::new(),
            topic: topic(&call.path),
            path: Template::literal(call.path),
            chain: None,
            accept: call.accept,
        };
        match self.0.ask(ctx, &request, &|_| None).await? {
            Outcome::Answer(answer) => Ok(Answered { status: answer.head.status, body: answer.body }),
            Outcome::Restart => Err(Error::protocol("a call without a cursor was answered with a void one")),
        }
    }
}

/// A name that comes several times is a list: it repeats the parameter.
fn query(pairs: Vec<(String, String)>) -> Tree {
    let mut lists: Vec<(String, Vec<Value>)> = Vec::new();
    for (name, value) in pairs {
        match lists.iter_mut().find(|(known, _)| *known == name) {
            Some((_, list)) => list.push(value.into()),
            None => lists.push((name, vec![value.into()])),
        }
    }
    Tree::Object(lists.into_iter().map(|(name, list)| (name, Tree::Leaf(list.into()))).collect())
}

impl ConnectionKind for ManifestConnector {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> Value {
        self.manifest.as_ref().map(super::Manifest::options_schema).unwrap_or_default()
    }

    fn build(&self, options: &Options) -> Result<DynConnection, ConfigErrors> {
        let manifest = self
            .manifest
            .as_ref()
            .map_err(|problems| problems.iter().map(|p| Error::bug(p.clone())).collect::<ConfigErrors>())?;
        let given = options::read(&manifest.0.spec, &options.value)?;
        Ok(Arc::new(Lent(Arc::new(Connection::new(manifest.0.clone(), given)))))
    }
}
