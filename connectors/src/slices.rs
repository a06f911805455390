//! Files as slices of a stream: what changed is read as a whole, and its rows stand in place of those that the file
//! had when it was read last; what did not change is not read. So an edited file counts once, and a file that is gone
//! does not count any more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use throughline_core::{Checkpoint, Error, Notice, ReadEvent, Result};

use crate::flow::Out;
use crate::local::Stamp;

/// What a checkpoint remembers of files.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Slices {
    /// Files whose rows landed, as they were then.
    files: BTreeMap<String, Stamp>,
    /// Counts replaces: makes their ids unique.
    serial: u64,
}

/// A file by its name in checkpoints and messages, as it was when it was first looked at.
#[derive(Clone, Copy)]
pub(crate) struct Slice<'a> {
    pub name: &'a str,
    pub path: &'a Path,
    pub stamp: Stamp,
}

impl<'a> Slice<'a> {
    pub fn of(name: &'a str, path: &'a Path) -> Result<Self> {
        Ok(Self { name, path, stamp: Stamp::of(path)? })
    }
}

impl Slices {
    pub fn landed(&self, file: Slice<'_>) -> bool {
        self.files.get(file.name) == Some(&file.stamp)
    }

    pub fn next_id(&mut self, name: &str) -> String {
        self.serial += 1;
        format!("{name}#{}", self.serial)
    }

    /// Takes out what files had that are there no more; `rows` is what users call it.
    pub fn forget_missing(&mut self, files: &BTreeMap<String, PathBuf>, rows: &str, out: &Out) -> Result<()> {
        let gone: Vec<String> = self.files.keys().filter(|n| !files.contains_key(*n)).cloned().collect();
        for name in gone {
            self.files.remove(&name);
            let id = self.next_id(&name);
            out.send_blocking(ReadEvent::ReplaceBegin { id: id.clone(), slice: name.clone() })?;
            out.send_blocking(ReadEvent::ReplaceEnd { id })?;
            out.send_blocking(ReadEvent::Notice(Notice {
                code: "file_gone".into(),
                message: format!("{name} is there no more: its {rows} do not count any more"),
            }))?;
        }
        Ok(())
    }

    /// What is sent from here on stands in place of what the file had.
    pub fn begin(file: Slice<'_>, id: &str, out: &Out) -> Result<()> {
        out.send_blocking(ReadEvent::ReplaceBegin { id: id.to_owned(), slice: file.name.to_owned() })
    }

    /// To be called when everything was sent.
    pub fn end(&mut self, file: Slice<'_>, id: String, out: &Out) -> Result<()> {
        if Stamp::of(file.path)? != file.stamp {
            return Err(Error::data(format!("{} changed while it was read", file.name))
                .hint("write it under another name and rename it when it is whole")
                .temporary(None));
        }
        out.send_blocking(ReadEvent::ReplaceEnd { id })?;
        self.files.insert(file.name.to_owned(), file.stamp);
        Ok(())
    }

    /// Reads what changed, with a checkpoint behind each file.
    pub fn each_changed(
        mut self,
        files: &BTreeMap<String, PathBuf>,
        rows: &str,
        out: &Out,
        mut send: impl FnMut(&str, &Path) -> Result<()>,
    ) -> Result<()> {
        self.forget_missing(files, rows, out)?;
        for (name, path) in files {
            let file = Slice::of(name, path)?;
            if self.landed(file) {
                continue;
            }
            let id = self.next_id(name);
            Self::begin(file, &id, out)?;
            send(name, path)?;
            self.end(file, id, out)?;
            out.send_blocking(ReadEvent::Checkpoint(checkpoint(&self)))?;
        }
        out.send_blocking(ReadEvent::Checkpoint(checkpoint(&self)))
    }
}

/// A checkpoint of `state`.
pub(crate) fn checkpoint(state: &impl Serialize) -> Checkpoint {
    Checkpoint(serde_json::to_value(state).unwrap_or_default())
}

/// What a checkpoint of ours held; the first run has none.
pub(crate) fn state<S: DeserializeOwned + Default>(of: Option<&Checkpoint>, what: &str) -> Result<S> {
    of.map_or(Ok(S::default()), |checkpoint| {
        serde_json::from_value(checkpoint.0.clone())
            .map_err(|e| Error::bug(format!("the checkpoint of {what} cannot be read: {e}")))
    })
}
