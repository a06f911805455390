//! A JSON document read value by value: an export may have gigabytes, a message is small.
//!
//! What is kept is checked by whoever parses it; what is passed over is only counted through.

use std::io::{self, Read};

/// Read at once.
const CHUNK: usize = 256 << 10;

pub(super) struct Json<R> {
    reader: R,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// Of the first byte of the buffer.
    offset: u64,
}

/// Why a document cannot be read on.
#[derive(Debug)]
pub(super) enum Stop {
    Io(io::Error),
    /// No JSON at this byte, or not what an export has there.
    Wrong {
        offset: u64,
        what: String,
    },
    /// Whoever takes what is read is through.
    Taken(throughline_core::Error),
}

impl From<throughline_core::Error> for Stop {
    fn from(error: throughline_core::Error) -> Self {
        Self::Taken(error)
    }
}

impl<R: Read> Json<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; CHUNK], at: 0, end: 0, offset: 0 }
    }

    pub fn reader(&self) -> &R {
        &self.reader
    }

    pub fn wrong(&self, what: impl Into<String>) -> Stop {
        Stop::Wrong { offset: self.offset + self.at as u64, what: what.into() }
    }

    fn fill(&mut self) -> Result<bool, Stop> {
        if self.at < self.end {
            return Ok(true);
        }
        self.offset += self.end as u64;
        (self.at, self.end) = (0, 0);
        self.end = crate::lines::fill(&mut self.reader, &mut self.buffer).map_err(Stop::Io)?;
        Ok(self.end > 0)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        if !self.fill()? {
            return Err(self.wrong("the file ends in the middle"));
        }
        let byte = self.buffer[self.at];
        self.at += 1;
        Ok(byte)
    }

    /// The next byte behind white space; `None` at the end.
    pub fn peek(&mut self) -> Result<Option<u8>, Stop> {
        loop {
            if !self.fill()? {
                return Ok(None);
            }
            let byte = self.buffer[self.at];
            // A mark of the byte order may be in front of all.
            let mark = self.offset + (self.at as u64) < 3 && [0xef, 0xbb, 0xbf].contains(&byte);
            if !mark && !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.at += 1;
        }
    }

    /// Takes this byte when it is the next one.
    pub fn eat(&mut self, wanted: u8) -> Result<bool, Stop> {
        let found = self.peek()? == Some(wanted);
        self.at += usize::from(found);
        Ok(found)
    }

    pub fn require(&mut self, wanted: u8, what: &str) -> Result<(), Stop> {
        if self.eat(wanted)? { Ok(()) } else { Err(self.wrong(format!("{what} was expected"))) }
    }

    /// Before each member or item but the first; false at the end of the object or list.
    pub fn more(&mut self, first: &mut bool, close: u8) -> Result<bool, Stop> {
        if self.eat(close)? {
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.require(b',', "a comma")?;
        }
        Ok(true)
    }

    /// The key of a member, and its colon.
    pub fn key(&mut self) -> Result<String, Stop> {
        if self.peek()? != Some(b'"') {
            return Err(self.wrong("a key was expected"));
        }
        let mut raw = Vec::new();
        self.value(Some(&mut raw), 4096)?;
        self.require(b':', "a colon")?;
        serde_json::from_slice(&raw).map_err(|_| self.wrong("a key that is none"))
    }

    /// Passes over the next value; its length in bytes. Up to `most` of it go `into`, with the `\xNN` that Telegram writes
    /// for control characters made `\u00NN`.
    pub fn value(&mut self, into: Option<&mut Vec<u8>>, most: usize) -> Result<u64, Stop> {
        let mut nothing = Vec::new();
        let (into, most) = into.map_or((&mut nothing, 0), |into| (into, most));
        let mut keep = |bytes: &[u8]| {
            let room = most.saturating_sub(into.len()).min(bytes.len());
            into.extend_from_slice(&bytes[..room]);
        };
        let Some(first) = self.peek()? else { return Err(self.wrong("the file ends in the middle")) };
        let begin = self.offset + self.at as u64;
        if !matches!(first, b'{' | b'[' | b'"') {
            // A number or a word.
            while self.fill()?
                && !matches!(self.buffer[self.at], b',' | b']' | b'}' | b':')
                && !self.buffer[self.at].is_ascii_whitespace()
            {
                keep(&[self.buffer[self.at]]);
                self.at += 1;
            }
            let length = self.offset + self.at as u64 - begin;
            return if length > 0 { Ok(length) } else { Err(self.wrong("a value was expected")) };
        }
        let mut depth = 0_usize;
        loop {
            let byte = self.byte()?;
            keep(&[byte]);
            match byte {
                b'"' => self.rest_of_text(&mut keep)?,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return Ok(self.offset + self.at as u64 - begin);
            }
        }
    }

    fn rest_of_text(&mut self, keep: &mut impl FnMut(&[u8])) -> Result<(), Stop> {
        loop {
            if !self.fill()? {
                return Err(self.wrong("the file ends in the middle"));
            }
            let here = &self.buffer[self.at..self.end];
            let plain = memchr::memchr2(b'"', b'\\', here).unwrap_or(here.len());
            keep(&here[..plain]);
            self.at += plain;
            if self.at == self.end {
                continue;
            }
            if self.byte()? == b'"' {
                keep(b"\"");
                return Ok(());
            }
            match self.byte()? {
                b'x' => keep(b"\\u00"),
                escaped => keep(&[b'\\', escaped]),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Gives its bytes in small pieces.
    struct Pieces<'a>(&'a [u8], usize);
    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(into.len());
            into[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn kept(text: &str, piece: usize) -> Result<String, Stop> {
        let mut json = Json::new(Pieces(text.as_bytes(), piece));
        let mut raw = Vec::new();
        json.value(Some(&mut raw), 1000)?;
        Ok(String::from_utf8(raw).unwrap())
    }

    #[test]
    fn values_in_any_pieces() {
        for piece in [1, 2, 3, 1000] {
            for (text, wanted) in [
                (r#" {"a":[1,{"b":"]}\""}]} ,"#, r#"{"a":[1,{"b":"]}\""}]}"#),
                (r#""a\x1Fb\\x1F\u0041я""#, r#""a\u001Fb\\x1F\u0041я""#),
                ("-12.5e3]", "-12.5e3"),
                ("null", "null"),
                ("\u{feff}[]", "[]"),
            ] {
                assert_eq!(kept(text, piece).unwrap(), wanted, "{piece}");
            }
            for cut in ["", " ", "{", "\"", "\"a\\", "[1,", ",", "}"] {
                assert!(matches!(kept(cut, piece), Err(Stop::Wrong { .. })), "{cut}");
            }
        }
    }
}
