//! LAND: what a source delivers becomes durable, with the checkpoint it can go on from.
//!
//! Rows go into Parquet segments; at a checkpoint the finished segments, the rejected records and
//! the checkpoint itself become known to the ledger in one transaction. A crash before that leaves
//! files that no ledger row names: they are swept and the rows are read again from the checkpoint
//! before. So no row is lost and none is there twice.

mod budget;
mod segment;
pub mod widen;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use throughline_core::{
    Checkpoint, Context, CountCheck, Error, ErrorKind, Notice, Place, ReadEvent, ReadRequest, Reject, Result,
    Source,
};
use throughline_store::{
    LandCommit, NewDeadLetter, NewSegment, NewWindow, RunId, SegmentRow, Store, WindowRow,
};

pub use segment::{EXCHANGE, PAGE, SEQ, WINDOW, sync_folder, with_own_columns};
use segment::{Finished, Origin, SegmentWriter};

use crate::failpoint;
use crate::forget::{Marks, StreamScope};
use crate::progress::Progress;

/// A checkpoint is made durable after this many rows or bytes; more often costs many small files,
/// less often reads more again after a crash.
const COMMIT_ROWS: u64 = 50_000;
const COMMIT_BYTES: usize = 48 << 20;
/// Rejected records held in memory before they must be made durable.
const COMMIT_REJECT_BYTES: usize = 8 << 20;
/// Form of the raw part of a dead letter: the record as the source gave it.
const LETTER_FORM: i64 = 1;
/// The same notice (every page may widen) is reported once, and at most this many of a stream.
const MAX_NOTICES: usize = 50;

/// Where and as what a stream lands.
pub struct Target<'a> {
    pub store: &'a Store,
    /// Holds the store; file names in the ledger are relative to it.
    pub state_dir: &'a Path,
    pub pipeline: &'a str,
    pub source: &'a str,
    pub stream: &'a str,
    pub run: RunId,
    pub generation: i64,
    pub next_seq: i64,
    /// Vendor columns landed so far in this generation.
    pub schema: Option<SchemaRef>,
    /// False for a backfill window: what it reads lands, where reading goes on does not move.
    pub keep_checkpoints: bool,
    /// For streams that are read whole each time: tells whether what came is what was there before.
    pub hash_content: bool,
    /// Rows of people who were forgotten do not land.
    pub forgotten: Option<(&'a Marks, StreamScope)>,
    pub progress: &'a dyn Progress,
}

/// What came of reading one stream.
#[derive(Debug, Default)]
pub struct Landed {
    pub rows: u64,
    pub rejected: u64,
    pub bytes: u64,
    pub counts: Vec<CountCheck>,
    pub notices: Vec<Notice>,
}

/// Folder of a stream's raw segments, relative to the state folder.
pub fn raw_folder(pipeline: &str, source: &str, stream: &str) -> PathBuf {
    Path::new(pipeline).join("raw").join(format!("{source}.{stream}"))
}

pub async fn land_stream(
    source: &dyn Source,
    ctx: &Context,
    request: ReadRequest,
    target: Target<'_>,
) -> Result<Landed> {
    let name = format!("{}.{}", target.source, target.stream);
    let place = || Place::Stream { source: target.source.into(), stream: target.stream.into(), page: None };
    let folder = target.state_dir.join(raw_folder(target.pipeline, target.source, target.stream));
    std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", folder.display(), e))?;
    sync_folder(&folder)?;

    let mut landing = Landing {
        folder,
        name: name.clone(),
        schema: target.schema.clone(),
        next_seq: target.next_seq,
        writer: None,
        finished: Vec::new(),
        rejects: Vec::new(),
        reject_bytes: 0,
        window: None,
        windows_ended: Vec::new(),
        said: HashSet::new(),
        forgotten: 0,
        result: Landed::default(),
        target,
    };
    landing.target.progress.stream_started(&name);
    // A dry run reads one page: its windows have no end.
    let stops_early = request.max_pages.is_some();
    let mut events = source.read(ctx, request).await.map_err(|e| e.or_at(place))?;
    let mut latest: Option<Checkpoint> = None;
    let mut total = None;
    loop {
        let event = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => {
                // What was committed stays; the rest is read again.
                return Err(Error::cancelled().at(place()));
            }
            event = events.next() => event,
        };
        match event.transpose().map_err(|e| e.or_at(place))? {
            None => break,
            Some(ReadEvent::Batch(batch)) => {
                landing.append(&batch)?;
                let rows = landing.result.rows;
                landing.target.progress.stream_rows(&name, rows, total);
            }
            Some(ReadEvent::Checkpoint(checkpoint)) => {
                latest = Some(checkpoint);
                if landing.is_full() {
                    landing.commit(source, ctx, latest.take()).await?;
                }
            }
            Some(ReadEvent::Rejected(reject)) => landing.reject(reject),
            Some(ReadEvent::Notice(notice)) => landing.notice(notice),
            Some(ReadEvent::WindowBegin { id, from_on, to_on }) => {
                landing.begin_window(NewWindow { id, from_on, to_on, slice: None })?;
            }
            Some(ReadEvent::ReplaceBegin { id, slice }) => {
                landing.begin_window(NewWindow { id, from_on: 0, to_on: 0, slice: Some(slice) })?;
            }
            Some(ReadEvent::WindowEnd { id } | ReadEvent::ReplaceEnd { id }) => landing.end_window(&id)?,
            Some(ReadEvent::Count(count)) => landing.result.counts.push(count),
            Some(ReadEvent::Total(rows)) => total = Some(rows),
        }
    }
    if stops_early && let Some(id) = landing.window.as_ref().map(|w| w.id.clone()) {
        landing.end_window(&id)?;
    }
    if let Some(window) = &landing.window {
        return Err(Error::bug(format!("{name} ended inside the window {:?}", window.id)).at(place()));
    }
    landing.commit(source, ctx, latest).await?;
    if landing.forgotten > 0 {
        landing.notice(Notice {
            code: "forgotten_dropped".into(),
            message: format!(
                "{name}: {} rows are of people who were forgotten; none was kept",
                landing.forgotten
            ),
        });
    }
    Ok(landing.result)
}

struct Landing<'a> {
    target: Target<'a>,
    folder: PathBuf,
    name: String,
    /// Vendor columns of all rows so far.
    schema: Option<SchemaRef>,
    next_seq: i64,
    writer: Option<SegmentWriter>,
    finished: Vec<(Finished, Option<String>)>,
    rejects: Vec<Reject>,
    reject_bytes: usize,
    window: Option<NewWindow>,
    windows_ended: Vec<NewWindow>,
    said: HashSet<Notice>,
    /// Rows and rejects of people who were forgotten.
    forgotten: u64,
    result: Landed,
}

impl Landing<'_> {
    fn append(&mut self, batch: &throughline_core::Batch) -> Result<()> {
        let kept = match &self.target.forgotten {
            None => None,
            Some((marks, scope)) => {
                let filtered = marks.filter(&batch.rows, scope)?;
                self.forgotten += filtered.removed;
                filtered.rows
            }
        };
        let given = kept.as_ref().unwrap_or(&batch.rows);
        let rows = given.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let (schema, notices) = widen::widen(self.schema.as_ref(), &given.schema(), &self.name);
        for notice in notices {
            self.notice(notice);
        }
        let changed = self.schema.as_ref() != Some(&schema);
        if changed {
            self.close_writer()?;
            self.schema = Some(schema.clone());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(SegmentWriter::create(
                &self.folder,
                self.target.generation,
                self.next_seq,
                &schema,
                self.target.hash_content,
            )?),
        };
        debug_assert_eq!(writer.vendor_schema(), &schema);
        let origin = Origin {
            exchange: batch.exchange,
            page: &batch.page,
            window: self.window.as_ref().map(|w| w.id.as_str()),
        };
        writer.append(given, &origin)?;
        self.next_seq += rows as i64;
        self.result.rows += rows as u64;
        Ok(())
    }

    fn close_writer(&mut self) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            let window = self.window.as_ref().map(|w| w.id.clone());
            let finished = writer.finish()?;
            self.result.bytes += finished.bytes;
            self.finished.push((finished, window));
        }
        Ok(())
    }

    fn reject(&mut self, reject: Reject) {
        if let Some((marks, scope)) = &self.target.forgotten
            && (marks.speaks(scope, &String::from_utf8_lossy(&reject.raw))
                || marks.speaks(scope, &reject.reason))
        {
            self.forgotten += 1;
            return;
        }
        self.reject_bytes += reject.raw.len();
        self.result.rejected += 1;
        self.rejects.push(reject);
    }

    fn notice(&mut self, notice: Notice) {
        if self.result.notices.len() < MAX_NOTICES && self.said.insert(notice.clone()) {
            self.result.notices.push(notice);
        }
    }

    fn begin_window(&mut self, window: NewWindow) -> Result<()> {
        if let Some(open) = &self.window {
            return Err(Error::bug(format!("{}: {:?} begins inside {:?}", self.name, window.id, open.id)));
        }
        // A segment belongs to one window, so that whole files can be told apart.
        self.close_writer()?;
        self.window = Some(window);
        Ok(())
    }

    fn end_window(&mut self, id: &str) -> Result<()> {
        self.close_writer()?;
        match self.window.take() {
            Some(window) if window.id == id => {
                self.windows_ended.push(window);
                Ok(())
            }
            open => Err(Error::bug(format!("{}: window {id:?} ends but {open:?} is open", self.name))),
        }
    }

    fn is_full(&self) -> bool {
        let rows = self.writer.as_ref().map_or(0, |w| w.rows)
            + self.finished.iter().map(|(f, _)| f.rows).sum::<u64>();
        let bytes = self.writer.as_ref().map_or(0, SegmentWriter::bytes)
            + self.finished.iter().map(|(f, _)| f.bytes as usize).sum::<usize>();
        rows >= COMMIT_ROWS || bytes >= COMMIT_BYTES || self.reject_bytes >= COMMIT_REJECT_BYTES
    }

    /// Everything so far becomes durable with `checkpoint`, in one ledger transaction.
    async fn commit(
        &mut self,
        source: &dyn Source,
        ctx: &Context,
        checkpoint: Option<Checkpoint>,
    ) -> Result<()> {
        self.close_writer()?;
        let finished = std::mem::take(&mut self.finished);
        let rejects = std::mem::take(&mut self.rejects);
        let windows_ended = std::mem::take(&mut self.windows_ended);
        self.reject_bytes = 0;
        let kept = if self.target.keep_checkpoints { checkpoint } else { None };
        if finished.is_empty() && rejects.is_empty() && windows_ended.is_empty() && kept.is_none() {
            return Ok(());
        }
        if !finished.is_empty() {
            sync_folder(&self.folder)?;
            failpoint::pass("land.segment_written");
        }
        let target = &self.target;
        let segments = finished
            .into_iter()
            .map(|(f, window)| {
                let file = f.path.strip_prefix(target.state_dir).unwrap_or(&f.path);
                Ok(NewSegment {
                    file: file.to_str().ok_or_else(|| Error::bug("a segment path is not UTF-8"))?.to_owned(),
                    rows: f.rows,
                    bytes: f.bytes,
                    seq_from: f.seq_from,
                    schema: serde_json::json!({
                        "columns": schema_to_json(&f.schema),
                        "content": f.content,
                    }),
                    window,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let rejects = rejects
            .into_iter()
            .map(|r| NewDeadLetter {
                pipeline: target.pipeline.to_owned(),
                source: target.source.to_owned(),
                stream: target.stream.to_owned(),
                stage: "read".into(),
                reason: r.reason,
                place: r.place,
                raw: r.raw.to_vec(),
                schema_version: LETTER_FORM,
            })
            .collect();
        target
            .store
            .land(LandCommit {
                pipeline: target.pipeline.to_owned(),
                source: target.source.to_owned(),
                stream: target.stream.to_owned(),
                generation: target.generation,
                run: target.run,
                at_us: ctx.clock.now_us(),
                segments,
                checkpoint: kept.clone(),
                windows_ended,
                rejects,
            })
            .await?;
        failpoint::pass("land.committed");
        if let Some(checkpoint) = &kept {
            source.committed(ctx, target.stream, checkpoint).await?;
            failpoint::pass("land.acknowledged");
        }
        Ok(())
    }
}

/// Removes files of a stream's raw folder that the ledger does not know: what a crash left.
pub fn sweep(
    state_dir: &Path,
    pipeline: &str,
    source: &str,
    stream: &str,
    known: &HashSet<String>,
) -> Result<u64> {
    let folder = raw_folder(pipeline, source, stream);
    let entries = match std::fs::read_dir(state_dir.join(&folder)) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(Error::io("list", state_dir.join(&folder).display(), e)),
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("list", folder.display(), e))?;
        let relative = folder.join(entry.file_name());
        if !relative.to_str().is_some_and(|r| known.contains(r)) {
            std::fs::remove_file(entry.path()).map_err(|e| Error::io("remove", entry.path().display(), e))?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Column names and arrow types, as the ledger keeps them.
pub fn schema_to_json(schema: &SchemaRef) -> serde_json::Value {
    schema
        .fields()
        .iter()
        .map(|f| serde_json::json!([f.name(), f.data_type().to_string()]))
        .collect::<Vec<_>>()
        .into()
}

/// The segments whose rows may count: not of a window that never ended, nor of a slice that a later
/// read replaced. Of windows over days, which rows count is decided day by day.
pub fn counting_segments(segments: Vec<SegmentRow>, windows: &[WindowRow]) -> Vec<SegmentRow> {
    let mut slices: HashMap<&str, &str> = HashMap::new();
    let mut counting: HashSet<&str> = HashSet::new();
    for window in windows {
        match &window.slice {
            Some(slice) => drop(slices.insert(slice, &window.id)),
            None => drop(counting.insert(&window.id)),
        }
    }
    counting.extend(slices.values());
    segments.into_iter().filter(|s| s.window.as_deref().is_none_or(|w| counting.contains(w))).collect()
}

/// The schema of a landed segment.
pub fn segment_schema(segment: &SegmentRow) -> Result<SchemaRef> {
    schema_from_json(&segment.schema["columns"])
}

/// Equal for segments that hold the same records, as far as that is known.
pub fn segment_content(segment: &SegmentRow) -> &str {
    segment.schema["content"].as_str().unwrap_or(&segment.file)
}

pub fn schema_from_json(value: &serde_json::Value) -> Result<SchemaRef> {
    use arrow::datatypes::{DataType, Field, Schema};
    let broken = || Error::new(ErrorKind::Data, format!("the ledger holds an unreadable schema: {value}"));
    let fields: Result<Vec<Field>> = value
        .as_array()
        .ok_or_else(broken)?
        .iter()
        .map(|pair| {
            let name = pair.get(0).and_then(|v| v.as_str()).ok_or_else(broken)?;
            let kind = pair.get(1).and_then(|v| v.as_str()).ok_or_else(broken)?;
            let kind: DataType = kind.parse().map_err(|_| broken())?;
            Ok(Field::new(name, kind, true))
        })
        .collect();
    Ok(std::sync::Arc::new(Schema::new(fields?)))
}

/// The vendor's columns of a landed schema.
pub fn vendor_part(schema: &SchemaRef) -> SchemaRef {
    use arrow::datatypes::Schema;
    let fields: Vec<_> = schema.fields().iter().filter(|f| !f.name().starts_with("_tl_")).cloned().collect();
    std::sync::Arc::new(Schema::new(fields))
}
