//! The lines of a chat, out of a `.txt`, packed or not, or a `.zip`.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use throughline_core::{Error, Result};

use super::zip;
use crate::lines::{Line, Lines};
use crate::local::{Compression, Opened};

/// WhatsApp's messages have at most 65,536 characters.
const LINE_MAX: usize = 1 << 20;

/// A file that holds a chat.
pub(super) enum Source {
    Plain(PathBuf),
    Zip(PathBuf, Box<zip::Archive>),
}

impl Source {
    pub fn open(path: &Path) -> Result<Self> {
        let is_zip = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("zip"));
        Ok(if is_zip {
            Self::Zip(path.into(), Box::new(zip::Archive::open(path)?))
        } else {
            Self::Plain(path.into())
        })
    }

    /// The chat's lines, from the first.
    pub fn lines(&mut self) -> Result<Text<'_>> {
        let (content, path) = match self {
            Self::Plain(path) => (Content::Plain(Opened::open(path, Compression::of(path))?), path),
            Self::Zip(path, archive) => (Content::Zip(archive.chat(path)?), path),
        };
        Ok(Text { lines: Lines::new(content, LINE_MAX), path: path.display().to_string() })
    }
}

enum Content<'a> {
    Plain(Opened),
    Zip(zip::Entry<'a>),
}

impl Read for Content<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(opened) => opened.read(into),
            Self::Zip(entry) => entry.read(into),
        }
    }
}

pub(super) struct Text<'a> {
    lines: Lines<Content<'a>>,
    path: String,
}

impl Text<'_> {
    /// The next line, without its ending.
    pub fn next(&mut self) -> Result<Option<Line<'_>>> {
        match self.lines.next() {
            Ok(None) => return Ok(None),
            Ok(Some(_)) => {}
            Err(e) => {
                return Err(match self.lines.reader() {
                    Content::Plain(opened) => opened.error(e),
                    Content::Zip(_) => Error::protocol(format!("{}: {e}", self.path))
                        .hint("nothing of it was used: put the whole file there and run again"),
                });
            }
        }
        let mut line = self.lines.last();
        line.bytes = line.bytes.strip_suffix(b"\r").unwrap_or(line.bytes);
        Ok(Some(line))
    }
}
