//! A small world of canonical tables, a run over it, and answers as text.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::json::ReaderBuilder;
use futures::TryStreamExt;
use serde_json::Value;
use throughline_attribution::{Before, Job, Outcome, Previous, Progress, Settings, run};
use throughline_core::Error;
use throughline_core::canonical::{TABLES, table};
use throughline_sql::{HELD_BYTES, LocalEngine, LocalOptions, SqlEngine, TableRef};

/// 2026-09-30T00:00:00Z: later than everything the tests tell of.
pub const NOW_US: i64 = 1_790_726_400_000_000;

#[derive(Clone, Default)]
pub struct World {
    pub settings: Settings,
    pub tables: BTreeMap<&'static str, Vec<Value>>,
    pub now_us: Option<i64>,
    pub previous: Previous,
    /// What an epoch before left.
    pub before: Option<Before>,
    /// The canonical tables are files, as those of a pipeline are.
    pub in_files: bool,
}

impl World {
    pub fn with(settings: Value) -> Self {
        Self { settings: serde_json::from_value(settings).unwrap(), ..Self::default() }
    }

    /// Adds rows to a canonical table; columns left out are null.
    pub fn add(&mut self, name: &'static str, rows: Value) -> &mut Self {
        let Value::Array(rows) = rows else { panic!("rows are an array") };
        self.tables.entry(name).or_default().extend(rows);
        self
    }

    pub async fn run(&self) -> Done {
        self.try_run().await.unwrap()
    }

    pub async fn try_run(&self) -> Result<Done, Error> {
        self.try_run_with(None).await
    }

    pub async fn try_run_with(&self, progress: Option<&Progress<'_>>) -> Result<Done, Error> {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(dir.path());
        let mut canonical = BTreeMap::new();
        for spec in TABLES {
            let rows = self.tables.get(spec.name).map_or(&[][..], Vec::as_slice);
            let mut rows = rows_of(spec.name, rows);
            if self.in_files {
                engine.bind("given", &rows).await?;
                let folder = dir.path().join("canonical").join(spec.name);
                rows = engine.write(spec.name, "SELECT * FROM given", &[], &folder).await?.table();
            }
            engine.bind(&format!("in_{}", spec.name), &rows).await?;
            canonical.insert(spec.name, rows);
        }
        let all: Vec<&str> = TABLES.iter().map(|t| t.name).collect();
        let job = Job {
            engine: &engine,
            settings: &self.settings,
            may_repeat: if self.before.is_some() { &[] } else { &all },
            work: &dir.path().join("work"),
            now_us: self.now_us.unwrap_or(NOW_US),
            canonical: &canonical,
            previous: &self.previous,
            before: self.before.as_ref().ok_or("this is the first run"),
            keep: true,
            progress,
        };
        let outcome = run(job).await?;
        Ok(Done { engine, outcome, canonical, _dir: dir })
    }
}

pub fn engine(dir: &Path) -> LocalEngine {
    LocalEngine::new(LocalOptions {
        memory_bytes: 256 << 20,
        spill_dir: dir.join("spill"),
        threads: 2,
        held_bytes: HELD_BYTES,
    })
    .unwrap()
}

fn rows_of(name: &str, rows: &[Value]) -> TableRef {
    let spec = table(name).unwrap();
    for row in rows {
        for key in row.as_object().unwrap().keys() {
            assert!(spec.column(key).is_some(), "{name} has no column {key}");
        }
    }
    let schema = spec.schema();
    let mut decoder = ReaderBuilder::new(Arc::clone(&schema)).build_decoder().unwrap();
    decoder.serialize(rows).unwrap();
    let batches = decoder.flush().unwrap().into_iter().collect();
    TableRef::Rows { schema, batches }
}

pub struct Done {
    pub engine: LocalEngine,
    pub outcome: Outcome,
    canonical: BTreeMap<&'static str, TableRef>,
    _dir: tempfile::TempDir,
}

impl Done {
    /// Rows of a SELECT, columns joined by ` | `, null as `-`.
    pub async fn rows(&self, select: &str) -> Vec<String> {
        let batches: Vec<_> = self.engine.read(select, &[]).await.unwrap().try_collect().await.unwrap();
        let mut found = Vec::new();
        for batch in &batches {
            let columns: Vec<_> = batch.columns().iter().map(|c| cast(c, &DataType::Utf8).unwrap()).collect();
            for row in 0..batch.num_rows() {
                let values: Vec<&str> = columns
                    .iter()
                    .map(|c| {
                        let texts = c.as_any().downcast_ref::<StringArray>().unwrap();
                        if texts.is_null(row) { "-" } else { texts.value(row) }
                    })
                    .collect();
                found.push(values.join(" | "));
            }
        }
        found
    }

    pub async fn one(&self, select: &str) -> String {
        let rows = self.rows(select).await;
        assert_eq!(rows.len(), 1, "{select}: {rows:?}");
        rows.into_iter().next().unwrap()
    }

    /// Every output table as sorted text, for comparing whole runs.
    pub async fn everything(&self) -> BTreeMap<&'static str, Vec<String>> {
        let mut all = BTreeMap::new();
        for spec in throughline_attribution::output_tables() {
            let columns: Vec<String> = spec
                .columns
                .iter()
                .filter(|c| c.kind != throughline_attribution::Kind::TextList)
                .map(|c| format!("\"{}\"", c.name))
                .collect();
            let mut rows = self.rows(&format!("SELECT {} FROM {}", columns.join(", "), spec.name)).await;
            rows.sort();
            all.insert(spec.name, rows);
        }
        all
    }

    /// What the next run goes on from.
    pub fn before(&self) -> Before {
        let tables = self.outcome.tables.iter().chain(&self.outcome.state);
        Before {
            canonical: self.canonical.iter().map(|(n, t)| ((*n).to_string(), t.clone())).collect(),
            tables: tables.map(|t| (t.name.to_string(), t.written.table())).collect(),
        }
    }

    /// What the next run tells changes by.
    pub fn previous(&self) -> Previous {
        let table =
            |name: &str| self.outcome.tables.iter().find(|t| t.name == name).map(|t| t.written.table());
        Previous {
            identity_map: table("identity_map"),
            identity_merges: table("identity_merges"),
            data_quality_daily: table("data_quality_daily"),
        }
    }

    pub fn notice(&self, code: &str) -> Option<&str> {
        self.outcome.notices.iter().find(|n| n.code == code).map(|n| n.message.as_str())
    }
}

pub fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
