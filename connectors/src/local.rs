//! Files on this machine: found by pattern, opened through their compression.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use throughline_core::{Error, ErrorKind, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    None,
    Gz,
    Zst,
}

impl Compression {
    /// By the end of the name.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("gz" | "gzip") => Self::Gz,
            Some("zst" | "zstd") => Self::Zst,
            _ => Self::None,
        }
    }
    fn word(self) -> &'static str {
        match self {
            Self::None => "file",
            Self::Gz => "gzip",
            Self::Zst => "zstd",
        }
    }
}

/// What a file was when it was looked at. Equal means: not changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub bytes: u64,
    /// Of the last change, nanoseconds since the epoch.
    pub changed_ns: i64,
}

impl Stamp {
    pub fn of(path: &Path) -> Result<Self> {
        let at = |e| Error::io("look at", path.display(), e);
        let meta = std::fs::metadata(path).map_err(at)?;
        let changed = meta.modified().map_err(at)?;
        let changed_ns = match changed.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
        };
        Ok(Self { bytes: meta.len(), changed_ns })
    }
}

/// Regular files that a pattern (or a plain path) names, in order of their names. Relative patterns
/// start at `base`. A file whose name happens to look like a pattern is found by its name.
pub(crate) fn find(base: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let plain = base.join(pattern);
    if plain.is_file() {
        return Ok(vec![plain]);
    }
    let whole = if Path::new(pattern).is_absolute() || base.as_os_str().is_empty() {
        pattern.to_owned()
    } else {
        let base = base
            .to_str()
            .ok_or_else(|| Error::config(format!("the folder {} has no UTF-8 name", base.display())))?;
        format!("{}/{pattern}", glob::Pattern::escape(base.trim_end_matches('/')))
    };
    let found = glob::glob(&whole).map_err(|e| {
        Error::config(format!("{pattern:?} is no file pattern: {} at character {}", e.msg, e.pos))
    })?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|e| {
            let shown = e.path().display().to_string();
            Error::io("look into", shown, e.into())
        })?;
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The same with their names below `base`, for checkpoints and messages.
///
/// # Errors
/// There is none, also when there were some before: a disk that is not there must not look like files that were
/// deleted. Or one's name is no text.
pub(crate) fn find_named(base: &Path, pattern: &str) -> Result<BTreeMap<String, PathBuf>> {
    let found = find(base, pattern)?;
    if found.is_empty() {
        return Err(not_found(base, pattern));
    }
    let named = |path: PathBuf| match path.strip_prefix(base).unwrap_or(&path).to_str() {
        Some(name) => Ok((name.to_owned(), path.clone())),
        None => Err(Error::config(format!("the name of {} is no UTF-8; rename the file", path.display()))),
    };
    found.into_iter().map(named).collect()
}

/// No file where a pattern points. Says what is there.
pub(crate) fn not_found(base: &Path, pattern: &str) -> Error {
    let error = Error::new(ErrorKind::NotFound, format!("no file matches {pattern:?} in {}", shown(base)));
    let folder = base.join(pattern);
    let folder = folder.parent().unwrap_or(base);
    let name = Path::new(pattern).file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(1000);
    let nearest = entries
        .filter_map(|e| e.file_name().into_string().ok())
        .map(|n| (strsim::damerau_levenshtein(name, &n), n))
        .min();
    match nearest {
        Some((distance, found)) if distance <= name.chars().count() / 3 + 1 => {
            error.hint(format!("did you mean {found:?}?"))
        }
        _ => error,
    }
}

pub(crate) fn shown(folder: &Path) -> String {
    if folder.as_os_str().is_empty() { "the current folder".into() } else { folder.display().to_string() }
}

/// A file read through its compression. Errors of [`Read`] are made ours by [`Opened::error`].
pub(crate) struct Opened {
    reader: Box<dyn Read + Send>,
    path: String,
    compression: Compression,
    /// Bytes of the file itself so far.
    packed: Arc<AtomicU64>,
    /// Bytes that came out so far.
    plain: u64,
}

struct Counted(File, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Opened {
    pub fn open(path: &Path, compression: Compression) -> Result<Self> {
        Self::open_at(path, compression, 0)
    }

    /// Opens behind the first `plain` bytes of content, which must be there.
    pub fn open_at(path: &Path, compression: Compression, plain: u64) -> Result<Self> {
        let mut file = File::open(path).map_err(|e| Error::io("open", path.display(), e))?;
        if compression == Compression::None {
            file.seek(SeekFrom::Start(plain)).map_err(|e| Error::io("read", path.display(), e))?;
        }
        let packed = Arc::new(AtomicU64::new(0));
        let counted = Counted(file, packed.clone());
        let reader: Box<dyn Read + Send> = match compression {
            Compression::None => Box::new(counted),
            Compression::Gz => {
                Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::with_capacity(64 << 10, counted)))
            }
            Compression::Zst => {
                let decoder = zstd::stream::read::Decoder::new(counted);
                Box::new(decoder.map_err(|e| Error::io("open", path.display(), e))?)
            }
        };
        let mut opened = Self { reader, path: path.display().to_string(), compression, packed, plain: 0 };
        if compression == Compression::None {
            opened.plain = plain;
        } else if let Err(e) = io::copy(&mut Read::by_ref(&mut opened).take(plain), &mut io::sink()) {
            return Err(opened.error(e));
        }
        Ok(opened)
    }

    /// What went wrong while reading: a cut or damaged file is never a short read.
    pub fn error(&self, e: io::Error) -> Error {
        reading(&self.path, self.compression, self.packed.load(Ordering::Relaxed), self.plain, e)
    }
}

fn reading(path: &str, compression: Compression, packed: u64, plain: u64, e: io::Error) -> Error {
    let what = compression.word();
    let message = match (compression, e.kind()) {
        (Compression::None, _) => return Error::io("read", path, e),
        (_, io::ErrorKind::UnexpectedEof) => {
            format!("{path} ends in the middle of its {what} data, at byte {packed} ({plain} bytes came out)")
        }
        (_, io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other) => {
            format!("{path} is no whole {what} file: {e}, at byte {packed} ({plain} bytes came out)")
        }
        _ => return Error::io("read", path, e),
    };
    Error::protocol(message)
        .hint("nothing of it was used: put the whole file there and run again")
        .caused_by(e)
}

impl Read for Opened {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.plain += read as u64;
        Ok(read)
    }
}
