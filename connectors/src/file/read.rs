//! Reads the files one after the other: what changed, as a whole; what did not, not at all.
//!
//! Every file is a slice of the stream: its rows stand in place of those it had when it was read
//! last. So an edited file counts once, and a file that is gone does not count any more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use throughline_core::{Checkpoint, Error, Notice, ReadEvent, Result};
use tokio_util::sync::CancellationToken;

use super::columns::Shape;
use super::config::{Format, Settings};
use super::sending::Sending;
use super::{delimited_rows, json_rows, parquet_rows};
use crate::flow::Out;
use crate::local::{self, Opened, Stamp};

/// With more files than this, not every one gets a checkpoint of its own: each names all files.
const FEW_FILES: usize = 200;

/// What a checkpoint holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    /// Files whose rows landed, as they were then.
    files: BTreeMap<String, Stamp>,
    /// The file that is being read.
    open: Option<Open>,
    /// Counts replaces: makes their ids unique.
    serial: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Open {
    file: String,
    id: String,
    stamp: Stamp,
    /// Records that landed, rejected ones included.
    records: u64,
}

pub(crate) struct Job {
    pub settings: Settings,
    pub checkpoint: Option<Checkpoint>,
    /// Set for a preview: so many batches, and no word about what they replace.
    pub max_pages: Option<u64>,
    pub cancel: CancellationToken,
}

impl Job {
    pub fn run(self, out: &Out) -> Result<()> {
        let mut state: State = match &self.checkpoint {
            None => State::default(),
            Some(checkpoint) => serde_json::from_value(checkpoint.0.clone())
                .map_err(|e| Error::bug(format!("the checkpoint of a file source cannot be read: {e}")))?,
        };
        let files = self.files()?;
        let mut pages_left = self.max_pages;
        if pages_left.is_none() {
            self.forget_missing(&files, &mut state, out)?;
        }
        let mut read = 0;
        for (name, path) in &files {
            if self.cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
            let stamp = Stamp::of(path)?;
            if state.files.get(name) == Some(&stamp) {
                continue;
            }
            read += 1;
            if pages_left.is_some() {
                self.send_file(name, path, 0, &mut pages_left, None, out)?;
                if pages_left == Some(0) {
                    return Ok(());
                }
                continue;
            }
            self.replace(name, path, stamp, &mut state, out)?;
            if files.len() <= FEW_FILES || read % FEW_FILES == 0 {
                out.send_blocking(ReadEvent::Checkpoint(checkpoint(&state)))?;
            }
        }
        if pages_left.is_none() {
            out.send_blocking(ReadEvent::Checkpoint(checkpoint(&state)))?;
        }
        Ok(())
    }

    /// Names as they stand in checkpoints and messages, and paths.
    fn files(&self) -> Result<BTreeMap<String, PathBuf>> {
        let mut files = BTreeMap::new();
        for pattern in &self.settings.patterns {
            files.append(&mut local::find_named(&self.settings.base_dir, pattern)?);
        }
        Ok(files)
    }

    fn forget_missing(&self, files: &BTreeMap<String, PathBuf>, state: &mut State, out: &Out) -> Result<()> {
        let gone: Vec<String> = state.files.keys().filter(|n| !files.contains_key(*n)).cloned().collect();
        for name in gone {
            state.files.remove(&name);
            state.serial += 1;
            let id = format!("{name}#{}", state.serial);
            out.send_blocking(ReadEvent::ReplaceBegin { id: id.clone(), slice: name.clone() })?;
            out.send_blocking(ReadEvent::ReplaceEnd { id })?;
            out.send_blocking(ReadEvent::Notice(Notice {
                code: "file_gone".into(),
                message: format!("{name} is there no more: its rows do not count any more"),
            }))?;
        }
        if state.open.as_ref().is_some_and(|o| !files.contains_key(&o.file)) {
            state.open = None;
        }
        Ok(())
    }

    fn replace(&self, name: &str, path: &Path, stamp: Stamp, state: &mut State, out: &Out) -> Result<()> {
        let resumed = state.open.take().filter(|o| o.file == name && o.stamp == stamp);
        let open = resumed.unwrap_or_else(|| {
            state.serial += 1;
            let id = format!("{name}#{}", state.serial);
            Open { file: name.to_owned(), id, stamp, records: 0 }
        });
        let id = open.id.clone();
        out.send_blocking(ReadEvent::ReplaceBegin { id: id.clone(), slice: name.to_owned() })?;
        let at = |records| {
            let open = Open { records, ..open.clone() };
            checkpoint(&State { open: Some(open), ..state.clone() })
        };
        self.send_file(name, path, open.records, &mut None, Some(&at), out)?;
        if Stamp::of(path)? != stamp {
            return Err(Error::data(format!("{name} changed while it was read"))
                .hint("write it under another name and rename it when it is whole")
                .temporary(None));
        }
        out.send_blocking(ReadEvent::ReplaceEnd { id })?;
        state.files.insert(name.to_owned(), stamp);
        Ok(())
    }

    fn send_file(
        &self,
        name: &str,
        path: &Path,
        skip: u64,
        pages_left: &mut Option<u64>,
        checkpoint: Option<&dyn Fn(u64) -> Checkpoint>,
        out: &Out,
    ) -> Result<()> {
        let settings = &self.settings;
        let Some(format) = settings.format(path) else {
            return Err(Error::config(format!("{name}: its name does not tell its format"))
                .hint("set `format` to csv, tsv, jsonl or parquet"));
        };
        let mut to = Sending {
            out,
            cancel: &self.cancel,
            skip,
            records: 0,
            pages_left: *pages_left,
            since_checkpoint: 0,
            checkpoint,
        };
        let shape = Shape::new(settings);
        match format {
            Format::Parquet => parquet_rows::send(name, path, &shape, &mut to)?,
            Format::Jsonl => {
                let opened = Opened::open(path, settings.compression(path))?;
                json_rows::send(name, opened, settings, &shape, &mut to)?;
            }
            Format::Csv | Format::Tsv => {
                let opened = Opened::open(path, settings.compression(path))?;
                let reader = delimited_rows::Reader::open(name, opened, settings, format)?;
                let names: Vec<&str> = reader.names().iter().map(String::as_str).collect();
                if names.is_empty() {
                    to.notice("file_empty", format!("{name} is empty"))?;
                } else {
                    shape.check_names(name, &names)?;
                    self.tell_missing(&names, name, &to)?;
                    reader.send(&mut to)?;
                }
            }
        }
        *pages_left = to.pages_left;
        Ok(())
    }

    /// A column the options speak of is null in every row when a file has not got it.
    fn tell_missing(&self, names: &[&str], file: &str, to: &Sending<'_>) -> Result<()> {
        for column in self.settings.columns.iter().filter(|c| !names.contains(&c.name.as_str())) {
            to.notice("column_missing", format!("{file} has no column {:?}; it is null there", column.name))?;
        }
        Ok(())
    }
}

fn checkpoint(state: &State) -> Checkpoint {
    Checkpoint(serde_json::to_value(state).unwrap_or_default())
}
