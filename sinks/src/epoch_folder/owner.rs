//! Whose folder it is. A sink deletes old epochs, so it works only in a folder that it has found empty
//! and marked as its own.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use throughline_core::{Error, Result};

use crate::files::{list, write_whole};

pub(crate) const MARKER: &str = "_throughline.json";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub connector: String,
    /// The sink's name in the pipeline file: two sinks in one folder would take `current` from each other.
    pub sink: String,
}

pub(super) enum Found {
    Nothing,
    Empty,
    Ours,
}

impl Owner {
    /// Whether the folder may be used; touches nothing.
    pub(super) fn check(&self, root: &Path) -> Result<Found> {
        match fs::metadata(root) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                return Err(Error::config(format!("{} is no folder", root.display()))
                    .hint("`path` names the folder that tables are written to"));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(e) => return Err(Error::io("open", root.display(), e)),
        }
        let marker = root.join(MARKER);
        match fs::read(&marker) {
            Ok(text) => {
                return self.read(&text, &root.display(), &marker.display()).map(|()| Found::Ours);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("read", marker.display(), e)),
        }
        let mut foreign: Vec<String> = list(root)?
            .iter()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            // Hidden files are the system's or our own half-written marker, lost+found is a fresh volume's.
            .filter(|name| !name.starts_with('.') && name != "lost+found")
            .collect();
        if foreign.iter().any(|name| name == MARKER) {
            // Made by another process since we looked.
            return self.check(root);
        }
        if foreign.is_empty() {
            return Ok(Found::Empty);
        }
        foreign.sort();
        let more = if foreign.len() > 3 { ", ..." } else { "" };
        foreign.truncate(3);
        Err(Error::config(format!("{} holds files of others: {}{more}", root.display(), foreign.join(", ")))
            .hint(
                "give the sink an empty folder, or one that does not exist yet: it deletes old epochs there",
            ))
    }

    /// Whether the marker at `marker`, which says whose `place` is, names this sink.
    pub(crate) fn read(&self, text: &[u8], place: &dyn Display, marker: &dyn Display) -> Result<()> {
        let owner: Self =
            serde_json::from_slice(text).map_err(|e| Error::data(format!("{marker} cannot be read: {e}")))?;
        if owner == *self {
            return Ok(());
        }
        Err(Error::config(format!(
            "{place} belongs to the {} sink {:?}, not to the {} sink {:?}",
            owner.connector, owner.sink, self.connector, self.sink,
        ))
        .hint(format!(
            "give each sink a `path` of its own; if the sink was renamed, change `sink` in {marker}"
        )))
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| Error::bug(format!("marker: {e}")))
    }

    /// Makes the folder this sink's, with all that it needs.
    pub(super) fn take(&self, root: &Path) -> Result<()> {
        if !matches!(self.check(root)?, Found::Ours) {
            fs::create_dir_all(root).map_err(|e| Error::io("make the folder", root.display(), e))?;
            write_whole(&root.join(MARKER), &self.to_bytes()?)?;
            if let Some(parent) = root.parent().filter(|p| !p.as_os_str().is_empty()) {
                crate::files::sync_dir(parent)?;
            }
        }
        let staging = root.join("staging");
        fs::create_dir_all(&staging).map_err(|e| Error::io("make the folder", staging.display(), e))
    }
}
