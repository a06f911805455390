//! What the tests share: a context without the real clock, a small stand-in for the engine that keeps
//! its promises about checkpoints, windows and slices, and a run of the mappings.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use futures::StreamExt;
use throughline_core::{
    Catalog, Checkpoint, ColumnType, Context, CountCheck, DynSource, Error, FixedClock, NoteStore, Notice,
    Options, ReadEvent, ReadRequest, Redactor, Reject, Result, SourceConnector, StreamSpec, TokenLease,
    TokenPair, TokenStore, canonical,
};
use throughline_http::{Client, HttpSettings, Limits};
use throughline_sql::{HELD_BYTES, LocalEngine, LocalOptions, SqlEngine, TableRef};
use tokio_util::sync::CancellationToken;

/// Microseconds of an RFC 3339 instant.
pub fn us(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

/// Notes that outlive a "crash": give the same to the next context.
#[derive(Default)]
pub struct MemoryNotes(pub Mutex<BTreeMap<String, serde_json::Value>>);

impl MemoryNotes {
    /// Keys of requests and intents that nobody has settled.
    pub fn open(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().filter(|k| !k.starts_with("serial/")).cloned().collect()
    }
}

#[async_trait]
impl NoteStore for MemoryNotes {
    async fn get(&self, key: &str) -> Result<Option<serde_json::Value>> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }
    async fn put(&self, key: &str, value: Option<serde_json::Value>) -> Result<()> {
        let mut notes = self.0.lock().unwrap();
        match value {
            Some(value) => notes.insert(key.into(), value),
            None => notes.remove(key),
        };
        Ok(())
    }
    async fn list(&self, prefix: &str) -> Result<Vec<(String, serde_json::Value)>> {
        let notes = self.0.lock().unwrap();
        Ok(notes.iter().filter(|(k, _)| k.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

struct NoTokens;

#[async_trait]
impl TokenStore for NoTokens {
    async fn load(&self, _: &str) -> Result<Option<TokenPair>> {
        Ok(None)
    }
    async fn lease(&self, _: &str) -> Result<Box<dyn TokenLease>> {
        Err(Error::bug("no tokens here"))
    }
}

/// A context at an instant, and the folder that goes with it.
pub struct World {
    pub ctx: Context,
    pub notes: Arc<MemoryNotes>,
    pub dir: tempfile::TempDir,
}

impl World {
    pub fn at(now: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let notes = Arc::new(MemoryNotes::default());
        Self { ctx: context(now, notes.clone(), dir.path()), notes, dir }
    }
    /// A later process on the same state.
    pub fn later(&mut self, now: &str) {
        self.ctx = context(now, self.notes.clone(), self.dir.path());
    }
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }
    pub fn build(&self, connector: &dyn SourceConnector, value: serde_json::Value) -> DynSource {
        let options = Options { name: "s".into(), value, base_dir: self.dir.path().into() };
        connector.build(&options).map_err(|e| format!("{e:?}")).unwrap()
    }
}

fn context(now: &str, notes: Arc<MemoryNotes>, dir: &Path) -> Context {
    let clock: Arc<FixedClock> = Arc::new(FixedClock::at_us(us(now)));
    let limits = Arc::new(Limits::new());
    let http = Client::new(&HttpSettings::default(), limits, clock.clone(), Redactor::new()).unwrap();
    let scratch = dir.join("scratch");
    std::fs::create_dir_all(&scratch).unwrap();
    Context {
        name: "s".into(),
        clock,
        http: Arc::new(http.with_seed(1)),
        tokens: Arc::new(NoTokens),
        notes,
        cancel: CancellationToken::new(),
        scratch,
    }
}

/// What stands of one stream: only what a checkpoint made durable.
#[derive(Clone, Default)]
pub struct Landing {
    pub checkpoint: Option<Checkpoint>,
    rows: Vec<(Option<String>, RecordBatch)>,
    windows: Vec<(String, i32, i32)>,
    slices: HashMap<String, String>,
    ids: HashMap<String, String>,
    pub rejects: Vec<Reject>,
    pub notices: Vec<Notice>,
    pub counts: Vec<CountCheck>,
}

/// When a run breaks off.
#[derive(Clone, Copy, Default)]
pub struct Break {
    /// Behind so many durable checkpoints, before `committed`.
    pub after_checkpoints: Option<usize>,
    pub never_committed: bool,
}

impl Landing {
    /// One whole run of a stream.
    pub async fn run(&mut self, source: &DynSource, ctx: &Context, stream: &str) -> Result<()> {
        self.run_until(source, ctx, stream, Break::default()).await
    }

    pub async fn run_until(
        &mut self,
        source: &DynSource,
        ctx: &Context,
        stream: &str,
        breaks: Break,
    ) -> Result<()> {
        let request = ReadRequest {
            stream: stream.into(),
            checkpoint: self.checkpoint.clone(),
            window: None,
            max_pages: None,
        };
        let mut events = source.read(ctx, request).await?;
        let mut pending = self.clone();
        let (mut open, mut checkpoints): (Option<String>, usize) = (None, 0);
        while let Some(event) = events.next().await {
            match event? {
                ReadEvent::Batch(batch) => pending.rows.push((open.clone(), batch.rows)),
                ReadEvent::Rejected(reject) => pending.rejects.push(reject),
                ReadEvent::Notice(notice) => pending.notices.push(notice),
                ReadEvent::Count(count) => pending.counts.push(count),
                ReadEvent::Total(_) => {}
                ReadEvent::WindowBegin { id, from_on, to_on } => {
                    assert!(open.is_none());
                    pending.ids.insert(id.clone(), format!("{from_on} {to_on}"));
                    open = Some(id);
                }
                ReadEvent::WindowEnd { id } => {
                    assert_eq!(open.take().as_ref(), Some(&id));
                    let span = pending.ids[&id].clone();
                    let (from, to) = span.split_once(' ').unwrap();
                    pending.windows.push((id, from.parse().unwrap(), to.parse().unwrap()));
                }
                ReadEvent::ReplaceBegin { id, slice } => {
                    assert!(open.is_none());
                    pending.ids.insert(id.clone(), slice);
                    open = Some(id);
                }
                ReadEvent::ReplaceEnd { id } => {
                    assert_eq!(open.take().as_ref(), Some(&id));
                    let slice = pending.ids[&id].clone();
                    pending.slices.insert(slice, id);
                }
                ReadEvent::Checkpoint(checkpoint) => {
                    // Through text, as the store keeps it.
                    let text = serde_json::to_string(&checkpoint.0).unwrap();
                    let checkpoint = Checkpoint(serde_json::from_str(&text).unwrap());
                    pending.checkpoint = Some(checkpoint.clone());
                    *self = pending.clone();
                    checkpoints += 1;
                    if breaks.after_checkpoints == Some(checkpoints) {
                        return Ok(());
                    }
                    if !breaks.never_committed {
                        source.committed(ctx, stream, &checkpoint).await?;
                    }
                }
            }
        }
        assert!(open.is_none(), "the stream ended inside {open:?}");
        *self = pending;
        Ok(())
    }

    /// Current rows: those of superseded windows and slices do not count.
    pub fn batches(&self, spec: &StreamSpec) -> Vec<RecordBatch> {
        let day_column = spec.restates.as_ref().map(|r| r.day_column.as_str());
        let mut kept = Vec::new();
        for (id, rows) in &self.rows {
            let Some(id) = id else {
                kept.push(rows.clone());
                continue;
            };
            if let Some(column) = day_column {
                let days = rows.column_by_name(column).unwrap().as_string::<i32>();
                let current = (0..rows.num_rows()).map(|i| {
                    let day = chrono::NaiveDate::parse_from_str(days.value(i), "%Y-%m-%d").unwrap();
                    let day = (day - chrono::NaiveDate::default()).num_days() as i32;
                    let last = self.windows.iter().rev().find(|(_, from, to)| (*from..*to).contains(&day));
                    Some(last.is_some_and(|(last, ..)| last == id))
                });
                let mask = arrow::array::BooleanArray::from_iter(current);
                kept.push(arrow::compute::filter_record_batch(rows, &mask).unwrap());
            } else if self.slices.values().any(|s| s == id) {
                kept.push(rows.clone());
            }
        }
        kept
    }

    /// One column of all current rows, as text.
    pub fn column(&self, spec: &StreamSpec, name: &str) -> Vec<String> {
        let mut values = Vec::new();
        for batch in self.batches(spec) {
            let Some(column) = batch.column_by_name(name) else {
                values.extend(std::iter::repeat_n("NO COLUMN".to_owned(), batch.num_rows()));
                continue;
            };
            let text = arrow::compute::cast(column, &DataType::Utf8).unwrap();
            let text = text.as_string::<i32>();
            values.extend(
                (0..text.len())
                    .map(|i| if text.is_null(i) { "NULL".into() } else { text.value(i).to_owned() }),
            );
        }
        values
    }
}

pub fn spec(source: &DynSource, stream: &str) -> StreamSpec {
    source.catalog().stream(stream).unwrap().clone()
}

/// Runs all streams once and gives what landed.
pub async fn read_all(source: &DynSource, ctx: &Context) -> HashMap<String, Landing> {
    let mut all = HashMap::new();
    for stream in source.catalog().streams {
        let mut landing = Landing::default();
        landing.run(source, ctx, &stream.name).await.unwrap();
        all.insert(stream.name, landing);
    }
    all
}

/// Runs every mapping of a source over what landed; rows as JSON objects by canonical table.
pub async fn map(
    source: &DynSource,
    landed: &HashMap<String, Landing>,
) -> HashMap<String, Vec<serde_json::Value>> {
    let batches =
        landed.iter().map(|(name, landing)| (name.clone(), landing.batches(&spec(source, name)))).collect();
    map_batches(source, &source.catalog(), batches).await
}

pub async fn map_batches(
    source: &DynSource,
    catalog: &Catalog,
    mut batches: HashMap<String, Vec<RecordBatch>>,
) -> HashMap<String, Vec<serde_json::Value>> {
    let spill = tempfile::tempdir().unwrap();
    let options = LocalOptions {
        memory_bytes: 256 << 20,
        spill_dir: spill.path().join("spill"),
        threads: 1,
        held_bytes: HELD_BYTES,
    };
    let engine = LocalEngine::new(options).unwrap();
    for stream in &catalog.streams {
        let rows = batches.remove(&stream.name).unwrap_or_default();
        let (schema, rows) = as_text(&rows);
        let raw = format!("_raw_{}", stream.name);
        engine.bind(&raw, &TableRef::Rows { schema: schema.clone(), batches: rows }).await.unwrap();
        let select = contract(stream, &schema, &raw);
        engine.bind_view(&stream.name, &select, &[]).await.unwrap();
    }
    let mut tables: HashMap<String, Vec<serde_json::Value>> = HashMap::new();
    for mapping in source.mappings() {
        let table = canonical::table(&mapping.into).unwrap();
        let mut stream = match engine.read(&mapping.sql, &mapping.params).await {
            Ok(stream) => stream,
            Err(e) => panic!("{}: {e}", mapping.origin),
        };
        let rows = tables.entry(mapping.into.clone()).or_default();
        while let Some(batch) = stream.next().await {
            let batch = batch.unwrap_or_else(|e| panic!("{}: {e}", mapping.origin));
            for field in batch.schema().fields() {
                assert!(table.column(field.name()).is_some(), "{} has no {}", table.name, field.name());
            }
            let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
            writer.write(&batch).unwrap();
            writer.finish().unwrap();
            for line in writer.into_inner().split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                let row: serde_json::Value = serde_json::from_slice(line).unwrap();
                for column in table.columns.iter().filter(|c| c.required) {
                    assert!(
                        row.get(column.name).is_some(),
                        "{}: {} is null in {row}",
                        mapping.origin,
                        column.name
                    );
                }
                rows.push(row);
            }
        }
    }
    tables
}

/// Landing order: the engine's column of that name.
const SEQ: &str = "_tl_seq";

/// All batches under one schema, every column as text: types differ from batch to batch.
fn as_text(batches: &[RecordBatch]) -> (SchemaRef, Vec<RecordBatch>) {
    let mut fields: Vec<Field> = Vec::new();
    for batch in batches {
        for field in batch.schema().fields() {
            if !fields.iter().any(|f| f.name() == field.name()) {
                fields.push(Field::new(field.name(), DataType::Utf8, true));
            }
        }
    }
    if fields.is_empty() {
        fields.push(Field::new("_empty", DataType::Utf8, true));
    }
    fields.push(Field::new(SEQ, DataType::Int64, true));
    let schema = Arc::new(Schema::new(fields));
    let mut seq = 0;
    let rows = batches
        .iter()
        .map(|batch| {
            let from = seq;
            seq += batch.num_rows() as i64;
            let columns = schema.fields().iter().map(|f| match batch.column_by_name(f.name()) {
                _ if f.name() == SEQ => Arc::new(Int64Array::from_iter_values(from..seq)) as ArrayRef,
                Some(column) => arrow::compute::cast(column, &DataType::Utf8).unwrap(),
                None => arrow::array::new_null_array(&DataType::Utf8, batch.num_rows()),
            });
            RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
        })
        .collect();
    (schema, rows)
}

/// The columns of the contract in their types, as the engine gives them to mappings.
fn contract(spec: &StreamSpec, landed: &Schema, raw: &str) -> String {
    let mut columns = Vec::new();
    for column in &spec.columns {
        let name = format!("\"{}\"", column.name);
        let sql = if landed.field_with_name(&column.name).is_err() {
            format!("arrow_cast(NULL, '{}')", column.kind.arrow())
        } else {
            match column.kind {
                ColumnType::Text | ColumnType::Json => name.clone(),
                ColumnType::Instant => format!("parse_instant({name}, 'UTC')"),
                ColumnType::TextList => format!("json_list({name}, '[*]')"),
                kind => format!("arrow_cast({name}, '{}')", kind.arrow()),
            }
        };
        columns.push(format!("{sql} AS {name}"));
    }
    for field in landed.fields() {
        if !spec.columns.iter().any(|c| &c.name == field.name()) {
            columns.push(format!("\"{}\"", field.name()));
        }
    }
    let keyed = !spec.key.is_empty() && spec.key.iter().all(|k| landed.field_with_name(k).is_ok());
    let latest = if keyed {
        let key: Vec<String> = spec.key.iter().map(|k| format!("\"{k}\"")).collect();
        format!(" WHERE {SEQ} IN (SELECT max({SEQ}) FROM {raw} GROUP BY {})", key.join(", "))
    } else {
        String::new()
    };
    format!("SELECT {} FROM {raw}{latest}", columns.join(", "))
}

/// The options of the first source in a README's TOML example, as the engine would hand them over.
pub fn readme_options(readme: &str) -> (String, serde_json::Value) {
    let toml = readme.split("```toml").nth(1).and_then(|t| t.split("```").next()).expect("a TOML example");
    let document: toml::Value = toml::from_str(toml).unwrap();
    let source = document["source"].as_array().unwrap()[0].clone();
    let mut value = serde_json::to_value(source).unwrap();
    let object = value.as_object_mut().unwrap();
    object.remove("name");
    let connector = object.remove("connector").unwrap().as_str().unwrap().to_owned();
    for option in object.values_mut() {
        if option.get("env").is_some() {
            *option = serde_json::json!({"$secret": "from the environment"});
        }
    }
    (connector, value)
}

/// A folder beside the repository with vendors' samples, when it is there.
pub fn shared(path: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path);
    if !found.is_dir() {
        eprintln!("SKIPPED: {} is not here", found.display());
        return None;
    }
    Some(found)
}
