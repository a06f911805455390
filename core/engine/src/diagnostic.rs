//! What is wrong with a pipeline file, where exactly, and what to do: all of it at once.
//!
//! Three forms of the same facts: a block with the line and a caret for people
//! ([`Diagnostics::render`]), one line each for logs and editors (`Display`), and JSON
//! ([`Diagnostics::to_json`]). Lines and columns start at 1; columns count characters, so that they
//! are right behind Cyrillic and Arabic text. A source line is never shown with a secret in it.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use throughline_core::{Error, ErrorKind, Place};

/// A text that diagnostics point into: the pipeline file, or an SQL file it names.
#[derive(Debug)]
pub struct SourceText {
    /// As the person wrote or would write it: relative where it was given so.
    pub name: String,
    pub text: String,
    masked: OnceLock<String>,
}

impl SourceText {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into(), masked: OnceLock::new() })
    }

    /// Line and column, from 1, of a byte offset. An offset beyond the end is the end; one inside a
    /// character is that character.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let offset = floor_char(&self.text, offset);
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The byte offset of a line and column, from 1; the end of the line or text when there is less.
    pub fn offset(&self, line: usize, column: usize) -> usize {
        let mut start = 0;
        for _ in 1..line.max(1) {
            match self.text[start..].find('\n') {
                Some(i) => start += i + 1,
                None => return self.text.len(),
            }
        }
        let rest = self.text[start..].split('\n').next().unwrap_or_default();
        let rest = rest.strip_suffix('\r').unwrap_or(rest);
        start + rest.char_indices().nth(column.max(1) - 1).map_or(rest.len(), |(i, _)| i)
    }

    pub fn place(&self, offset: usize) -> Place {
        let (line, column) = self.line_column(offset);
        Place::File { path: self.name.clone(), line, column }
    }
}

fn floor_char(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    source: Option<Arc<SourceText>>,
    /// Name of the file; also when its text is not at hand.
    pub file: String,
    /// Bytes of the text.
    pub span: Range<usize>,
    pub line: usize,
    /// In characters.
    pub column: usize,
    /// What is wrong, with the name of the thing: it also stands alone in one-line output.
    pub message: String,
    /// A few words under the caret.
    pub label: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    pub fn new(source: &Arc<SourceText>, span: Range<usize>, message: impl Into<String>) -> Self {
        let start = floor_char(&source.text, span.start);
        let end = floor_char(&source.text, span.end.max(start));
        let (line, column) = source.line_column(start);
        Self {
            source: Some(source.clone()),
            file: source.name.clone(),
            span: start..end,
            line,
            column,
            message: message.into(),
            label: None,
            hint: None,
        }
    }

    /// A problem with a file as a whole: it cannot be read, it is not text.
    pub fn whole_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self::elsewhere(file, 1, 1, message)
    }

    /// In a file whose text is not at hand.
    pub fn elsewhere(
        file: impl Into<String>,
        line: usize,
        column: usize,
        message: impl Into<String>,
    ) -> Self {
        Self {
            source: None,
            file: file.into(),
            span: 0..0,
            line,
            column,
            message: message.into(),
            label: None,
            hint: None,
        }
    }

    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }

    pub fn place(&self) -> Place {
        Place::File { path: self.file.clone(), line: self.line, column: self.column }
    }

    fn render(&self, renderer: &Renderer) -> String {
        let title = Level::ERROR.primary_title(&self.message);
        let hint = self.hint.as_ref().map(|hint| Level::HELP.message(hint));
        let Some(source) = &self.source else {
            let place = Origin::path(&self.file).line(self.line).char_column(self.column);
            let group = Group::with_title(title).element(place);
            return renderer.render(&[match hint {
                Some(hint) => group.element(hint),
                None => group,
            }]);
        };
        // One line is all that is shown, so one line is all the renderer gets: a page of errors in a
        // long file must not take a second to print.
        let shown = source.masked.get_or_init(|| mask_secrets(&source.text));
        let start = shown[..self.span.start].rfind('\n').map_or(0, |i| i + 1);
        let end = shown[self.span.start..].find('\n').map_or(shown.len(), |i| self.span.start + i + 1);
        let span = self.first_line();
        let mut annotation = AnnotationKind::Primary.span(span.start - start..span.end - start);
        if let Some(label) = &self.label {
            annotation = annotation.label(label);
        }
        let snippet =
            Snippet::source(&shown[start..end]).line_start(self.line).path(&self.file).annotation(annotation);
        let group = Group::with_title(title).element(snippet);
        renderer.render(&[match hint {
            Some(hint) => group.element(hint),
            None => group,
        }])
    }

    /// The part of the span on its first line: a caret under a whole multi-line text helps nobody.
    fn first_line(&self) -> Range<usize> {
        let Some(source) = &self.source else { return 0..0 };
        let text = &source.text[self.span.clone()];
        let line = text.split(['\n', '\r']).next().unwrap_or_default();
        let end = self.span.start + line.len();
        if end > self.span.start {
            return self.span.start..end;
        }
        // An empty span gets one caret, where there is a character to put it under.
        let rest = &source.text[self.span.start..];
        let one = rest.chars().next().filter(|c| !matches!(c, '\n' | '\r')).map_or(0, char::len_utf8);
        self.span.start..self.span.start + one
    }
}

/// `file:line:column: message; hint`
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

/// Blocks printed for people; the rest is a count (all of them are in JSON).
const MOST_SHOWN: usize = 100;

/// Everything that is wrong, in the order of the file. Never empty as an error.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Sorts by place (the first file first, then as they were found) and drops exact repeats.
    pub fn new(mut list: Vec<Diagnostic>) -> Self {
        let mut files: Vec<String> = Vec::new();
        for d in &list {
            if !files.contains(&d.file) {
                files.push(d.file.clone());
            }
        }
        list.sort_by_key(|d| (files.iter().position(|f| *f == d.file), d.line, d.column));
        let mut told = std::collections::HashSet::new();
        list.retain(|d| told.insert((d.file.clone(), d.line, d.column, d.message.clone())));
        Self { list }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
    pub fn len(&self) -> usize {
        self.list.len()
    }
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// For people: each with its line and a caret, and a last line with the count.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for d in self.list.iter().take(MOST_SHOWN) {
            out.push_str(d.render(&renderer).trim_end());
            out.push_str("\n\n");
        }
        if self.list.len() > MOST_SHOWN {
            out.push_str(&format!("... and {} more\n\n", self.list.len() - MOST_SHOWN));
        }
        let files: std::collections::BTreeSet<&str> = self.list.iter().map(|d| d.file.as_str()).collect();
        let count = match self.list.len() {
            1 => "1 error".to_owned(),
            n => format!("{n} errors"),
        };
        let files: Vec<&str> = files.into_iter().collect();
        out.push_str(&format!("{count} in {}\n", files.join(", ")));
        out
    }

    /// `[{"file", "line", "column", "message", "label"?, "hint"?}]`
    pub fn to_json(&self) -> serde_json::Value {
        let one = |d: &Diagnostic| {
            let mut object = serde_json::json!({
                "file": d.file, "line": d.line, "column": d.column, "message": d.message,
            });
            if let Some(label) = &d.label {
                object["label"] = label.as_str().into();
            }
            if let Some(hint) = &d.hint {
                object["hint"] = hint.as_str().into();
            }
            object
        };
        self.list.iter().map(one).collect()
    }

    /// For callers that know only [`Error`]: the first, with the number of the others.
    pub fn into_error(self) -> Error {
        let more = self.list.len().saturating_sub(1);
        let Some(first) = self.list.into_iter().next() else {
            return Error::bug("an empty list of diagnostics was taken for an error");
        };
        let place = first.place();
        let mut error = Error::new(ErrorKind::Config, first.message).at(place);
        if let Some(hint) = first.hint {
            error = error.hint(hint);
        }
        if more > 0 {
            error = error.with("more errors", more);
        }
        error
    }
}

/// One line each.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.list.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{d}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

/// Stars over every quoted value behind a key that sounds like a secret, byte for byte so that
/// spans stay right. Works on the text and not on what was parsed: the line of a syntax error, and a
/// secret that somebody wrote in clear (which is an error, and must not be the one that leaks it),
/// are shown too.
fn mask_secrets(text: &str) -> String {
    const NAMES: &[&str] = &[
        "token",
        "secret",
        "password",
        "passwd",
        "api_key",
        "apikey",
        "private_key",
        "access_key",
        "authorization",
    ];
    let mut masked = text.as_bytes().to_vec();
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(equals) = text[at..].find('=').map(|i| at + i) {
        at = equals + 1;
        let key = text[..equals].trim_end_matches([' ', '\t', '"', '\'']);
        let key_start = key
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .map_or(0, |i| i + key[i..].chars().next().map_or(1, char::len_utf8));
        let key = key[key_start..].to_ascii_lowercase().replace('-', "_");
        if !NAMES.iter().any(|name| key.ends_with(name)) {
            continue;
        }
        let open =
            equals + 1 + (bytes[equals + 1..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count());
        let Some(&quote) = bytes.get(open).filter(|b| matches!(b, b'"' | b'\'')) else { continue };
        let long = bytes[open..].starts_with(&[quote; 3]);
        let mut i = open + if long { 3 } else { 1 };
        while i < bytes.len() {
            let closes = if long { bytes[i..].starts_with(&[quote; 3]) } else { bytes[i] == quote };
            if closes || (!long && bytes[i] == b'\n') {
                break;
            }
            let escaped = quote == b'"' && bytes[i] == b'\\' && i + 1 < bytes.len() && bytes[i + 1] != b'\n';
            for k in i..=i + usize::from(escaped) {
                if !matches!(bytes[k], b'\n' | b'\r') {
                    masked[k] = b'*';
                }
            }
            i += 1 + usize::from(escaped);
        }
        at = i.min(bytes.len());
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
    // Whole characters were starred: from an ASCII quote to an ASCII quote or line end.
    String::from_utf8(masked).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, needle: &str) -> Diagnostic {
        let source = SourceText::new("p.toml", text);
        let start = text.find(needle).unwrap_or(text.len());
        Diagnostic::new(&source, start..start + needle.len(), "wrong")
    }

    #[test]
    fn columns_count_characters() {
        let d = at("a = 1\nключ = \"مرحبا\" # x\n", "# x");
        assert_eq!((d.line, d.column), (2, 16));
        let d = at("a = 1\r\n\tb = 2\r\n", "b");
        assert_eq!((d.line, d.column), (2, 2));
        let d = at("a = 1\n", "nowhere");
        assert_eq!((d.line, d.column), (2, 1));
    }

    #[test]
    fn the_rendered_place_is_the_reported_place() {
        for (text, needle) in [
            ("ключ = 'é'\nназвание = 'x' ; y\n", "; y"),
            ("\t\tname = 1\r\n\tother = bad\r\n", "bad"),
            ("имя = \"مرحبا بالعالم\" bad\n", "bad"),
            ("👩‍👩‍👧 = bad\n", "bad"),
            ("a = 1", "no such thing"),
        ] {
            let d = at(text, needle);
            let shown = Diagnostics::new(vec![d.clone()]).render(false);
            assert!(shown.contains(&format!("p.toml:{}:{}", d.line, d.column)), "{d}\n{shown}");
        }
    }

    #[test]
    fn offset_is_the_inverse_of_line_column() {
        let source = SourceText::new("p", "аб\r\nв\n\nгд");
        for (offset, _) in source.text.char_indices().filter(|(_, c)| !matches!(c, '\r' | '\n')) {
            let (line, column) = source.line_column(offset);
            assert_eq!(source.offset(line, column), offset);
        }
        assert_eq!(source.offset(1, 99), 4);
        assert_eq!(source.offset(99, 1), source.text.len());
    }

    #[test]
    fn a_secret_written_in_clear_is_not_shown() {
        for text in [
            "access_token = \"abcdef\"",
            "client-secret='abcdef' # x",
            "auth = { api_key = \"abc\\\"abcdef\", other = 1 }",
            "token = \"abcdef",
            "\"token\" = \"\"\"\nabcdef\nabc\"\"\"\nb = 1",
            "пароль_password = \"abcdefж\"",
        ] {
            let shown = mask_secrets(text);
            assert!(!shown.contains("abc"), "{shown}");
            assert_eq!(shown.len(), text.len());
        }
        let kept = "token_field = \"Visit\"\nname = \"token\"";
        assert_eq!(mask_secrets(kept), kept);
    }

    #[test]
    fn hint_and_label_are_in_every_form() {
        let list = Diagnostics::new(vec![at("a = b", "b").label("here").hint("do that".to_owned())]);
        assert!(list.render(false).contains("here"));
        assert!(list.render(false).contains("do that"));
        assert_eq!(list.to_string(), "p.toml:1:5: wrong; do that");
        assert_eq!(list.to_json()[0]["column"], 5);
        assert_eq!(list.into_error().to_string(), "p.toml:1:5: wrong; do that");
    }
}
