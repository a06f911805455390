//! Which columns the files have and which the table wants.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use throughline_core::canonical::CanonicalTable;
use throughline_core::{ColumnSpec, ColumnType, Error, ReadEvent, Result};

use super::arrow_types::{column_type, landed};
use super::config::{Extra, Format, Settings};
use super::decode::Decoded;
use super::{delimited_rows, parquet_rows};
use crate::lines::Lines;
use crate::local::{self, Opened};
use crate::records::{Limits, RecordsBuilder, nearest};

/// Records of JSON lines that are looked at to learn their columns.
const PEEKED: usize = 10_000;
const PEEKED_BYTES: u64 = 16 << 20;

/// What a file must look like.
pub(crate) struct Shape {
    /// Set when the files' own columns go into this table without a mapping.
    direct: Option<&'static CanonicalTable>,
    extra: Extra,
}

impl Shape {
    pub fn new(settings: &Settings) -> Self {
        let direct = settings.mapping.is_none().then_some(settings.into);
        Self { direct, extra: settings.extra }
    }

    /// Columns by name, before any row is read.
    pub fn check_names(&self, file: &str, names: &[&str]) -> Result<()> {
        let Some(table) = self.direct else { return Ok(()) };
        self.check_known(table, file, names)?;
        let missing: Vec<&str> =
            table.columns.iter().filter(|c| c.required && !names.contains(&c.name)).map(|c| c.name).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::data(format!("{file} lacks {} of {}", listed(&missing), table.name))
            .hint(format!("its columns are {}; a `mapping` SELECT makes others of them", listed(names))))
    }

    /// Columns of a batch, whose records need not have all.
    pub fn check_batch(&self, batch: &RecordBatch, page: &str) -> Result<()> {
        let Some(table) = self.direct else { return Ok(()) };
        let schema = batch.schema_ref();
        let names: Vec<&str> =
            schema.fields().iter().map(|f| f.name().as_str()).filter(|n| !n.starts_with("_tl_")).collect();
        self.check_known(table, page, &names)
    }

    fn check_known(&self, table: &CanonicalTable, file: &str, names: &[&str]) -> Result<()> {
        if self.extra == Extra::Ignore {
            return Ok(());
        }
        let unknown: Vec<&str> = names.iter().filter(|n| table.column(n).is_none()).copied().collect();
        let Some(first) = unknown.first() else { return Ok(()) };
        let known: Vec<&str> = table.columns.iter().map(|c| c.name).collect();
        let mut hint = match nearest(first, &known) {
            Some(near) => format!("did you mean {near:?}? "),
            None => String::new(),
        };
        hint.push_str("A `mapping` SELECT makes columns of others; `extra = \"ignore\"` leaves them out");
        let what = if unknown.len() == 1 { "a column" } else { "columns" };
        Err(Error::data(format!("{file} has {what} that {} has not: {}", table.name, listed(&unknown)))
            .hint(hint))
    }
}

fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 30;
    let mut text = names.iter().take(SHOWN).map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// The contract of the stream. With a mapping it holds what the first file shows, so that the SELECT
/// can be checked before anything is read; what cannot be looked at now is left to the reading.
pub(crate) fn contract(settings: &Settings) -> Vec<ColumnSpec> {
    let spec = |name: &str, kind| ColumnSpec { name: name.into(), kind, doc: String::new() };
    if settings.mapping.is_none() {
        let own = |c: &throughline_core::canonical::Column| ColumnSpec {
            doc: c.doc.into(),
            ..spec(c.name, c.kind)
        };
        return settings.into.columns.iter().map(own).collect();
    }
    let mut columns = settings.columns.clone();
    for (name, kind) in peek(settings).unwrap_or_default() {
        if !columns.iter().any(|c| c.name == name) {
            columns.push(spec(&name, kind));
        }
    }
    columns
}

fn peek(settings: &Settings) -> Result<Vec<(String, ColumnType)>> {
    let mut found = None;
    for pattern in &settings.patterns {
        if let Some(first) = local::find(&settings.base_dir, pattern)?.into_iter().next() {
            found = Some(first);
            break;
        }
    }
    let Some(path) = found else { return Ok(Vec::new()) };
    let Some(format) = settings.format(&path) else { return Ok(Vec::new()) };
    let file = path.display().to_string();
    if format == Format::Parquet {
        let schema = parquet_rows::schema(&file, &path)?;
        let of = |f: &arrow::datatypes::FieldRef| (f.name().clone(), column_type(&landed(f.data_type())));
        return Ok(schema.fields().iter().map(of).collect());
    }
    let opened = Opened::open(&path, settings.compression(&path))?;
    if format != Format::Jsonl {
        let reader = delimited_rows::Reader::open(&file, opened, settings, format)?;
        return Ok(reader.names().iter().map(|n| (n.clone(), ColumnType::Text)).collect());
    }
    let mut lines = Lines::new(Decoded::new(opened, settings.encoding), 1 << 20);
    let limits = Limits { batch_rows: PEEKED, batch_bytes: usize::MAX, ..Limits::default() };
    let mut records = RecordsBuilder::new(limits);
    records.begin_page("", None);
    let mut taken = 0;
    while let Ok(Some(line)) = lines.next() {
        if line.number > PEEKED as u64 || line.offset > PEEKED_BYTES {
            break;
        }
        taken += usize::from(records.push(line.bytes, ""));
        if taken == PEEKED {
            break;
        }
    }
    records.finish_page();
    let mut columns = Vec::new();
    for event in records.take_events() {
        if let ReadEvent::Batch(batch) = event {
            for field in batch.rows.schema_ref().fields() {
                if field.data_type() != &DataType::Null && !columns.iter().any(|(n, _)| n == field.name()) {
                    columns.push((field.name().clone(), column_type(field.data_type())));
                }
            }
        }
    }
    Ok(columns)
}
