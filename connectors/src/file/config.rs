//! Options of a `file` source, and what they come to for one table.

use std::path::{Path, PathBuf};

use encoding_rs::Encoding;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use throughline_core::canonical::{self, CanonicalTable};
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ColumnSpec, ColumnType, ConfigErrors, Options, PointerAt};

use crate::checks;
use crate::local::Compression;
use crate::records::nearest;

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Files: a path or a pattern (`*`, `?`, `[abc]`, `**` for folders), or a list of them. Relative ones
    /// start at the pipeline file's folder. Example: `data/costs-*.csv.gz`.
    pub path: Paths,
    /// The canonical table the rows go into, e.g. `costs`, `visits`, `deals`.
    pub into: String,
    /// A SELECT from the table `file` that gives columns of `into`. Without it the files must have the
    /// columns of `into`, by their names.
    pub mapping: Option<String>,
    /// Without it the ending of the name decides: .csv, .tsv, .jsonl (.ndjson), .parquet, before .gz or
    /// .zst.
    pub format: Option<Format>,
    /// Without it the ending of the name decides: .gz, .zst, or none.
    pub compression: Option<Compression>,
    /// Between fields of CSV, one ASCII character. Default `,` for CSV and a tab for TSV.
    pub delimiter: Option<String>,
    /// Around fields of CSV and TSV, one ASCII character; empty: quotes mean nothing. Default `"`.
    pub quote: Option<String>,
    /// Whether the first record of CSV and TSV names the columns. Default true; with false `columns`
    /// names them, in their order.
    #[serde(default = "yes")]
    pub header: bool,
    /// Encoding of CSV, TSV and JSON lines, by its WHATWG name, e.g. `windows-1251`. Default `utf-8`.
    pub encoding: Option<String>,
    /// Texts that mean no value, in CSV and TSV. Default `[""]`: an empty field.
    #[serde(default = "empty_is_null")]
    pub null: Vec<String>,
    /// Types of columns for a mapping, e.g. `[{ name = "day", type = "date" }]`. Columns not named here
    /// are text in CSV and TSV.
    #[serde(default)]
    pub columns: Vec<Column>,
    /// What a column of a file that `into` has not does, without a mapping: `error` (default) or
    /// `ignore` (it stays in the raw table).
    #[serde(default)]
    pub extra: Extra,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Paths {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Csv,
    Tsv,
    #[serde(alias = "ndjson")]
    Jsonl,
    Parquet,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Extra {
    #[default]
    Error,
    Ignore,
}

fn yes() -> bool {
    true
}
fn empty_is_null() -> Vec<String> {
    vec![String::new()]
}

/// Options that were found good.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub base_dir: PathBuf,
    pub patterns: Vec<String>,
    pub into: &'static CanonicalTable,
    pub mapping: Option<String>,
    pub format: Option<Format>,
    pub compression: Option<Compression>,
    pub delimiter: Option<u8>,
    pub quote: Option<u8>,
    pub header: bool,
    pub encoding: &'static Encoding,
    pub null: Vec<String>,
    pub columns: Vec<ColumnSpec>,
    pub extra: Extra,
}

impl Settings {
    pub fn new(options: &Options) -> Result<Self, ConfigErrors> {
        let config: Config = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong = |message: String, pointer: &str| {
            errors.push(option_error(message, pointer, PointerAt::Value));
        };
        let patterns = match config.path {
            Paths::One(one) => vec![one],
            Paths::Many(many) => many,
        };
        if patterns.is_empty() || patterns.iter().any(String::is_empty) {
            wrong("a path is empty; name a file or a pattern".into(), "/path");
        }
        for pattern in &patterns {
            checks::file_pattern(pattern, &options.base_dir, "/path", &mut wrong);
        }
        let into = canonical::table(&config.into);
        if into.is_none() {
            wrong(unknown_table(&config.into), "/into");
        }
        let delimiter = one_symbol(config.delimiter.as_deref(), "delimiter", &mut wrong);
        let quote = match config.quote.as_deref() {
            None => Some(b'"'),
            Some("") => None,
            given => one_symbol(given, "quote", &mut wrong),
        };
        if delimiter.is_some() && delimiter == quote {
            wrong("delimiter and quote are the same".into(), "/delimiter");
        }
        let encoding = match config.encoding.as_deref() {
            None => encoding_rs::UTF_8,
            Some(name) => Encoding::for_label(name.as_bytes()).unwrap_or_else(|| {
                wrong(format!("unknown encoding {name:?}; e.g. utf-8, windows-1251, utf-16le"), "/encoding");
                encoding_rs::UTF_8
            }),
        };
        if !config.header && config.columns.is_empty() {
            wrong("without a header `columns` must name the columns, in their order".into(), "/header");
        }
        for (i, column) in config.columns.iter().enumerate() {
            if config.columns.iter().take(i).any(|c| c.name == column.name) {
                wrong(format!("column {:?} is named twice", column.name), &format!("/columns/{i}/name"));
            }
            if column.name.is_empty() || column.name.starts_with("_tl_") {
                wrong(format!("{:?} can be no column name", column.name), &format!("/columns/{i}/name"));
            }
        }
        let Some(into) = into.filter(|_| errors.is_empty()) else { return Err(errors) };
        Ok(Self {
            base_dir: options.base_dir.clone(),
            patterns,
            into,
            mapping: config.mapping,
            format: config.format,
            compression: config.compression,
            delimiter,
            quote,
            header: config.header,
            encoding,
            null: config.null,
            columns: config
                .columns
                .into_iter()
                .map(|c| ColumnSpec { name: c.name, kind: c.kind, doc: String::new() })
                .collect(),
            extra: config.extra,
        })
    }

    pub fn compression(&self, path: &Path) -> Compression {
        self.compression.unwrap_or_else(|| Compression::of(path))
    }

    /// `None` when neither option nor name tells it.
    pub fn format(&self, path: &Path) -> Option<Format> {
        if self.format.is_some() {
            return self.format;
        }
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name =
            [".gz", ".gzip", ".zst", ".zstd"].iter().find_map(|e| name.strip_suffix(e)).unwrap_or(&name);
        Some(match name.rsplit_once('.')?.1 {
            "csv" => Format::Csv,
            "tsv" | "tab" => Format::Tsv,
            "jsonl" | "ndjson" => Format::Jsonl,
            "parquet" | "pq" => Format::Parquet,
            _ => return None,
        })
    }
}

fn one_symbol(given: Option<&str>, name: &str, wrong: &mut impl FnMut(String, &str)) -> Option<u8> {
    let given = given?;
    match given.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Some(*byte),
        _ => {
            wrong(format!("{name} is one ASCII character, not {given:?}"), &format!("/{name}"));
            None
        }
    }
}

fn unknown_table(name: &str) -> String {
    let names: Vec<&str> = canonical::TABLES.iter().map(|t| t.name).collect();
    match nearest(name, &names) {
        Some(near) => format!("{name:?} is no canonical table; did you mean {near:?}?"),
        None => format!("{name:?} is no canonical table; there are {}", names.join(", ")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(value: serde_json::Value) -> Result<Settings, Vec<String>> {
        Settings::new(&Options { name: "f".into(), value, base_dir: PathBuf::new() })
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn format_and_compression_follow_the_name() {
        let s = settings(serde_json::json!({"path": "x", "into": "costs"})).unwrap();
        let of = |name: &str| (s.format(Path::new(name)), s.compression(Path::new(name)));
        assert_eq!(of("a/costs.2026.CSV.gz"), (Some(Format::Csv), Compression::Gz));
        assert_eq!(of("costs.ndjson.zst"), (Some(Format::Jsonl), Compression::Zst));
        assert_eq!(of("costs.parquet"), (Some(Format::Parquet), Compression::None));
        assert_eq!(of("costs.txt").0, None);
    }

    #[test]
    fn every_wrong_option_is_told() {
        let errors = settings(serde_json::json!({
            "path": "a[", "into": "cost", "delimiter": ";;", "encoding": "cp-zz", "header": false
        }))
        .unwrap_err();
        assert_eq!(errors.len(), 5, "{errors:#?}");
        assert!(errors[1].contains("did you mean \"costs\"?"), "{errors:#?}");
    }
}
