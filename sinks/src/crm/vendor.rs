//! What the runtime asks of a CRM, and one CRM answers: [`Vendor`]. Everything else is the same for all of them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;
use throughline_core::{Answered, Call, Context, DynConnection, Error, Result};

use super::field::CrmField;

/// An account to talk to.
pub(super) struct Line<'a> {
    pub ctx: &'a Context,
    pub connection: &'a DynConnection,
}

impl Line<'_> {
    pub async fn call(&self, call: Call) -> Result<Answered> {
        self.connection.call(self.ctx, call).await
    }

    /// A call whose answer is JSON; an empty answer is null.
    pub async fn json(&self, call: Call) -> Result<Value> {
        let path = call.path.clone();
        let answer = self.call(call).await?;
        parse(&answer, &path)
    }
}

pub(super) fn parse(answer: &Answered, path: &str) -> Result<Value> {
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&answer.body)
        .map_err(|e| Error::protocol(format!("the answer to {path} is no JSON: {e}")).temporary(None))
}

/// Values of a deal by the field's key; what is missing is empty.
pub(super) type Values = BTreeMap<String, String>;

/// What is to be written into one deal.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// The CRM's own number of the deal.
    pub deal: String,
    /// Field's key and its new value; `None` empties it.
    pub values: Vec<(String, Option<String>)>,
}

/// A field that setup makes.
#[derive(Clone, Debug)]
pub(super) struct NewField {
    /// Code or internal name.
    pub name: String,
    pub label: String,
    pub number: bool,
}

/// Texts about a vendor, and where it differs from others.
pub(super) struct About {
    pub name: &'static str,
    pub summary: &'static str,
    pub readme: &'static str,
    /// Options of the source that a sink takes as well.
    pub options: &'static [&'static str],
    /// Deals of one request.
    pub batch: usize,
    /// Fields that the source of this CRM reads by default: what is written there would come back as evidence.
    pub read_by_source: &'static [&'static str],
}

#[async_trait]
pub(super) trait Vendor: Send + Sync {
    fn about(&self) -> &'static About;

    /// Every field of deals.
    async fn fields(&self, line: &Line<'_>) -> Result<Vec<CrmField>>;

    /// Why a field of this name cannot be made, if so.
    fn refuses_name(&self, name: &str) -> Option<String>;

    async fn create(&self, line: &Line<'_>, field: &NewField) -> Result<()>;

    /// Values of these deals, at most a batch; deals that are not there are missing.
    async fn read(
        &self,
        line: &Line<'_>,
        deals: &[String],
        fields: &[&CrmField],
    ) -> Result<BTreeMap<String, Values>>;

    /// Writes a batch. For each change in order: `None` when it is written, else the vendor's words.
    async fn write(
        &self,
        line: &Line<'_>,
        changes: &[Change],
        fields: &[&CrmField],
    ) -> Result<Vec<Option<String>>>;
}

/// The text of a JSON value as a CRM gives it; `None` for null, lists and objects.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// Cut to what a person reads.
pub(super) fn words(text: &str) -> String {
    text.chars().take(500).collect()
}

/// Times that items which failed for the moment are sent, and the pause before each but the first.
pub(super) const ATTEMPTS: u32 = 4;

pub(super) async fn pause(line: &Line<'_>, attempt: u32) -> Result<()> {
    line.ctx.sleep(std::time::Duration::from_millis(500 << attempt.min(6))).await
}
