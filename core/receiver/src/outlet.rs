//! From the inbox into files of JSON lines that pipelines read, `throughline forget` goes over, and anybody
//! can pack and carry away: `<state>/inbox/<source>/<inbox>-<first seq>.jsonl`.
//!
//! A line is durable before the inbox hears of it, and names its `seq`: after a crash the last whole line tells
//! where to go on, so that each delivery has one line. A torn last line is taken off; nobody has read it. The
//! first letters of the inbox's own id are in the name, for a new inbox counts from 1 again.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use throughline_core::{Error, Result};
use throughline_store::inbox::{Delivery, Inbox, InboxReader, Refused};
use tokio_util::sync::CancellationToken;

/// Beside `inbox.db`.
pub const OUTLET_FOLDER: &str = "inbox";
/// Its name among the readers of the inbox.
const READER: &str = "outlet";
/// A file that has so many bytes is followed by a new one.
const FILE_BYTES: u64 = 64 << 20;
const EVERY: Duration = Duration::from_millis(250);
const AT_ONCE: usize = 4000;
const AT_ONCE_BYTES: usize = 16 << 20;

/// Before receiving begins: numbers that are in the files already are not given again, and every source has a
/// file, so that a run finds one although nothing came yet.
///
/// # Errors
/// The inbox or a file cannot be read.
pub fn prepare(inbox: &Inbox, sources: &[String], folder: &Path) -> Result<()> {
    let reader = inbox.reader()?;
    for source in sources {
        let mut out = Out::open(&folder.join(source), &reader)?;
        if out.last_seq > 0 {
            reader.skip_to(out.last_seq)?;
        }
        if out.file.is_none() {
            out.next(reader.position(source, READER)? + 1)?;
        }
    }
    Ok(())
}

/// Writes what comes for `sources` until `stop`, and then what is still there. A full disk or another trouble
/// is logged and tried again: until then the inbox keeps everything.
pub async fn outlet(inbox: Inbox, sources: Vec<String>, folder: PathBuf, stop: CancellationToken) {
    let mut troubled = false;
    loop {
        let last = stop.is_cancelled();
        let mut more = false;
        for source in &sources {
            match hand_on(&inbox, source, &folder).await {
                Ok(full) => more |= full,
                Err(error) if !troubled => {
                    troubled = true;
                    tracing::error!(source, "received, safe in the inbox, and not handed on: {error}");
                    continue;
                }
                Err(_) => continue,
            }
            troubled = false;
        }
        if more {
            continue;
        }
        if last {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// One batch of one source; true when there may be more at once.
async fn hand_on(inbox: &Inbox, source: &str, folder: &Path) -> Result<bool> {
    let (open, name, folder) = (inbox.clone(), source.to_owned(), folder.join(source));
    let work = move || -> Result<Option<(i64, bool)>> {
        let reader = open.reader()?;
        reader.register_once(&name, READER)?;
        let from = reader.position(&name, READER)?;
        if reader.read(&name, from, 1, 1)?.is_empty() {
            return Ok(None);
        }
        let mut file = Out::open(&folder, &reader)?;
        file.settle(from)?;
        let from = from.max(file.last_seq);
        let deliveries = reader.read(&name, from, AT_ONCE, AT_ONCE_BYTES)?;
        file.write(&deliveries)?;
        let to = deliveries.last().map_or(from, |d| d.seq);
        Ok(Some((to, deliveries.len() >= AT_ONCE)))
    };
    let done = tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::bug(format!("handing on broke off: {e}")).caused_by(e))??;
    let Some((seq, more)) = done else { return Ok(false) };
    match inbox.advance(source.into(), READER.into(), seq).await {
        Ok(()) => Ok(more),
        // The next time finds the lines written.
        Err(Refused::Busy) => Ok(false),
        Err(Refused::Failed(error)) => Err(error),
    }
}

struct Out {
    inbox: String,
    folder: PathBuf,
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    /// What stands before the newest file is in those before it.
    before: i64,
    last_seq: i64,
}

#[derive(Serialize)]
struct Line<'a> {
    seq: i64,
    received_at: i64,
    headers: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl Out {
    /// Opens the newest file, and takes off what a crash has left torn.
    fn open(folder: &Path, reader: &InboxReader) -> Result<Self> {
        let inbox = reader.id().get(..8).unwrap_or_default().to_owned();
        let io = |e: std::io::Error| Error::io("make the folder", folder.display(), e);
        private(folder).map_err(io)?;
        let mut newest: Option<(i64, PathBuf)> = None;
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let plain = path.extension().is_some_and(|e| e == "jsonl");
            let name = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.split_once('-'));
            let first = name.filter(|(of, _)| *of == inbox).and_then(|(_, seq)| seq.parse::<i64>().ok());
            if let Some(first) = first.filter(|_| plain)
                && newest.as_ref().is_none_or(|(n, _)| first > *n)
            {
                newest = Some((first, path));
            }
        }
        let mut out = Self {
            inbox,
            folder: folder.to_owned(),
            path: folder.to_owned(),
            file: None,
            bytes: 0,
            before: 0,
            last_seq: 0,
        };
        if let Some((first, path)) = newest {
            out.path = path;
            (out.before, out.last_seq) = (first - 1, first - 1);
            out.resume().map_err(|e| Error::io("write", out.path.display(), e))?;
        }
        Ok(out)
    }

    fn resume(&mut self) -> std::io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        let length = file.metadata()?.len();
        // The tail grows until it holds a line with a number; forgetting leaves lines of spaces.
        let mut want = 64 << 10;
        loop {
            let start = length.saturating_sub(want);
            let mut tail = Vec::new();
            file.seek(SeekFrom::Start(start))?;
            file.read_to_end(&mut tail)?;
            let whole = tail.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
            let found = tail[..whole].split(|b| *b == b'\n').rev().find_map(seq_of);
            if found.is_some() || start == 0 {
                let end = start + whole as u64;
                if end < length {
                    file.set_len(end)?;
                }
                self.last_seq = found.unwrap_or(self.last_seq);
                self.bytes = end;
                file.seek(SeekFrom::End(0))?;
                self.file = Some(file);
                return Ok(());
            }
            want *= 8;
        }
    }

    /// Makes lines behind the reader's cursor durable. They are in the file, which says nothing of the disk: the
    /// process before this one may have ended between writing and flushing, or flushing failed. After that the
    /// system takes its pages for written, and flushing once more would succeed and do nothing. So they are
    /// written once more, in place; from a line on that cannot be read back, the inbox gives them again.
    fn settle(&mut self, cursor: i64) -> Result<()> {
        if self.last_seq <= cursor {
            return Ok(());
        }
        self.write_again(cursor).map_err(|e| Error::io("write", self.path.display(), e))
    }

    fn write_again(&mut self, cursor: i64) -> std::io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        // Whoever is forgotten in these lines meanwhile would be there again.
        file.lock()?;
        let (mut start, mut lines) = (self.bytes, Vec::new());
        // Backwards, until what is known to be durable begins.
        while start > 0 {
            let before = start.saturating_sub(1 << 20);
            let mut more = vec![0; usize::try_from(start - before).unwrap_or(0)];
            file.seek(SeekFrom::Start(before))?;
            file.read_exact(&mut more)?;
            more.append(&mut lines);
            (start, lines) = (before, more);
            let whole = lines.split(|b| *b == b'\n').skip(1).find_map(seq_of);
            if whole.is_some_and(|seq| seq <= cursor) {
                break;
            }
        }
        let (mut at, mut from, mut last) = (0, None, self.before.max(cursor));
        let first = start == 0;
        for (n, line) in lines.split_inclusive(|b| *b == b'\n').enumerate() {
            let seq = seq_of(line);
            let cut = n == 0 && !first;
            // Lines of spaces are of somebody who was forgotten.
            let good = cut || seq.is_some() || line.iter().all(u8::is_ascii_whitespace);
            if from.is_none() && (seq.is_some_and(|seq| seq > cursor) || !good) {
                from = Some(at);
            }
            if from.is_some() && !good {
                break;
            }
            last = seq.unwrap_or(last);
            at += line.len();
        }
        let from = from.unwrap_or(at);
        let again = lines.get(from..at).unwrap_or_default();
        file.seek(SeekFrom::Start(start + from as u64))?;
        file.write_all(again)?;
        self.bytes = start + at as u64;
        self.last_seq = last;
        file.set_len(self.bytes)?;
        file.seek(SeekFrom::End(0))?;
        file.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    /// Durable when it returns.
    fn write(&mut self, deliveries: &[Delivery]) -> Result<()> {
        let mut rest = deliveries;
        while let Some(first) = rest.first() {
            if self.file.is_none() || self.bytes >= FILE_BYTES {
                self.next(first.seq)?;
            }
            let taken = self.write_some(rest).map_err(|e| Error::io("write", self.path.display(), e))?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    fn next(&mut self, seq: i64) -> Result<()> {
        self.path = self.folder.join(format!("{}-{seq:020}.jsonl", self.inbox));
        let make = || private_file().create(true).append(true).open(&self.path);
        let file = make().map_err(|e| Error::io("make", self.path.display(), e))?;
        (self.file, self.bytes) = (Some(file), 0);
        Ok(())
    }

    /// As many as the file takes; how many.
    fn write_some(&mut self, deliveries: &[Delivery]) -> std::io::Result<usize> {
        let Some(file) = &self.file else { return Ok(0) };
        let fresh = self.bytes == 0;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let mut taken = 0;
        for delivery in deliveries {
            if taken > 0 && self.bytes >= FILE_BYTES {
                break;
            }
            let line = line_of(delivery)?;
            out.write_all(&line)?;
            self.bytes += line.len() as u64;
            self.last_seq = delivery.seq;
            taken += 1;
        }
        out.flush()?;
        drop(out);
        file.sync_all()?;
        if fresh {
            // Its name, too.
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(taken)
    }
}

/// `None` for what is no whole line of ours.
fn seq_of(line: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Seq {
        seq: i64,
    }
    serde_json::from_slice::<Seq>(line).ok().map(|line| line.seq)
}

fn line_of(delivery: &Delivery) -> std::io::Result<Vec<u8>> {
    use base64::Engine as _;
    let text = std::str::from_utf8(&delivery.body).ok();
    let coded = || base64::engine::general_purpose::STANDARD.encode(&delivery.body);
    let headers: &RawValue = serde_json::from_str(&delivery.headers)?;
    let mut line = serde_json::to_vec(&Line {
        seq: delivery.seq,
        received_at: delivery.received_at_us,
        headers,
        body: text,
        body_base64: if text.is_none() { Some(coded()) } else { None },
    })?;
    line.push(b'\n');
    Ok(line)
}

fn private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
