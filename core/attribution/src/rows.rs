//! Rows of small answers as text by column name: for what is told to people.

use arrow::array::{Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use chrono::{DateTime, SecondsFormat};
use futures::TryStreamExt;
use throughline_core::{Param, Result};
use throughline_sql::SqlEngine;

/// A row; null columns are absent.
pub(crate) struct Row(Vec<(String, String)>);

impl Row {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
    pub fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_string()
    }
    pub fn int(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|v| v.parse().ok())
    }
    /// What has a value.
    pub fn facts(&self) -> Vec<(String, String)> {
        self.0.iter().filter(|(_, v)| !v.is_empty()).cloned().collect()
    }
}

pub(crate) struct Rows<'a> {
    pub engine: &'a dyn SqlEngine,
}

impl Rows<'_> {
    /// `$name` in the SELECT stands for the text given under `name`.
    pub async fn all(&self, select: &str, params: &[(&str, &str)]) -> Result<Vec<Row>> {
        let params: Vec<(String, Param)> =
            params.iter().map(|(n, v)| ((*n).to_string(), Param::Text(Some((*v).to_string())))).collect();
        self.with(select, &params).await
    }

    pub async fn with(&self, select: &str, params: &[(String, Param)]) -> Result<Vec<Row>> {
        let mut found = Vec::new();
        let mut batches = self.engine.read(select, params).await?;
        while let Some(batch) = batches.try_next().await? {
            let schema = batch.schema();
            let mut columns = Vec::with_capacity(batch.num_columns());
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                columns.push((field.name(), cast(column, &DataType::Utf8)?));
            }
            for row in 0..batch.num_rows() {
                let mut values = Vec::with_capacity(columns.len());
                for (name, column) in &columns {
                    if let Some(texts) = column.as_any().downcast_ref::<StringArray>()
                        && texts.is_valid(row)
                    {
                        values.push(((*name).clone(), texts.value(row).to_string()));
                    }
                }
                found.push(Row(values));
            }
        }
        Ok(found)
    }
}

/// Microseconds since the epoch as people read them.
pub(crate) fn instant(us: i64) -> String {
    DateTime::from_timestamp_micros(us)
        .map_or_else(|| us.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// What comes of [`instant`], or of a cast of a timestamp to text.
pub(crate) fn micros(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_micros())
}
