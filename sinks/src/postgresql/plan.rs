//! One table of an epoch, as it stands in the ledger between staging and committing.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use throughline_core::{Committable, Error, Result, Table, TxnId};

use super::names::{column, hex, relation};
use super::types::PgType;

/// What a fresh process needs to commit; types and comments are in the staged table itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Staged {
    /// Name in the schema.
    pub relation: String,
    /// Name in the staging schema.
    pub staged: String,
    /// Of several tries to stage it this one.
    pub attempt: String,
    pub key: Vec<String>,
    /// Rows are told apart by it; there is a primary key.
    pub keyed: bool,
    /// Column of days that rows without a key are replaced by.
    pub date: Option<String>,
}

impl Staged {
    pub(super) fn from_committable(committable: &Committable) -> Result<Self> {
        serde_json::from_value(committable.detail.clone()).map_err(|e| {
            Error::data(format!("what was staged of table {} cannot be read: {e}", committable.table))
        })
    }
}

/// A table about to be staged.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub table: Table,
    pub out: Staged,
    /// Names and types in the database, in the order of the schema.
    pub columns: Vec<(String, String)>,
    /// The schema in the types that are encoded.
    pub written: SchemaRef,
}

impl Plan {
    pub(super) fn new(table: &Table, txn: &TxnId) -> Result<Self> {
        let of_table = |e: Error| e.with("table", &table.name);
        if table.schema.fields().is_empty() {
            return Err(Error::unsupported(format!("table {:?} has no columns", table.name)));
        }
        let mut columns = Vec::with_capacity(table.schema.fields().len());
        let mut names = HashSet::new();
        let mut fields = Vec::with_capacity(columns.capacity());
        for field in table.schema.fields() {
            let name = column(field.name()).map_err(of_table)?;
            if !names.insert(name.clone()) {
                return Err(of_table(Error::config(format!(
                    "two columns would both be named {name:?} in PostgreSQL: rename {:?}",
                    field.name()
                ))));
            }
            columns.push((name, PgType::of(field).map_err(of_table)?.sql()));
            let kind = PgType::written_as(field.data_type());
            let field = Field::new(field.name(), kind, true).with_metadata(field.metadata().clone());
            fields.push(Arc::new(field));
        }
        let mut key = Vec::with_capacity(table.key.len());
        for part in &table.key {
            if table.schema.column_with_name(part).is_none() {
                return Err(of_table(Error::config(format!(
                    "its key names {part:?}, which is no column of it"
                ))));
            }
            key.push(column(part)?);
        }
        let date = table.partition_by.as_ref().filter(|d| table.schema.column_with_name(d).is_some());
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|e| Error::bug(format!("no random numbers: {e}")))?;
        Ok(Self {
            out: Staged {
                relation: relation(&table.name).map_err(of_table)?,
                staged: format!("s_{}", hex(format!("{}\0{}", txn.0, table.name).as_bytes(), 24)),
                attempt: hex(&random, 16),
                key,
                keyed: false,
                date: date.map(|d| column(d)).transpose()?,
            },
            columns,
            written: Arc::new(Schema::new(fields)),
            table: table.clone(),
        })
    }
}
