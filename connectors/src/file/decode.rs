//! Text files in any encoding, as UTF-8.

use std::io::{self, Read};

use encoding_rs::{CoderResult, Decoder, Encoding};

use crate::lines::fill;

const CHUNK: usize = 64 << 10;

/// Reads as UTF-8, without a byte order mark. A file in UTF-8 is passed on as it is, good or bad: its
/// records are checked one by one. In other encodings what is no character becomes U+FFFD.
pub(crate) struct Decoded<R> {
    reader: R,
    state: State,
}

enum State {
    /// UTF-8 before its first bytes were seen.
    Fresh,
    /// Bytes that were no mark, to be given first.
    Head([u8; 3], usize, usize),
    Plain,
    Foreign(Box<Foreign>),
}

struct Foreign {
    decoder: Decoder,
    raw: Vec<u8>,
    raw_at: usize,
    raw_end: usize,
    eof: bool,
    /// The decoder has given its last.
    done: bool,
    text: Vec<u8>,
    text_at: usize,
    text_end: usize,
}

impl<R: Read> Decoded<R> {
    pub fn new(reader: R, encoding: &'static Encoding) -> Self {
        let state = if encoding == encoding_rs::UTF_8 {
            State::Fresh
        } else {
            State::Foreign(Box::new(Foreign {
                decoder: encoding.new_decoder_with_bom_removal(),
                raw: vec![0; CHUNK],
                raw_at: 0,
                raw_end: 0,
                eof: false,
                done: false,
                // Never less than what decoding one chunk can need.
                text: vec![0; CHUNK * 3 + 16],
                text_at: 0,
                text_end: 0,
            }))
        };
        Self { reader, state }
    }

    pub fn reader(&self) -> &R {
        &self.reader
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                State::Plain => return self.reader.read(into),
                State::Fresh => {
                    let (mut head, mut length) = ([0; 3], 0);
                    while length < head.len() {
                        match fill(&mut self.reader, &mut head[length..])? {
                            0 => break,
                            read => length += read,
                        }
                    }
                    let mark = head == [0xEF, 0xBB, 0xBF];
                    self.state = if mark { State::Plain } else { State::Head(head, 0, length) };
                }
                State::Head(head, at, length) => {
                    if at == length {
                        self.state = State::Plain;
                        continue;
                    }
                    let given = into.len().min(*length - *at);
                    into[..given].copy_from_slice(&head[*at..*at + given]);
                    *at += given;
                    return Ok(given);
                }
                State::Foreign(foreign) => return foreign.read(&mut self.reader, into),
            }
        }
    }
}

impl Foreign {
    fn read(&mut self, reader: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        while self.text_at == self.text_end {
            if self.done {
                return Ok(0);
            }
            if self.raw_at == self.raw_end && !self.eof {
                self.raw_at = 0;
                self.raw_end = fill(reader, &mut self.raw)?;
                self.eof = self.raw_end == 0;
            }
            let source = &self.raw[self.raw_at..self.raw_end];
            let (result, read, written, _) = self.decoder.decode_to_utf8(source, &mut self.text, self.eof);
            self.raw_at += read;
            (self.text_at, self.text_end) = (0, written);
            self.done = self.eof && result == CoderResult::InputEmpty;
        }
        let given = into.len().min(self.text_end - self.text_at);
        into[..given].copy_from_slice(&self.text[self.text_at..self.text_at + given]);
        self.text_at += given;
        Ok(given)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], encoding: &'static Encoding) -> Vec<u8> {
        let mut out = Vec::new();
        Decoded::new(bytes, encoding).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn encodings_become_utf8_and_marks_go() {
        assert_eq!(decode(b"\xEF\xBB\xBFday", encoding_rs::UTF_8), b"day");
        assert_eq!(decode(b"d", encoding_rs::UTF_8), b"d");
        assert_eq!(decode(b"", encoding_rs::UTF_8), b"");
        assert_eq!(decode(b"\xFFday", encoding_rs::UTF_8), b"\xFFday");
        let long = "Привет, цена 5\n".repeat(20_000);
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(&long);
        assert_eq!(decode(&bytes, encoding_rs::WINDOWS_1251), long.as_bytes());
        let utf16: Vec<u8> =
            std::iter::once(0xFEFF).chain(long.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode(&utf16, encoding_rs::UTF_16LE), long.as_bytes());
        // An emoji cut in half at the end.
        assert_eq!(decode(&[0x3D, 0xD8], encoding_rs::UTF_16LE), "\u{FFFD}".as_bytes());
    }
}
