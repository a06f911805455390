//! What an epoch holds, for readers and for us.

use std::path::Path;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use throughline_core::time::InstantUs;
use throughline_core::{Committable, Error, Result, Table};

use crate::files::FileEntry;

pub(super) const MANIFEST: &str = "_manifest.json";
pub(crate) const FORMAT: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub format: u32,
    pub txn: String,
    /// Grows from epoch to epoch.
    pub number: u64,
    /// The epoch that readers saw before.
    pub replaces: Option<String>,
    pub connector: String,
    /// RFC 3339, UTC.
    pub committed_at: String,
    pub tables: Vec<StagedTable>,
}

impl Manifest {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| Error::bug(format!("manifest: {e}")))?;
        text.push(b'\n');
        Ok(text)
    }
}

/// A table as it was staged: in the ledger as a [`Committable`]'s detail, then in the manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StagedTable {
    pub name: String,
    pub doc: String,
    pub rows: u64,
    /// Columns whose values are together unique.
    pub key: Vec<String>,
    /// The table's file or folder inside the epoch.
    pub item: String,
    pub columns: Vec<ColumnEntry>,
    pub files: Vec<FileEntry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ColumnEntry {
    pub name: String,
    /// Arrow's name of the type.
    #[serde(rename = "type")]
    pub kind: String,
    pub nullable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc: Option<String>,
}

impl StagedTable {
    /// `files` are named from the item on, as their writer names them.
    pub(crate) fn new(table: &Table, item: String, mut files: Vec<FileEntry>) -> Self {
        for file in &mut files {
            file.path = if file.path.is_empty() { item.clone() } else { format!("{item}/{}", file.path) };
        }
        let columns = table.schema.fields().iter().map(|field| ColumnEntry {
            name: field.name().clone(),
            kind: field.data_type().to_string(),
            nullable: field.is_nullable(),
            doc: field.metadata().get("doc").cloned(),
        });
        Self {
            name: table.name.clone(),
            doc: table.doc.clone(),
            rows: files.iter().map(|f| f.rows).sum(),
            key: table.key.clone(),
            item,
            columns: columns.collect(),
            files,
        }
    }

    pub(crate) fn into_committable(self) -> Result<Committable> {
        let detail = serde_json::to_value(&self)
            .map_err(|e| Error::bug(format!("staged table {}: {e}", self.name)))?;
        Ok(Committable { table: self.name, rows: self.rows, detail })
    }

    pub(crate) fn from_committable(staged: &Committable) -> Result<Self> {
        serde_json::from_value(staged.detail.clone()).map_err(|e| {
            Error::data(format!("the ledger's entry of staged table {} cannot be read: {e}", staged.table))
        })
    }
}

pub(super) fn read_manifest(epoch: &Path) -> Result<Manifest> {
    let path = epoch.join(MANIFEST);
    let text = std::fs::read(&path).map_err(|e| Error::io("read", path.display(), e))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| {
        Error::data(format!("{} cannot be read: {e}", path.display()))
            .hint("something outside has changed the sink's folder; move the epoch away and run again")
    })?;
    if manifest.format != FORMAT {
        return Err(Error::unsupported(format!("{} is of format {}", path.display(), manifest.format))
            .hint("it was written by a newer Throughline: use that one"));
    }
    Ok(manifest)
}

pub(crate) fn instant(us: InstantUs) -> String {
    DateTime::from_timestamp_micros(us)
        .map_or_else(|| us.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}
