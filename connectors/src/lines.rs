//! Lines of a byte stream, in bounded memory.

use std::io::{self, Read};
use std::ops::Range;

use memchr::memchr;

const CHUNK: usize = 256 << 10;
/// What is kept of a line that is too long, to show it.
pub(crate) const HEAD: usize = 1 << 20;

pub(crate) struct Line<'a> {
    /// Without the line feed. Only the first [`HEAD`] bytes when `too_long`.
    pub bytes: &'a [u8],
    /// Bytes of the line when it is longer than allowed.
    pub too_long: Option<u64>,
    /// False for a last line without a line feed.
    pub ended: bool,
    /// From 1.
    pub number: u64,
    /// Of its first byte in the stream.
    pub offset: u64,
}

pub(crate) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Of the byte at `start`.
    offset: u64,
    number: u64,
    max: usize,
    last: Last,
}

/// The line given last, as a range of the buffer.
#[derive(Clone, Default)]
struct Last {
    range: Range<usize>,
    too_long: Option<u64>,
    ended: bool,
    offset: u64,
}

impl<R: Read> Lines<R> {
    /// `max`: the longest line given whole, in bytes.
    pub fn new(reader: R, max: usize) -> Self {
        Self {
            reader,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            offset: 0,
            number: 0,
            max,
            last: Last::default(),
        }
    }

    /// Counts offsets and lines from here: the reader stands behind what was read before.
    pub fn starting_at(mut self, offset: u64, number: u64) -> Self {
        self.offset = offset;
        self.number = number;
        self
    }

    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// Of the next line.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut scanned = self.start;
        loop {
            if let Some(at) = memchr(b'\n', &self.buffer[scanned..self.end]) {
                let range = self.start..scanned + at;
                return Ok(Some(self.give(range, 1)));
            }
            scanned = self.end;
            if self.end - self.start > self.max {
                return self.skip().map(Some);
            }
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                scanned -= self.start;
                self.start = 0;
            }
            if self.end == self.buffer.len() {
                self.buffer.resize((self.buffer.len() * 2).min(self.max + CHUNK), 0);
            }
            let read = fill(&mut self.reader, &mut self.buffer[self.end..])?;
            if read == 0 {
                if self.start == self.end {
                    return Ok(None);
                }
                let range = self.start..self.end;
                return Ok(Some(self.give(range, 0)));
            }
            self.end += read;
        }
    }

    /// The line that [`Lines::next`] gave last, once more.
    pub fn last(&self) -> Line<'_> {
        let Last { range, too_long, ended, offset } = self.last.clone();
        Line { bytes: &self.buffer[range], too_long, ended, number: self.number, offset }
    }

    fn give(&mut self, range: Range<usize>, feed: usize) -> Line<'_> {
        self.start = range.end + feed;
        let length = (range.len() + feed) as u64;
        self.last = Last { range, too_long: None, ended: feed == 1, offset: self.offset };
        self.number += 1;
        self.offset += length;
        self.last()
    }

    /// The line that fills the buffer is too long: keeps its head and goes behind its end.
    fn skip(&mut self) -> io::Result<Line<'_>> {
        let offset = self.offset;
        self.number += 1;
        let head = HEAD.min(self.end - self.start);
        self.buffer.copy_within(self.start..self.start + head, 0);
        let mut length = (self.end - self.start) as u64;
        let mut ended = false;
        // The head stays in front, further chunks go behind it.
        if self.buffer.len() < head + CHUNK {
            self.buffer.resize(head + CHUNK, 0);
        }
        loop {
            let read = fill(&mut self.reader, &mut self.buffer[head..])?;
            let chunk = &self.buffer[head..head + read];
            match memchr(b'\n', chunk) {
                _ if read == 0 => {
                    self.start = head;
                    self.end = head;
                    break;
                }
                Some(at) => {
                    length += at as u64;
                    self.start = head + at + 1;
                    self.end = head + read;
                    ended = true;
                    break;
                }
                None => length += read as u64,
            }
        }
        self.offset += length + u64::from(ended);
        self.last = Last { range: 0..head, too_long: Some(length), ended, offset };
        Ok(self.last())
    }
}

/// Reads what there is; an interrupted call is no end.
pub(crate) fn fill(reader: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(into) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Bytes, length when too long, ended, number, offset.
    type Found = (Vec<u8>, Option<u64>, bool, u64, u64);

    fn all(text: &[u8], max: usize) -> Vec<Found> {
        let mut lines = Lines::new(text, max);
        let mut out = Vec::new();
        while let Some(l) = lines.next().unwrap() {
            out.push((l.bytes.to_vec(), l.too_long, l.ended, l.number, l.offset));
        }
        assert_eq!(lines.offset(), text.len() as u64);
        out
    }

    #[test]
    fn lines_with_their_places() {
        let found = all("a\n\nпривет".as_bytes(), 100);
        assert_eq!(found[0], (b"a".to_vec(), None, true, 1, 0));
        assert_eq!(found[1], (Vec::new(), None, true, 2, 2));
        assert_eq!(found[2], ("привет".as_bytes().to_vec(), None, false, 3, 3));
    }

    #[test]
    fn a_line_too_long_is_passed_over_and_the_next_is_whole() {
        let long = vec![b'x'; 3 * CHUNK];
        let mut text = long.clone();
        text.extend_from_slice(b"\nnext\n");
        let found = all(&text, CHUNK);
        assert_eq!(found[0].1, Some(long.len() as u64));
        assert_eq!((found[1].0.as_slice(), found[1].4), (b"next".as_slice(), long.len() as u64 + 1));
        let found = all(&long, CHUNK);
        assert_eq!((found.len(), found[0].1, found[0].2), (1, Some(long.len() as u64), false));
    }
}
