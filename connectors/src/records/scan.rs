//! A strict JSON scanner that finds where values begin and end and builds nothing.
//!
//! Bytes become columns in one walk: a value is taken as the slice it occupies, so a nested object
//! can be kept byte for byte. serde_json could skip values too, but it gives a record's own bytes
//! only after a second walk, and refuses a whole page for one record that is no UTF-8. A test holds
//! this grammar equal to serde_json's.

use std::ops::Range;

/// Nesting beyond this is refused: nobody's records are so deep, and it bounds the stack below.
const MAX_DEPTH: usize = 10_000;

/// Where the text stopped being JSON. `offset` is in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub offset: usize,
    pub what: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Null,
    Bool,
    Number,
    /// The string has escapes that must be resolved.
    Escaped,
    /// The bytes between the quotes are the text.
    Plain,
    Object,
    Array,
}

/// A value: its bytes, quotes and brackets included, and what it is.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub range: Range<usize>,
    pub shape: Shape,
}

impl Span {
    /// Between the quotes, for strings.
    pub fn inner(&self) -> Range<usize> {
        self.range.start + 1..self.range.end - 1
    }
}

pub(crate) struct Scan<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    /// One entry per open bracket: true for an object.
    open: Vec<bool>,
}

/// Bytes that end the plain part of a string: the quote, the backslash and control characters.
const STOPS: [bool; 256] = {
    let mut stops = [false; 256];
    let mut i = 0;
    while i < 0x20 {
        stops[i] = true;
        i += 1;
    }
    stops[b'"' as usize] = true;
    stops[b'\\' as usize] = true;
    stops
};

impl<'a> Scan<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        let at = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        Self { bytes, at, open: Vec::new() }
    }

    pub fn fail<T>(&self, what: &'static str) -> Result<T, Malformed> {
        let what = if self.at >= self.bytes.len() { "the text ends too early" } else { what };
        Err(Malformed { offset: self.at.min(self.bytes.len()), what })
    }

    /// The next byte that is no white space; 0 at the end.
    #[inline]
    pub fn peek(&mut self) -> u8 {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
        0
    }

    /// Nothing but white space is left.
    pub fn end(&mut self) -> Result<(), Malformed> {
        self.peek();
        if self.at < self.bytes.len() { self.fail("something stands behind the end") } else { Ok(()) }
    }

    /// The next value, skipped over.
    #[inline]
    pub fn value(&mut self) -> Result<Span, Malformed> {
        let first = self.peek();
        let start = self.at;
        let shape = match first {
            b'{' | b'[' => {
                self.container()?;
                if first == b'{' { Shape::Object } else { Shape::Array }
            }
            _ => self.scalar(first)?,
        };
        Ok(Span { range: start..self.at, shape })
    }

    #[inline]
    fn scalar(&mut self, first: u8) -> Result<Shape, Malformed> {
        match first {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true", Shape::Bool),
            b'f' => self.word(b"false", Shape::Bool),
            b'n' => self.word(b"null", Shape::Null),
            _ => self.fail("a value was expected"),
        }
    }

    /// The key of the next member and its colon.
    #[inline]
    pub fn key(&mut self) -> Result<Span, Malformed> {
        if self.peek() != b'"' {
            return self.fail("a key in quotes was expected");
        }
        let start = self.at;
        let shape = self.string()?;
        let range = start..self.at;
        if self.peek() != b':' {
            return self.fail("a colon was expected behind a key");
        }
        self.at += 1;
        Ok(Span { range, shape })
    }

    #[inline]
    fn string(&mut self) -> Result<Shape, Malformed> {
        let mut shape = Shape::Plain;
        self.at += 1;
        loop {
            match self.bytes[self.at..].iter().position(|b| STOPS[usize::from(*b)]) {
                None => {
                    self.at = self.bytes.len();
                    return self.fail("");
                }
                Some(plain) => self.at += plain,
            }
            match self.bytes[self.at] {
                b'"' => {
                    self.at += 1;
                    return Ok(shape);
                }
                b'\\' => {
                    shape = Shape::Escaped;
                    self.at += 1;
                    match self.bytes.get(self.at) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                        Some(b'u') => {
                            for _ in 0..4 {
                                self.at += 1;
                                if !self.bytes.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                                    return self.fail("\\u needs four hexadecimal digits");
                                }
                            }
                            self.at += 1;
                        }
                        _ => return self.fail("an unknown escape in a text"),
                    }
                }
                _ => return self.fail("a control character in a text"),
            }
        }
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Malformed> {
        let begun = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == begun { self.fail("a digit was expected") } else { Ok(()) }
    }

    #[inline]
    fn number(&mut self) -> Result<Shape, Malformed> {
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        match self.bytes.get(self.at) {
            None | Some(b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t') => Ok(Shape::Number),
            Some(_) => self.fail("a number ends in something else"),
        }
    }

    fn word(&mut self, word: &[u8], shape: Shape) -> Result<Shape, Malformed> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(shape);
        }
        if word.starts_with(&self.bytes[self.at..]) {
            self.at = self.bytes.len();
        }
        self.fail("a value was expected")
    }

    /// Skips an object or array without recursion: depth comes from outside.
    fn container(&mut self) -> Result<(), Malformed> {
        let floor = self.open.len();
        loop {
            // At an opening bracket.
            let object = self.bytes[self.at] == b'{';
            self.at += 1;
            if self.open.len() - floor >= MAX_DEPTH {
                return self.fail("nested too deep");
            }
            self.open.push(object);
            let mut first = true;
            // Behind an opening bracket or a value: on to the next bracket that opens.
            loop {
                let Some(&object) = self.open.get(floor..).and_then(<[bool]>::last) else { return Ok(()) };
                let next = self.peek();
                if next == if object { b'}' } else { b']' } {
                    self.at += 1;
                    self.open.pop();
                    first = false;
                    continue;
                }
                if !first {
                    if next != b',' {
                        return self.fail("a comma or a closing bracket was expected");
                    }
                    self.at += 1;
                }
                first = false;
                if object {
                    self.key()?;
                }
                let next = self.peek();
                if matches!(next, b'{' | b'[') {
                    break;
                }
                self.scalar(next)?;
            }
        }
    }

    /// Walks the elements of the array (or, with keys, the members of the object) that begins here.
    /// `each` gets the scanner at a value and must leave it behind that value.
    pub fn each<E: From<Malformed>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Option<Span>) -> Result<(), E>,
    ) -> Result<(), E> {
        let object = self.peek() == b'{';
        let close = if object { b'}' } else { b']' };
        self.at += 1;
        if self.peek() == close {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = if object { Some(self.key()?) } else { None };
            self.peek();
            each(self, key)?;
            match self.peek() {
                b',' => self.at += 1,
                byte if byte == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Ok(self.fail("a comma or a closing bracket was expected")?),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ours(text: &[u8]) -> Result<(), Malformed> {
        let mut scan = Scan::new(text);
        scan.value()?;
        scan.end()
    }

    /// Cuts, swaps and doubles bytes of good texts: both parsers must agree on every result.
    #[test]
    fn accepts_what_serde_json_accepts() {
        let seeds: &[&str] = &[
            r#"{"a":[1,-2.50e+10,0.1],"b":{"c":null,"d":[true,false,{}]},"e":"x\n\u0416\"","f":[]}"#,
            r#"[[],[{}],"",-0,1E5,  {"k" : "v"} ]"#,
            r#""plain""#,
            "12",
            "-",
            "nul",
            "{}",
        ];
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
        let alphabet = b"{}[],:\"\\0123456789.eE+-tfnu \n\x01ab";
        for seed in seeds {
            for round in 0..20_000 {
                let mut text = seed.as_bytes().to_vec();
                for _ in 0..round % 4 {
                    let at = random(text.len() + 1);
                    match random(3) {
                        0 => text.insert(at, alphabet[random(alphabet.len())]),
                        1 if at < text.len() => text[at] = alphabet[random(alphabet.len())],
                        2 => text.truncate(at.max(1)),
                        _ => {}
                    }
                }
                let theirs = serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok();
                assert_eq!(ours(&text).is_ok(), theirs, "{:?}", String::from_utf8_lossy(&text));
            }
        }
    }

    #[test]
    fn depth_is_bounded_and_costs_no_stack() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(ours(deep.as_bytes()).unwrap_err().what, "nested too deep");
        let fine = format!("{}{}", "[".repeat(9_000), "]".repeat(9_000));
        ours(fine.as_bytes()).unwrap();
    }

    #[test]
    fn a_cut_text_says_where_it_ends() {
        assert_eq!(
            ours(br#"{"a":"bc"#).unwrap_err(),
            Malformed { offset: 8, what: "the text ends too early" }
        );
        assert_eq!(ours(b"{\"a\":1,}").unwrap_err().offset, 7);
    }
}
