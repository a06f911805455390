//! From rows to deals whose values are not those that were written last.

use std::collections::HashSet;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, SecondsFormat};
use sha2::{Digest, Sha256};
use throughline_core::{Context, Error, ErrorKind, Result};

use super::options::Settings;
use super::state::{Staged, deal_key};

/// Goes over a table batch by batch.
pub(super) struct Sift<'a> {
    settings: &'a Settings,
    /// `amocrm:shop:`
    prefix: String,
    /// Which fields of which account, for the hash: what is written elsewhere is not written here.
    about: String,
    seen: HashSet<[u8; 16]>,
}

impl<'a> Sift<'a> {
    pub fn new(settings: &'a Settings, account: &str) -> Self {
        let about = settings.fields.iter().map(|f| format!("{}={}\n", f.field, f.clear)).collect();
        Self { settings, prefix: format!("{account}:"), about, seen: HashSet::new() }
    }

    /// Deals of the account in these rows whose values changed, in the rows' order.
    ///
    /// # Errors
    /// Kind `Config` when a column is missing or of a type that is no value; `Data` when a deal comes twice.
    pub async fn batch(&mut self, ctx: &Context, rows: &RecordBatch) -> Result<Vec<Staged>> {
        let ids = column(rows, "deal_id")?;
        let mut columns = Vec::with_capacity(self.settings.fields.len());
        for field in &self.settings.fields {
            columns.push(column(rows, &field.column)?);
        }
        self.check_model(rows, &ids)?;
        let mut wanted = Vec::new();
        for row in 0..rows.num_rows() {
            if ids.is_null(row) || !self.is_ours(ids.value(row)) {
                continue;
            }
            let deal = ids.value(row);
            let mut name = [0; 16];
            name.copy_from_slice(&Sha256::digest(deal)[..16]);
            if !self.seen.insert(name) {
                return Err(Error::data(format!("the deal {deal} comes twice"))
                    .hint("a table that is written back has one row per deal"));
            }
            let mut values = Vec::new();
            for (field, column) in self.settings.fields.iter().zip(&columns) {
                let value = if column.is_null(row) { "" } else { column.value(row).trim() };
                if !value.is_empty() {
                    values.push((field.field.clone(), Some(value.to_owned())));
                } else if field.clear {
                    values.push((field.field.clone(), None));
                }
            }
            if !values.is_empty() {
                wanted.push(Staged { deal: deal.to_owned(), hash: self.hash(&values), values });
            }
        }
        let keys: Vec<String> = wanted.iter().map(|staged| deal_key(&staged.deal)).collect();
        let known = ctx.notes.get_many(&keys).await?;
        let changed = wanted.into_iter().zip(known);
        Ok(changed
            .filter(|(staged, known)| {
                known.as_ref().and_then(|hash| hash.as_str()) != Some(staged.hash.as_str())
            })
            .map(|(staged, _)| staged)
            .collect())
    }

    /// A deal of this account: leads, which some CRMs keep apart, have a word in their number.
    fn is_ours(&self, deal: &str) -> bool {
        deal.strip_prefix(&self.prefix)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    }

    fn hash(&self, values: &[(String, Option<String>)]) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.about);
        for (field, value) in values {
            for part in [Some(field), value.as_ref()] {
                let part = part.map_or("", String::as_str);
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
    }

    /// A model that was asked for and is not computed would leave every credit empty, and look fine.
    fn check_model(&self, rows: &RecordBatch, ids: &StringArray) -> Result<()> {
        let Some(model) = &self.settings.model else { return Ok(()) };
        let found = column(rows, "credit_model")?;
        if found.is_empty() || ids.null_count() == ids.len() || found.null_count() < found.len() {
            return Ok(());
        }
        Err(Error::config(format!("no credit is computed by the model {model:?}"))
            .hint("name it in `models` of [attribution], or choose another for the sink"))
    }
}

/// A column as texts: instants as RFC 3339 in UTC, days as YYYY-MM-DD, numbers as they are written.
fn column(rows: &RecordBatch, name: &str) -> Result<StringArray> {
    let Some(array) = rows.column_by_name(name) else {
        let schema = rows.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        return Err(Error::new(ErrorKind::Config, format!("the table has no column {name:?}"))
            .hint(format!("its columns are {}", names.join(", "))));
    };
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let instants = array.as_primitive::<TimestampMicrosecondType>();
            let text = |us| {
                DateTime::from_timestamp_micros(us).map(|t| t.to_rfc3339_opts(SecondsFormat::Secs, true))
            };
            Ok(instants.iter().map(|us| us.and_then(text)).collect())
        }
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Boolean
        | DataType::Date32
        | DataType::Decimal128(..)
        | DataType::Null => Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
        kind if kind.is_integer() || kind.is_floating() => {
            Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
        }
        other => {
            Err(Error::new(ErrorKind::Config, format!("the column {name:?} of type {other} is no value"))
                .hint("make it a text, a number, a day or an instant in UTC with microseconds"))
        }
    }
}
