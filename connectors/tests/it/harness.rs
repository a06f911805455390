//! Reads a stream and keeps what came.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use futures::StreamExt;
use serde_json::{Value, json};
use throughline_connectors::manifest::Manifest;
use throughline_core::{
    Checkpoint, Clock, Context, CountCheck, DynSource, Error, FixedClock, NoteStore, ReadEvent, ReadRequest,
    Redactor, Result, TokenLease, TokenPair, TokenStore, Window,
};
use throughline_http::{Client, HttpSettings, Limits};

/// 2026-09-01 00:00:00 UTC, in seconds.
pub const NOW: i64 = 1_788_220_800;

#[derive(Default)]
pub struct Memory {
    pub pairs: Mutex<BTreeMap<String, TokenPair>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What happened, in order: shared with the fixture server.
    pub log: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl NoteStore for Memory {
    async fn get(&self, _: &str) -> Result<Option<Value>> {
        Ok(None)
    }
    async fn put(&self, _: &str, _: Option<Value>) -> Result<()> {
        Ok(())
    }
    async fn list(&self, _: &str) -> Result<Vec<(String, Value)>> {
        Ok(Vec::new())
    }
}

pub struct Tokens(pub Arc<Memory>);
struct Lease(Arc<Memory>, String, #[allow(dead_code)] tokio::sync::OwnedMutexGuard<()>);

#[async_trait]
impl TokenStore for Tokens {
    async fn load(&self, account: &str) -> Result<Option<TokenPair>> {
        Ok(self.0.pairs.lock().unwrap().get(account).cloned())
    }
    async fn lease(&self, account: &str) -> Result<Box<dyn TokenLease>> {
        let turn = self.0.turn.clone().lock_owned().await;
        Ok(Box::new(Lease(self.0.clone(), account.to_owned(), turn)))
    }
}

#[async_trait]
impl TokenLease for Lease {
    async fn current(&self) -> Result<Option<TokenPair>> {
        Ok(self.0.pairs.lock().unwrap().get(&self.1).cloned())
    }
    async fn save(&mut self, pair: &TokenPair) -> Result<()> {
        self.0.log.lock().unwrap().push(format!("save {}", pair.access.expose()));
        self.0.pairs.lock().unwrap().insert(self.1.clone(), pair.clone());
        Ok(())
    }
}

pub struct World {
    pub ctx: Context,
    pub clock: Arc<FixedClock>,
    pub memory: Arc<Memory>,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(FixedClock::at_us(NOW * 1_000_000));
        let http = Client::new(
            &HttpSettings::default(),
            Arc::new(Limits::default()),
            clock.clone(),
            Redactor::new(),
        )
        .unwrap()
        .with_seed(1);
        let memory = Arc::new(Memory::default());
        let ctx = Context {
            name: "crm".into(),
            clock: clock.clone(),
            http: Arc::new(http),
            tokens: Arc::new(Tokens(memory.clone())),
            notes: memory.clone(),
            cancel: tokio_util::sync::CancellationToken::new(),
            scratch: std::env::temp_dir(),
        };
        Self { ctx, clock, memory }
    }
    pub async fn pass(&self, seconds: u64) {
        self.clock.sleep(std::time::Duration::from_secs(seconds)).await;
    }
    pub fn now(&self) -> i64 {
        self.clock.now_us() / 1_000_000
    }
}

/// What a read gave.
#[derive(Default)]
pub struct Got {
    /// Every row as column and text, in order.
    pub rows: Vec<BTreeMap<String, String>>,
    /// Checkpoints, with the number of rows before them.
    pub checkpoints: Vec<(usize, Checkpoint)>,
    pub rejects: Vec<(String, String)>,
    pub notices: Vec<String>,
    pub counts: Vec<CountCheck>,
    pub windows: Vec<String>,
    pub error: Option<Error>,
}

impl Got {
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.checkpoints.last().map(|(_, c)| c.clone())
    }
    /// The current version of each key: what the engine makes of it.
    pub fn latest(&self, key: &str) -> BTreeMap<String, BTreeMap<String, String>> {
        latest(&self.rows, key)
    }
    pub fn ok(self) -> Self {
        assert!(self.error.is_none(), "{:?}", self.error);
        self
    }
    pub fn has(&self, notice: &str) -> bool {
        self.notices.iter().any(|n| n.starts_with(notice))
    }
}

pub fn latest(rows: &[BTreeMap<String, String>], key: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    rows.iter().map(|row| (row[key].clone(), row.clone())).collect()
}

pub fn rows(batch: &RecordBatch) -> Vec<BTreeMap<String, String>> {
    let options = FormatOptions::default();
    let mut rows = vec![BTreeMap::new(); batch.num_rows()];
    for (column, field) in batch.columns().iter().zip(batch.schema().fields()) {
        let format = ArrayFormatter::try_new(column, &options).unwrap();
        for (i, row) in rows.iter_mut().enumerate() {
            if !column.is_null(i) && column.data_type() != &arrow::datatypes::DataType::Null {
                row.insert(field.name().clone(), format.value(i).to_string());
            }
        }
    }
    rows
}

pub fn request(stream: &str, checkpoint: Option<Checkpoint>) -> ReadRequest {
    ReadRequest { stream: stream.into(), checkpoint, window: None, max_pages: None }
}

pub fn window(stream: &str, from: i64, to: i64) -> ReadRequest {
    let window = Some(Window { from_us: from * 1_000_000, to_us: to * 1_000_000 });
    ReadRequest { stream: stream.into(), checkpoint: None, window, max_pages: None }
}

pub async fn read(world: &World, source: &DynSource, request: ReadRequest) -> Got {
    let mut got = Got::default();
    let mut events = match source.read(&world.ctx, request).await {
        Ok(events) => events,
        Err(error) => return Got { error: Some(error), ..got },
    };
    while let Some(event) = events.next().await {
        match event {
            Err(error) => got.error = Some(error),
            Ok(ReadEvent::Batch(batch)) => got.rows.extend(rows(&batch.rows)),
            Ok(ReadEvent::Checkpoint(c)) => {
                // It must survive the store.
                let text = serde_json::to_string(&c).unwrap();
                got.checkpoints.push((got.rows.len(), serde_json::from_str(&text).unwrap()));
            }
            Ok(ReadEvent::Rejected(r)) => got.rejects.push((r.place, r.reason)),
            Ok(ReadEvent::Notice(n)) => got.notices.push(format!("{}: {}", n.code, n.message)),
            Ok(ReadEvent::Count(c)) => got.counts.push(c),
            Ok(ReadEvent::WindowBegin { from_on, to_on, .. }) => {
                got.windows.push(format!("{from_on}..{to_on}"))
            }
            Ok(ReadEvent::WindowEnd { .. }) => got.windows.push("end".into()),
            Ok(_) => {}
        }
    }
    got
}

/// A source of a manifest text, whose `base_url` is `url`.
pub fn source(manifest: &str, url: &str, options: Value) -> DynSource {
    let manifest = Manifest::parse(manifest, "test.toml", &|_| Err("no files".into())).unwrap();
    let mut options = options;
    options["base_url"] = url.into();
    manifest.source(&options).unwrap()
}

pub fn secret(value: &str) -> Value {
    json!({"$secret": value})
}

/// Reads to the end, and from every checkpoint to the end: what was delivered before a checkpoint and what
/// comes behind it must together be everything.
pub async fn resumes_anywhere(world: &World, source: &DynSource, stream: &str, key: &str) -> Got {
    let whole = read(world, source, request(stream, None)).await.ok();
    let expected: Vec<String> = whole.latest(key).into_keys().collect();
    for (rows, checkpoint) in &whole.checkpoints[..whole.checkpoints.len() - 1] {
        let rest = read(world, source, request(stream, Some(checkpoint.clone()))).await.ok();
        let mut all = whole.rows[..*rows].to_vec();
        all.extend(rest.rows.clone());
        let found: Vec<String> = latest(&all, key).into_keys().collect();
        assert_eq!(found, expected, "resumed from {checkpoint:?}");
    }
    whole
}
