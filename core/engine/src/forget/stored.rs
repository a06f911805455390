//! What is stored of a pipeline, without the people who are to be forgotten: landed segments, dead letters,
//! reports of runs.
//!
//! Each place is gone over again from its beginning after a crash; what is done already holds nothing more
//! to do.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use throughline_core::{Error, ErrorKind, Result, Scrubbed};
use throughline_store::{DeadLetterFilter, ReplacedSegment, SegmentRow, Store};

use super::marks::Marks;
use super::rows::StreamScope;
use crate::failpoint;
use crate::land::sync_folder;

/// Rows read at once.
const BATCH_ROWS: usize = 8192;

/// One pipeline's stored places.
pub struct Stored<'a> {
    pub store: &'a Store,
    pub state_dir: &'a Path,
    pub pipeline: &'a str,
    pub marks: &'a Marks,
    /// By source and stream; a stream that is no longer in the pipeline is taken for one of people.
    pub scopes: &'a HashMap<(String, String), StreamScope>,
    /// False: only count.
    pub apply: bool,
}

impl Stored<'_> {
    fn scope(&self, source: &str, stream: &str) -> StreamScope {
        let found = self.scopes.get(&(source.to_owned(), stream.to_owned()));
        found.cloned().unwrap_or_else(|| StreamScope::anywhere(source))
    }

    /// Rewrites every segment that holds something: a new durable file, the switch in the ledger, then the
    /// old file goes.
    pub async fn segments(&self) -> Result<Vec<Scrubbed>> {
        if self.apply {
            // What a crash left of the last try.
            self.remove_garbage().await?;
        }
        let mut done: Vec<Scrubbed> = Vec::new();
        for segment in self.store.all_segments(self.pipeline).await? {
            let place = format!("landed rows of {}.{}", segment.source, segment.stream);
            let scope = self.scope(&segment.source, &segment.stream);
            let path = self.state_dir.join(&segment.file);
            let (removed, changed) = look(&path, self.marks, &scope)?;
            if removed + changed == 0 {
                continue;
            }
            match done.iter_mut().find(|s| s.place == place) {
                Some(same) => {
                    same.removed += removed;
                    same.changed += changed;
                }
                None => done.push(Scrubbed { place, removed, changed }),
            }
            if self.apply {
                self.rewrite(&segment, &path, &scope).await?;
            }
        }
        Ok(done)
    }

    async fn rewrite(&self, segment: &SegmentRow, path: &Path, scope: &StreamScope) -> Result<()> {
        let target = next_name(path);
        let (rows, bytes) = write_without(path, &target, self.marks, scope)?;
        failpoint::pass("forget.segment_written");
        let file = target.strip_prefix(self.state_dir).unwrap_or(&target);
        let file = file.to_str().ok_or_else(|| Error::bug("a segment path is not UTF-8"))?.to_owned();
        // What it holds is no longer what was read: a name of its own makes it new.
        let mut schema = segment.schema.clone();
        if let Some(object) = schema.as_object_mut() {
            object.insert("content".into(), serde_json::Value::Null);
        }
        let replaced = ReplacedSegment { id: segment.id, file, rows, bytes, schema };
        self.store.replace_segments(self.pipeline, vec![replaced]).await?;
        failpoint::pass("forget.segment_switched");
        self.remove_garbage().await?;
        failpoint::pass("forget.segment_removed");
        Ok(())
    }

    /// Files of the ledger's garbage, and files that no ledger row names.
    async fn remove_garbage(&self) -> Result<()> {
        let files = self.store.garbage(self.pipeline).await?;
        for file in &files {
            let path = self.state_dir.join(file);
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", path.display(), e));
                }
                _ => {}
            }
        }
        self.store.garbage_deleted(files).await
    }

    /// Files in the raw folders that the ledger does not name: a crash left them, with rows of anybody.
    pub async fn unknown_files(&self) -> Result<u64> {
        let known = self.store.segment_files(self.pipeline).await?;
        let raw = self.state_dir.join(self.pipeline).join("raw");
        let mut removed = 0;
        let Ok(streams) = std::fs::read_dir(&raw) else { return Ok(0) };
        for stream in streams.flatten() {
            let Ok(files) = std::fs::read_dir(stream.path()) else { continue };
            for file in files.flatten() {
                let path = file.path();
                let name = path.strip_prefix(self.state_dir).ok().and_then(Path::to_str);
                if name.is_some_and(|n| !known.contains(n)) && path.is_file() {
                    removed += 1;
                    if self.apply {
                        std::fs::remove_file(&path).map_err(|e| Error::io("remove", path.display(), e))?;
                    }
                }
            }
        }
        Ok(removed)
    }

    /// Deletes every letter that speaks of the person: a record that could not be used is of no use to the
    /// money either.
    pub async fn dead_letters(&self) -> Result<Scrubbed> {
        let mut ids = Vec::new();
        let mut before_id = None;
        loop {
            let filter = DeadLetterFilter {
                pipeline: Some(self.pipeline.to_owned()),
                before_id,
                ..Default::default()
            };
            let page = self.store.dead_letters(filter, 500).await?;
            let Some(last) = page.last() else { break };
            before_id = Some(last.id);
            for letter in &page {
                let scope = self.scope(&letter.source, &letter.stream);
                let raw = String::from_utf8_lossy(&letter.raw);
                if self.marks.speaks(&scope, &raw) || self.marks.speaks(&scope, &letter.reason) {
                    ids.push(letter.id);
                }
            }
        }
        let removed = ids.len() as u64;
        if self.apply && removed > 0 {
            self.store.delete_dead_letters(ids).await?;
            failpoint::pass("forget.letters_deleted");
        }
        Ok(Scrubbed { place: "dead letters".into(), removed, changed: 0 })
    }

    /// Errors and notices of runs may quote a value.
    pub async fn run_reports(&self) -> Result<Scrubbed> {
        let scope = StreamScope::anywhere("");
        let mut changed = Vec::new();
        for run in self.store.runs(Some(self.pipeline), u32::MAX).await? {
            let Some(report) = run.report else { continue };
            let judged = self.marks.judge(&scope.scope, &["report".to_owned()], &report.to_string());
            if let Some(Some(text)) = judged.masked {
                let report = serde_json::from_str(&text)
                    .map_err(|e| Error::bug(format!("a report without the person is no JSON: {e}")))?;
                changed.push((run.id, report));
            }
        }
        let count = changed.len() as u64;
        if self.apply && count > 0 {
            self.store.change_run_reports(changed).await?;
        }
        Ok(Scrubbed { place: "reports of runs".into(), removed: 0, changed: count })
    }
}

impl Marks {
    /// Whether a text of any form holds an identifier, as the record's own or in passing.
    pub fn speaks(&self, scope: &StreamScope, text: &str) -> bool {
        let path = ["record".to_owned()];
        let judged = self.judge(&scope.scope, &path, text);
        if judged.owner || judged.masked.is_some() {
            return true;
        }
        // A line of a CSV file, or JSON that is cut: its parts.
        text.split(|c: char| c.is_whitespace() || ",;\t|\"'{}[]()=".contains(c))
            .map(|part| part.trim_matches([':', '.']))
            .filter(|part| part.len() >= 5)
            .any(|part| self.judge(&scope.scope, &path, part).owner)
    }
}

fn parquet_error(path: &Path, e: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {e}", path.display()))
}

fn reader(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).map_err(|e| Error::io("open", path.display(), e))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| parquet_error(path, e))?;
    Ok(reader.with_batch_size(BATCH_ROWS))
}

/// How many rows of a file would be removed and changed.
pub fn look(path: &Path, marks: &Marks, scope: &StreamScope) -> Result<(u64, u64)> {
    let rows = reader(path)?.build().map_err(|e| parquet_error(path, e))?;
    let (mut removed, mut changed) = (0, 0);
    for batch in rows {
        let filtered = marks.filter(&batch?, scope)?;
        removed += filtered.removed;
        changed += filtered.changed;
    }
    Ok((removed, changed))
}

fn write_without(path: &Path, target: &Path, marks: &Marks, scope: &StreamScope) -> Result<(u64, u64)> {
    let builder = reader(path)?;
    let schema = builder.schema().clone();
    let temporary = target.with_extension("tmp");
    let file = File::create(&temporary).map_err(|e| Error::io("create", temporary.display(), e))?;
    let level = ZstdLevel::try_new(1).map_err(|e| parquet_error(&temporary, e))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(32_768))
        .build();
    let mut writer =
        ArrowWriter::try_new(file, schema, Some(properties)).map_err(|e| parquet_error(&temporary, e))?;
    let mut count = 0;
    for batch in builder.build().map_err(|e| parquet_error(path, e))? {
        let batch = batch?;
        let batch = marks.filter(&batch, scope)?.rows.unwrap_or(batch);
        count += batch.num_rows() as u64;
        writer.write(&batch).map_err(|e| parquet_error(&temporary, e))?;
    }
    let file = writer.into_inner().map_err(|e| parquet_error(&temporary, e))?;
    file.sync_all().map_err(|e| Error::io("flush", temporary.display(), e))?;
    let bytes = file.metadata().map_err(|e| Error::io("look at", temporary.display(), e))?.len();
    drop(file);
    std::fs::rename(&temporary, target).map_err(|e| Error::io("rename to", target.display(), e))?;
    if let Some(folder) = target.parent() {
        sync_folder(folder)?;
    }
    Ok((count, bytes))
}

/// `g0001-000.parquet` -> `g0001-000.f1.parquet` -> `g0001-000.f2.parquet`
fn next_name(path: &Path) -> PathBuf {
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or("segment");
    let (base, number) = match stem.rsplit_once(".f") {
        Some((base, n)) => (base, n.parse::<u64>().unwrap_or(0)),
        None => (stem, 0),
    };
    path.with_file_name(format!("{base}.f{}.parquet", number + 1))
}
