//! CSV and TSV: bytes to records of fields.
//!
//! RFC 4180 with what is met in the wild: any one-byte delimiter and quote, LF or CRLF, line feeds in
//! quoted fields, a stray quote inside a bare field. Not a library's reader, because a rejected record
//! must be shown as it came and where, and because a quote that is never closed must not swallow the
//! rest of a file in silence.

use std::io::{self, Read};
use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2};

use crate::lines::fill;

const CHUNK: usize = 256 << 10;
/// A longer field is rejected.
pub(crate) const FIELD_MAX: usize = 20 << 20;
/// A record that has not ended by then is most likely a quote left open.
const RECORD_MAX: usize = 64 << 20;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    pub delimiter: u8,
    pub quote: Option<u8>,
}

/// A field, as a range of the record's bytes.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub range: Range<usize>,
    /// Holds doubled quotes that stand for one.
    pub doubled: bool,
}

pub(crate) struct Record<'a> {
    /// As it came, with quotes, less the line end.
    pub raw: &'a [u8],
    pub fields: &'a [Field],
    /// Of its first byte, from 1.
    pub line: u64,
    /// Something stands between a closing quote and the delimiter.
    pub malformed: bool,
}

pub(crate) enum Failure {
    Io(io::Error),
    /// A quote opened in the record that begins at this line is not closed.
    Unclosed {
        line: u64,
        at_end: bool,
    },
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

pub(crate) struct Delimited<R> {
    reader: R,
    dialect: Dialect,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    eof: bool,
    line: u64,
    fields: Vec<Field>,
}

enum Parsed {
    /// Bytes of the record, and with its line end.
    Whole {
        raw: usize,
        taken: usize,
        malformed: bool,
    },
    NeedsMore,
    Unclosed,
}

impl<R: Read> Delimited<R> {
    pub fn new(reader: R, dialect: Dialect) -> Self {
        Self {
            reader,
            dialect,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            eof: false,
            line: 1,
            fields: Vec::new(),
        }
    }

    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// The next record; empty lines are passed over.
    pub fn next(&mut self) -> Result<Option<Record<'_>>, Failure> {
        loop {
            if self.start == self.end && !self.eof {
                self.read_more()?;
            }
            if self.start == self.end && self.eof {
                return Ok(None);
            }
            let (raw, taken, malformed) = match self.parse() {
                Parsed::Whole { raw, taken, malformed } => (raw, taken, malformed),
                Parsed::Unclosed => return Err(Failure::Unclosed { line: self.line, at_end: true }),
                Parsed::NeedsMore if self.end - self.start > RECORD_MAX => {
                    return Err(Failure::Unclosed { line: self.line, at_end: false });
                }
                Parsed::NeedsMore => {
                    self.read_more()?;
                    continue;
                }
            };
            let (start, line) = (self.start, self.line);
            self.start += taken;
            self.line += memchr_iter(b'\n', &self.buffer[start..start + taken]).count() as u64;
            if raw > 0 {
                let raw = &self.buffer[start..start + raw];
                return Ok(Some(Record { raw, fields: &self.fields, line, malformed }));
            }
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        // Doubling keeps the repeated look at one long record linear.
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        while self.end < self.buffer.len() && !self.eof {
            let read = fill(&mut self.reader, &mut self.buffer[self.end..])?;
            self.eof = read == 0;
            self.end += read;
        }
        Ok(())
    }

    /// One record at the start of the buffer, into `self.fields`.
    fn parse(&mut self) -> Parsed {
        let bytes = &self.buffer[self.start..self.end];
        let Dialect { delimiter, quote } = self.dialect;
        let more = if self.eof { None } else { Some(Parsed::NeedsMore) };
        self.fields.clear();
        let mut malformed = false;
        let mut at = 0;
        loop {
            let (mut range, mut doubled) = (at..at, false);
            let quoted = quote.filter(|q| bytes.get(at) == Some(q));
            if let Some(quote) = quoted {
                let mut from = at + 1;
                loop {
                    let Some(found) = memchr(quote, &bytes[from..]) else {
                        return more.unwrap_or(Parsed::Unclosed);
                    };
                    let close = from + found;
                    match bytes.get(close + 1) {
                        Some(next) if *next == quote => {
                            doubled = true;
                            from = close + 2;
                        }
                        None if !self.eof => return Parsed::NeedsMore,
                        _ => {
                            range = at + 1..close;
                            at = close + 1;
                            break;
                        }
                    }
                }
            }
            let found = memchr2(delimiter, b'\n', &bytes[at..]);
            let Some(stop) = found.map(|f| at + f).or(self.eof.then_some(bytes.len())) else {
                return Parsed::NeedsMore;
            };
            let last = bytes.get(stop) != Some(&delimiter);
            let text_end = if last && stop > at && bytes[stop - 1] == b'\r' { stop - 1 } else { stop };
            if quoted.is_some() {
                malformed |= text_end > at;
            } else {
                range = at..text_end;
            }
            self.fields.push(Field { range, doubled });
            if last {
                return Parsed::Whole { raw: text_end, taken: (stop + 1).min(bytes.len()), malformed };
            }
            at = stop + 1;
        }
    }
}

/// The text of a field of `record`, which is UTF-8.
pub(crate) fn text<'a>(
    record: &'a str,
    field: &Field,
    quote: Option<u8>,
    scratch: &'a mut String,
) -> &'a str {
    let text = record.get(field.range.clone()).unwrap_or_default();
    let Some(quote) = quote.filter(|_| field.doubled) else { return text };
    scratch.clear();
    let mut rest = text;
    while let Some(at) = memchr(quote, rest.as_bytes()) {
        scratch.push_str(&rest[..=at]);
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    scratch.push_str(rest);
    scratch
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Gives a byte at a time, so that every record is split everywhere.
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            into[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn all(input: &str, delimiter: u8) -> Result<Vec<(u64, Vec<String>)>, u64> {
        let dialect = Dialect { delimiter, quote: Some(b'"') };
        let mut reader = Delimited::new(Drip(input.as_bytes()), dialect);
        reader.buffer.truncate(1);
        let mut out = Vec::new();
        loop {
            match reader.next() {
                Ok(None) => return Ok(out),
                Ok(Some(r)) => {
                    let raw = std::str::from_utf8(r.raw).unwrap();
                    let mut fields: Vec<String> = r
                        .fields
                        .iter()
                        .map(|f| text(raw, f, Some(b'"'), &mut String::new()).to_owned())
                        .collect();
                    if r.malformed {
                        fields.push("MALFORMED".into());
                    }
                    out.push((r.line, fields));
                }
                Err(Failure::Unclosed { line, .. }) => return Err(line),
                Err(Failure::Io(e)) => panic!("{e}"),
            }
        }
    }

    fn rows(input: &str) -> Vec<Vec<String>> {
        all(input, b',').unwrap().into_iter().map(|(_, f)| f).collect()
    }

    #[test]
    fn records_as_people_write_them() {
        assert_eq!(rows("a,b\r\n1,2\r\n"), [["a", "b"], ["1", "2"]]);
        assert_eq!(rows("a,b\n\n\n1,"), [["a", "b"], ["1", ""]]);
        assert_eq!(rows("\"a,\"\"б\"\"\n\r\n\",2\n"), [["a,\"б\"\n\r\n", "2"]]);
        assert_eq!(rows("5\" nail,3\nx,y"), [["5\" nail", "3"], ["x", "y"]]);
        assert_eq!(rows("\"\"\n\"\"\"\""), [[""], ["\""]]);
        assert_eq!(rows("\"a\"b,c\nd,e"), [vec!["a", "c", "MALFORMED"], vec!["d", "e"]]);
        assert_eq!(rows("a\rb,c"), [["a\rb", "c"]]);
        assert_eq!(rows(""), Vec::<Vec<String>>::new());
        assert_eq!(all("а;б\n1;\"2;3\"", b';').unwrap()[1].1, ["1", "2;3"]);
    }

    #[test]
    fn lines_count_through_quoted_line_feeds() {
        let found = all("h\n\"x\ny\"\n\nz\n", b',').unwrap();
        assert_eq!(found.iter().map(|(l, _)| *l).collect::<Vec<_>>(), [1, 2, 5]);
    }

    #[test]
    fn an_open_quote_is_told_with_its_line() {
        assert_eq!(all("h\nok\n\"open,1\nnext\n", b','), Err(3));
    }
}
