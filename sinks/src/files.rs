//! Files that are written once, made durable and known by their hash.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use throughline_core::{Error, Result};

/// A finished file of a staged table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// Relative to the epoch's folder, with `/`.
    pub path: String,
    pub bytes: u64,
    pub rows: u64,
    /// Hexadecimal.
    pub sha256: String,
}

/// Where the files of one staged table go.
pub(crate) trait TableFiles: Send {
    /// A new file, by its path below the table's own place; an empty path is that place itself.
    fn create(&self, path: &str) -> Result<Box<dyn TableFile>>;
}

/// A file of a staged table that is being written.
pub(crate) trait TableFile: Write + Send {
    /// Bytes that it keeps in memory until they are a part worth sending.
    fn held(&self) -> usize {
        0
    }
    /// Ends the file; `path` is what its entry is called by.
    fn finish(self: Box<Self>, path: String, rows: u64) -> Result<FileEntry>;
}

/// [`TableFiles`] on disk.
pub(crate) struct LocalFiles(PathBuf);

impl LocalFiles {
    pub(crate) fn at(root: &Path) -> Box<dyn TableFiles> {
        Box::new(Self(root.to_owned()))
    }
}

impl TableFiles for LocalFiles {
    fn create(&self, path: &str) -> Result<Box<dyn TableFile>> {
        let path = if path.is_empty() { self.0.clone() } else { self.0.join(path) };
        Ok(Box::new(HashedFile::create(&path)?))
    }
}

/// Counts and hashes what goes through.
#[derive(Default)]
pub(crate) struct Tally {
    hash: Sha256,
    bytes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }
    pub(crate) fn into_entry(self, path: String, rows: u64) -> FileEntry {
        FileEntry { path, bytes: self.bytes, rows, sha256: hex(&self.hash.finalize()) }
    }
}

/// A file on disk whose content is known by its hash.
pub(crate) struct HashedFile {
    file: BufWriter<File>,
    tally: Tally,
}

impl HashedFile {
    /// Makes the file and its folders; it must not be there.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let make = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            File::create_new(path)
        };
        let file = make().map_err(|e| Error::io("write", path.display(), e))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 18, file), tally: Tally::default() })
    }

    /// Durable when it returns; the folder's entry is made durable by [`sync_tree`].
    pub(crate) fn finish(self, path: String, rows: u64) -> Result<FileEntry> {
        let file = self.file.into_inner().map_err(|e| Error::io("write", &path, e.into_error()))?;
        file.sync_all().map_err(|e| Error::io("make durable", &path, e))?;
        Ok(self.tally.into_entry(path, rows))
    }
}

impl TableFile for HashedFile {
    fn finish(self: Box<Self>, path: String, rows: u64) -> Result<FileEntry> {
        Self::finish(*self, path, rows)
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.tally.add(&bytes[..written]);
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// Makes the names in a folder durable: a file may be safe on disk and its name not.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|e| Error::io("make durable", path.display(), e))
}

/// [`sync_dir`] of a folder and all folders in it; nothing for a file.
pub(crate) fn sync_tree(path: &Path) -> Result<()> {
    if !path.is_dir() {
        return Ok(());
    }
    for entry in list(path)? {
        sync_tree(&entry.path())?;
    }
    sync_dir(path)
}

pub(crate) fn list(path: &Path) -> Result<Vec<fs::DirEntry>> {
    fs::read_dir(path)
        .and_then(|entries| entries.collect::<io::Result<Vec<_>>>())
        .map_err(|e| Error::io("list", path.display(), e))
}

/// Removes a file or a folder with all in it; nothing when it is not there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let done = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match done {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path.display(), e)),
        _ => Ok(()),
    }
}

/// Puts a small file at `path`, whole and durable or not at all.
pub(crate) fn write_whole(path: &Path, text: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".throughline-{name}.part"));
    let write = || {
        let mut file = File::create(&part)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|e| Error::io("write", path.display(), e))?;
    path.parent().map_or(Ok(()), sync_dir)
}
