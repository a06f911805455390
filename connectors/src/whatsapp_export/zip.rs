//! The text of a chat inside a `.zip`, as "Export chat" with media makes it. Only what such a file needs: stored and
//! deflated entries, large files too, and nothing is unpacked but the chat.
//!
//! The format: PKWARE's APPNOTE.TXT, 4.3 and 4.5.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use throughline_core::{Error, Result};

/// The end of the directory and the longest comment behind it.
const END_MOST: u64 = 22 + 65_535;
/// A chat of 40,000 messages has some megabytes.
const CHAT_MOST: u64 = 4 << 30;

/// One entry's content, whole or an error.
pub(super) struct Entry {
    content: Box<dyn Read + Send>,
    crc: flate2::Crc,
    wanted_crc: u32,
    wanted_bytes: u64,
}

struct Found {
    name: String,
    offset: u64,
    packed: u64,
    bytes: u64,
    crc: u32,
    method: u16,
    encrypted: bool,
}

/// Opens the chat in the archive at `path`.
///
/// # Errors
/// It is no archive, holds no chat, or several that might be it.
pub(super) fn open(path: &Path) -> Result<Entry> {
    let io = |e: io::Error| match e.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => broken(path, &e.to_string()),
        _ => Error::io("read", path.display(), e),
    };
    let mut file = File::open(path).map_err(|e| Error::io("open", path.display(), e))?;
    let entry = chosen(entries(&mut file).map_err(io)?, path)?;
    if entry.encrypted {
        return Err(broken(path, "it is encrypted"));
    }
    if entry.bytes > CHAT_MOST {
        return Err(broken(path, &format!("{} has {} bytes, which no chat has", entry.name, entry.bytes)));
    }
    file.seek(SeekFrom::Start(entry.offset)).map_err(io)?;
    let mut local = [0; 30];
    file.read_exact(&mut local).map_err(io)?;
    if u32_at(&local, 0) != 0x0403_4b50 {
        return Err(broken(path, "its directory points to no file"));
    }
    let skip = u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
    let start =
        (entry.offset + 30).checked_add(skip).ok_or_else(|| broken(path, "its directory is broken"))?;
    file.seek(SeekFrom::Start(start)).map_err(io)?;
    let packed = BufReader::with_capacity(64 << 10, file.take(entry.packed));
    let content: Box<dyn Read + Send> = match entry.method {
        0 => Box::new(packed),
        8 => Box::new(flate2::bufread::DeflateDecoder::new(packed).take(entry.bytes.saturating_add(1))),
        other => return Err(broken(path, &format!("it is packed by method {other}"))),
    };
    Ok(Entry { content, crc: flate2::Crc::new(), wanted_crc: entry.crc, wanted_bytes: entry.bytes })
}

impl Read for Entry {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(into)?;
        let bytes = into.get(..read).unwrap_or_default();
        self.crc.update(bytes);
        // `Crc` counts modulo 2^32.
        let whole = u64::from(self.crc.amount()) == self.wanted_bytes & u64::from(u32::MAX);
        if read == 0 && !into.is_empty() && (!whole || self.crc.sum() != self.wanted_crc) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the chat in it is damaged or cut"));
        }
        Ok(read)
    }
}

/// The chat: iOS names it `_chat.txt`; Android by the contact, and so is the archive.
fn chosen(entries: Vec<Found>, path: &Path) -> Result<Found> {
    let base = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let mut texts: Vec<Found> =
        entries.into_iter().filter(|e| e.name.to_ascii_lowercase().ends_with(".txt")).collect();
    let by = |wanted: &dyn Fn(&str) -> bool| texts.iter().position(|e| wanted(&base(&e.name)));
    let at = by(&|name| name == "_chat.txt")
        .or_else(|| by(&|name| name.strip_suffix(".txt") == Some(stem)))
        .or_else(|| by(&|name| name.contains("WhatsApp") || name.contains("واتساب")))
        .or(if texts.len() == 1 { Some(0) } else { None });
    match at {
        Some(at) => Ok(texts.swap_remove(at)),
        None if texts.is_empty() => Err(broken(path, "no .txt is in it")),
        None => {
            let names: Vec<String> = texts.iter().take(5).map(|e| format!("{:?}", e.name)).collect();
            Err(broken(path, &format!("which of {} is the chat cannot be told", names.join(", "))))
        }
    }
}

fn broken(path: &Path, why: &str) -> Error {
    Error::data(format!("{} is no exported chat: {why}", path.display()))
        .hint("export the chat again, or take its .txt out of the archive and name that")
}

/// The files that the directory at the archive's end names, those that may be the chat.
fn entries(file: &mut File) -> io::Result<Vec<Found>> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let length = file.seek(SeekFrom::End(0))?;
    let start = length.saturating_sub(END_MOST);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.take(END_MOST).read_to_end(&mut tail)?;
    let end = memchr::memmem::rfind(&tail, b"PK\x05\x06")
        .filter(|at| tail.len() - at >= 22)
        .ok_or_else(|| invalid("it has no directory: it is no zip, or cut"))?;
    let mut count = u64::from(u16_at(&tail, end + 10));
    let mut directory = u64::from(u32_at(&tail, end + 16));
    if count == 0xffff || directory == 0xffff_ffff {
        let locator = end.checked_sub(20).filter(|at| tail.get(*at..at + 4) == Some(b"PK\x06\x07"));
        if let Some(locator) = locator {
            file.seek(SeekFrom::Start(u64_at(&tail, locator + 8)))?;
            let mut large = [0; 56];
            file.read_exact(&mut large)?;
            if &large[..4] != b"PK\x06\x06" {
                return Err(invalid("its directory is broken"));
            }
            (count, directory) = (u64_at(&large, 32), u64_at(&large, 48));
        }
    }
    file.seek(SeekFrom::Start(directory))?;
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let mut found = Vec::new();
    for _ in 0..count {
        let mut head = [0; 46];
        reader.read_exact(&mut head)?;
        if &head[..4] != b"PK\x01\x02" {
            return Err(invalid("its directory is broken"));
        }
        let mut name = vec![0; usize::from(u16_at(&head, 28))];
        reader.read_exact(&mut name)?;
        let mut extra = vec![0; usize::from(u16_at(&head, 30))];
        reader.read_exact(&mut extra)?;
        io::copy(&mut Read::by_ref(&mut reader).take(u16_at(&head, 32).into()), &mut io::sink())?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let mut sizes = [u32_at(&head, 24), u32_at(&head, 20), u32_at(&head, 42)].map(u64::from);
        large_sizes(&extra, &mut sizes);
        // Media may be many: only texts are of interest.
        if name.to_ascii_lowercase().ends_with(".txt") && found.len() < 1000 {
            found.push(Found {
                name,
                bytes: sizes[0],
                packed: sizes[1],
                offset: sizes[2],
                crc: u32_at(&head, 16),
                method: u16_at(&head, 10),
                encrypted: u16_at(&head, 8) & 1 == 1,
            });
        }
    }
    Ok(found)
}

/// Of files beyond 4 GiB the sizes are in an extra field, in this order, those that are needed.
fn large_sizes(mut extra: &[u8], sizes: &mut [u64; 3]) {
    while extra.len() >= 4 {
        let (id, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(field) = extra.get(4..4 + length) else { return };
        if id == 1 {
            let mut values = field.chunks_exact(8).map(|c| u64_at(c, 0));
            for size in sizes.iter_mut().filter(|s| **s == 0xffff_ffff) {
                *size = values.next().unwrap_or(*size);
            }
        }
        extra = extra.get(4 + length..).unwrap_or_default();
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|b| b.try_into().ok()).unwrap_or([0; N])
}
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(number(bytes, at))
}
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(number(bytes, at))
}
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(number(bytes, at))
}
