//! An inbox in files of JSON lines.
//!
//! A file is known by how its content begins, not by its name: it may grow, be renamed or be packed, and
//! reading goes on where it was. Offsets count unpacked bytes.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use throughline_core::{Checkpoint, Error, Notice, Result};

use super::inbox::{Inbox, Item};
use crate::lines::{Lines, fill};
use crate::local::{self, Compression, Opened, Stamp};

/// A body may have 3 MB; base64 and escapes make more of it.
const LINE_MAX: usize = 16 << 20;
/// So many first bytes tell files apart.
const HEAD: u64 = 4096;

/// How far a file was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    name: String,
    /// SHA-256 of the first `head` bytes.
    head: u64,
    head_sha256: String,
    /// Unpacked bytes that were read.
    offset: u64,
    lines: u64,
    /// The file when it was read to its end.
    stamp: Option<Stamp>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Position {
    files: Vec<Known>,
}

pub(crate) struct FileInbox {
    position: Position,
    /// Files still to be read: path and index in `position`.
    queue: std::vec::IntoIter<(PathBuf, usize)>,
    current: Option<Current>,
    notices: Vec<Notice>,
}

struct Current {
    path: PathBuf,
    name: String,
    index: usize,
    lines: Lines<Opened>,
    /// Before it was opened.
    stamp: Stamp,
    /// First bytes of the content, at most [`HEAD`].
    start: Vec<u8>,
}

impl FileInbox {
    /// # Errors
    /// No file; `Data` when a file that was read is replaced or cut, unless `accept_replaced`.
    pub fn open(
        base: &Path,
        pattern: &str,
        from: Option<&Checkpoint>,
        accept_replaced: bool,
    ) -> Result<Self> {
        let before: Position = match from {
            None => Position::default(),
            Some(checkpoint) => serde_json::from_value(checkpoint.0.clone())
                .map_err(|e| Error::bug(format!("the checkpoint of an inbox cannot be read: {e}")))?,
        };
        let paths = local::find(base, pattern)?;
        if paths.is_empty() && before.files.is_empty() {
            return Err(local::not_found(base, pattern));
        }
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let name = path.strip_prefix(base).unwrap_or(&path).display().to_string();
            let start = start_of(&path)?;
            files.push((path, name, start));
        }
        // Under the old name first: of two copies the one that stayed is the one that was read.
        let mut taken: Vec<Option<usize>> = vec![None; before.files.len()];
        let mut of_file: Vec<Option<usize>> = vec![None; files.len()];
        for same_name in [true, false] {
            for (f, (_, name, start)) in files.iter().enumerate() {
                for (k, known) in before.files.iter().enumerate() {
                    let fits = (known.name == *name) == same_name
                        && (same_name || known.head > 0)
                        && known.begins(start);
                    if of_file[f].is_none() && taken[k].is_none() && fits {
                        (of_file[f], taken[k]) = (Some(k), Some(f));
                    }
                }
            }
        }
        let mut notices = Vec::new();
        let mut position = Position::default();
        for (known, taken) in before.files.iter().zip(&taken) {
            if taken.is_some() {
                continue;
            }
            let replaced = files.iter().any(|(_, name, _)| *name == known.name);
            if replaced && !accept_replaced {
                return Err(changed(
                    &known.name,
                    "holds other deliveries than when it was read",
                    known.offset,
                ));
            }
            let what = if replaced { "was replaced" } else { "is there no more" };
            notices.push(Notice {
                code: if replaced { "inbox_file_replaced" } else { "inbox_file_gone" }.into(),
                message: format!("{} {what}; {} bytes of it were read", known.name, known.offset),
            });
        }
        let mut queue = Vec::new();
        for ((path, name, _), known) in files.into_iter().zip(of_file) {
            let stamp = Stamp::of(&path)?;
            let mut known = known.and_then(|k| before.files.get(k)).cloned().unwrap_or_else(Known::fresh);
            known.name.clone_from(&name);
            let packed = Compression::of(&path) != Compression::None;
            if !packed && stamp.bytes < known.offset {
                if !accept_replaced {
                    return Err(changed(&name, "is shorter than what was read of it", known.offset));
                }
                notices.push(Notice {
                    code: "inbox_file_replaced".into(),
                    message: format!("{name} was cut; {} bytes of it were read", known.offset),
                });
                known = Known { name: name.clone(), ..Known::fresh() };
            }
            if known.stamp != Some(stamp) {
                queue.push((path, position.files.len()));
            }
            position.files.push(known);
        }
        Ok(Self { position, queue: queue.into_iter(), current: None, notices })
    }

    fn open_next(&mut self) -> Result<bool> {
        let Some((path, index)) = self.queue.next() else { return Ok(false) };
        let Some(known) = self.position.files.get(index) else { return Ok(false) };
        let stamp = Stamp::of(&path)?;
        let start = start_of(&path)?;
        let opened = Opened::open_at(&path, Compression::of(&path), known.offset)?;
        let lines = Lines::new(opened, LINE_MAX).starting_at(known.offset, known.lines);
        self.current = Some(Current { name: known.name.clone(), path, index, lines, stamp, start });
        Ok(true)
    }
}

impl Known {
    fn fresh() -> Self {
        Self { name: String::new(), head: 0, head_sha256: String::new(), offset: 0, lines: 0, stamp: None }
    }
    fn begins(&self, start: &[u8]) -> bool {
        let head = usize::try_from(self.head).unwrap_or(usize::MAX);
        self.head == 0 || start.get(..head).is_some_and(|s| sha256(s) == self.head_sha256)
    }
    fn read_to(&mut self, offset: u64, lines: u64, start: &[u8]) {
        (self.offset, self.lines) = (offset, lines);
        let head = offset.min(start.len() as u64);
        if head != self.head {
            self.head = head;
            self.head_sha256 = sha256(&start[..usize::try_from(head).unwrap_or(start.len())]);
        }
    }
}

impl Inbox for FileInbox {
    fn next(&mut self) -> Result<Option<Item<'_>>> {
        loop {
            if self.current.is_none() && !self.open_next()? {
                return Ok(None);
            }
            if self.advance()? {
                break;
            }
            self.current = None;
        }
        // The line that `advance` stopped at is still in the buffer.
        let current = self.current.as_ref().ok_or_else(|| Error::bug("no inbox file is open"))?;
        let line = current.lines.last();
        let broken = line
            .too_long
            .map(|length| format!("the record is {length} bytes long; at most {LINE_MAX} are taken"));
        let place = format!("{}:{}", current.name, line.number);
        Ok(Some(Item { record: line.bytes, place, broken }))
    }

    fn position(&self) -> Checkpoint {
        Checkpoint(serde_json::to_value(&self.position).unwrap_or_default())
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}

impl FileInbox {
    /// Goes to the next record of the current file; false at its end.
    fn advance(&mut self) -> Result<bool> {
        let Some(current) = &mut self.current else { return Ok(false) };
        let Some(known) = self.position.files.get_mut(current.index) else { return Ok(false) };
        loop {
            let line = match current.lines.next() {
                Ok(line) => line,
                Err(e) => return Err(current.lines.reader().error(e)),
            };
            let Some(line) = line else {
                known.stamp = (Stamp::of(&current.path)? == current.stamp).then_some(current.stamp);
                return Ok(false);
            };
            // Whoever writes may not be done with the last line: it is left for the next run.
            let whole = line.ended || serde_json::from_slice::<serde::de::IgnoredAny>(line.bytes).is_ok();
            if !whole {
                known.stamp = None;
                self.notices.push(Notice {
                    code: "inbox_line_incomplete".into(),
                    message: format!(
                        "{}:{} ends without a line feed and is no whole record; it is read when it is",
                        current.name, line.number
                    ),
                });
                return Ok(false);
            }
            let empty = line.bytes.trim_ascii().is_empty() && line.too_long.is_none();
            let number = line.number;
            let offset = current.lines.offset();
            known.read_to(offset, number, &current.start);
            if !empty {
                return Ok(true);
            }
        }
    }
}

/// The checkpoint for a file whose content was changed without moving a byte: its first bytes have another
/// hash, what was read of it stays read.
pub(super) fn after_change(checkpoint: &Checkpoint, name: &str, path: &Path) -> Result<Checkpoint> {
    let mut position: Position = serde_json::from_value(checkpoint.0.clone())
        .map_err(|e| Error::bug(format!("the checkpoint of an inbox cannot be read: {e}")))?;
    let start = start_of(path)?;
    let stamp = Stamp::of(path)?;
    for known in position.files.iter_mut().filter(|k| k.name == name) {
        let head = usize::try_from(known.head).unwrap_or(usize::MAX);
        let Some(bytes) = start.get(..head) else {
            return Err(Error::data(format!("{name} is shorter than what was read of it")));
        };
        known.head_sha256 = sha256(bytes);
        known.stamp = known.stamp.map(|_| stamp);
    }
    Ok(Checkpoint(serde_json::to_value(&position).unwrap_or_default()))
}

fn start_of(path: &Path) -> Result<Vec<u8>> {
    let mut opened = Opened::open(path, Compression::of(path))?;
    let mut start = vec![0; HEAD as usize];
    let mut length = 0;
    while length < start.len() {
        match fill(Read::by_ref(&mut opened), &mut start[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(e) => return Err(opened.error(e)),
        }
    }
    start.truncate(length);
    Ok(start)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn changed(name: &str, how: &str, offset: u64) -> Error {
    Error::data(format!("the inbox file {name} {how} ({offset} bytes were read)")).hint(
        "what the old one held behind them may be unread: let `inbox` name rotated files too (e.g. \
         \"inbox.jsonl*\"), or set `accept_replaced = true` when nothing is missing",
    )
}
