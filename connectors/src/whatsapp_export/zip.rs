//! The text of a chat inside a `.zip`, as "Export chat" with media makes it: stored or deflated, and nothing is
//! unpacked but the chat.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use throughline_core::{Error, Result};
use zip::CompressionMethod;
use zip::read::{OwnedZipFileEntry, ZipFile, ZipReadOptions};
use zip::result::ZipError;

/// A chat of 40,000 messages has some megabytes.
const CHAT_MOST: u64 = 4 << 30;

/// An archive and which file in it is the chat.
pub(super) struct Archive {
    file: BufReader<File>,
    entry: OwnedZipFileEntry,
}

/// The chat, whole or an error.
pub(super) struct Entry<'a> {
    content: ZipFile<'a, BufReader<File>>,
    /// Of the bytes that the directory promises.
    left: u64,
}

impl Archive {
    /// Finds the chat in the archive at `path`.
    ///
    /// # Errors
    /// It is no archive, holds no chat, or several that might be it.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open", path.display(), e))?;
        let archive =
            zip::ZipArchive::new(BufReader::with_capacity(64 << 10, file)).map_err(|e| wrong(path, e))?;
        // Phones write UTF-8 and do not always say so.
        let names = archive.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned());
        let at = chosen(names, path)?;
        let entry: OwnedZipFileEntry = archive.by_index_data(at).map_err(|e| wrong(path, e))?.into();
        if entry.encrypted() {
            return Err(broken(path, "it is encrypted"));
        }
        if entry.size() > CHAT_MOST {
            return Err(broken(path, &format!("its chat has {} bytes, which no chat has", entry.size())));
        }
        match entry.compression() {
            CompressionMethod::Stored | CompressionMethod::Deflated => {}
            other => return Err(broken(path, &format!("it is packed by method {other}"))),
        }
        Ok(Self { file: archive.into_inner(), entry })
    }

    /// # Errors
    /// The archive is broken.
    pub fn chat(&mut self, path: &Path) -> Result<Entry<'_>> {
        let left = self.entry.size();
        let content = self.entry.as_ref().with_reader(&mut self.file, ZipReadOptions::new());
        Ok(Entry { content: content.map_err(|e| wrong(path, e))?, left })
    }
}

impl Read for Entry<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // At the end of the data the library compares the checksum.
        let read = self.content.read(into).map_err(damaged)?;
        match self.left.checked_sub(read as u64) {
            Some(left) if read > 0 || left == 0 || into.is_empty() => {
                self.left = left;
                Ok(read)
            }
            _ => Err(damaged(io::ErrorKind::InvalidData.into())),
        }
    }
}

fn damaged(e: io::Error) -> io::Error {
    let damage = [io::ErrorKind::InvalidData, io::ErrorKind::InvalidInput, io::ErrorKind::UnexpectedEof];
    if damage.contains(&e.kind()) || e.raw_os_error().is_none() {
        return io::Error::new(io::ErrorKind::InvalidData, "the chat in it is damaged or cut");
    }
    e
}

fn wrong(path: &Path, error: ZipError) -> Error {
    match error {
        ZipError::Io(e) if e.raw_os_error().is_some() => Error::io("read", path.display(), e),
        other => broken(path, &other.to_string()),
    }
}

/// The chat: iOS names it `_chat.txt`; Android by the contact, and so is the archive.
fn chosen(entries: impl Iterator<Item = String>, path: &Path) -> Result<usize> {
    let base = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let texts: Vec<(usize, String)> =
        entries.enumerate().filter(|(_, name)| name.to_ascii_lowercase().ends_with(".txt")).collect();
    let by = |wanted: &dyn Fn(&str) -> bool| texts.iter().find(|(_, name)| wanted(&base(name)));
    let at = by(&|name| name == "_chat.txt")
        .or_else(|| by(&|name| name.strip_suffix(".txt") == Some(stem)))
        .or_else(|| by(&|name| name.contains("WhatsApp") || name.contains("واتساب")))
        .or_else(|| texts.first().filter(|_| texts.len() == 1));
    match at {
        Some((at, _)) => Ok(*at),
        None if texts.is_empty() => Err(broken(path, "no .txt is in it")),
        None => {
            let names: Vec<String> = texts.iter().take(5).map(|(_, name)| format!("{name:?}")).collect();
            Err(broken(path, &format!("which of {} is the chat cannot be told", names.join(", "))))
        }
    }
}

fn broken(path: &Path, why: &str) -> Error {
    Error::data(format!("{} is no exported chat: {why}", path.display()))
        .hint("export the chat again, or take its .txt out of the archive and name that")
}
