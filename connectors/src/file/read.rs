//! Reads the files one after the other, each a slice of the stream. A file that was broken off goes on where it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use throughline_core::{Checkpoint, Error, ReadEvent, Result};
use tokio_util::sync::CancellationToken;

use super::columns::Shape;
use super::config::{Format, Settings};
use super::sending::Sending;
use super::{delimited_rows, json_rows, parquet_rows};
use crate::flow::Out;
use crate::local::{self, Opened, Stamp};
use crate::slices::{self, Slice, Slices};

/// With more files than this, not every one gets a checkpoint of its own: each names all files.
const FEW_FILES: usize = 200;

/// What a checkpoint holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    slices: Slices,
    /// The file that is being read.
    open: Option<Open>,
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
        let mut state: State = slices::state(self.checkpoint.as_ref(), "a file source")?;
        let files = self.files()?;
        let mut pages_left = self.max_pages;
        if pages_left.is_none() {
            state.slices.forget_missing(&files, "rows", out)?;
            if state.open.as_ref().is_some_and(|o| !files.contains_key(&o.file)) {
                state.open = None;
            }
        }
        let mut read = 0;
        for (name, path) in &files {
            if self.cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
            let file = Slice::of(name, path)?;
            if state.slices.landed(file) {
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
            self.replace(file, &mut state, out)?;
            if files.len() <= FEW_FILES || read % FEW_FILES == 0 {
                out.send_blocking(ReadEvent::Checkpoint(slices::checkpoint(&state)))?;
            }
        }
        if pages_left.is_none() {
            out.send_blocking(ReadEvent::Checkpoint(slices::checkpoint(&state)))?;
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

    fn replace(&self, file: Slice<'_>, state: &mut State, out: &Out) -> Result<()> {
        let resumed = state.open.take().filter(|o| o.file == file.name && o.stamp == file.stamp);
        let open = resumed.unwrap_or_else(|| Open {
            file: file.name.to_owned(),
            id: state.slices.next_id(file.name),
            stamp: file.stamp,
            records: 0,
        });
        Slices::begin(file, &open.id, out)?;
        let at = |records| {
            let open = Open { records, ..open.clone() };
            slices::checkpoint(&State { open: Some(open), slices: state.slices.clone() })
        };
        self.send_file(file.name, file.path, open.records, &mut None, Some(&at), out)?;
        state.slices.end(file, open.id, out)
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
