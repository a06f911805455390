//! SQL that a person wrote, and where: an error in it points into their file.

use std::ops::Range;
use std::sync::Arc;

use throughline_core::{Error, Place};

use super::document::offset_in_string;
use crate::diagnostic::{Diagnostic, SourceText};

#[derive(Clone)]
pub struct SqlText {
    pub sql: String,
    source: Arc<SourceText>,
    /// The string in the pipeline file that holds the SQL; `None`: the source is the SQL itself.
    inline: Option<Range<usize>>,
}

impl SqlText {
    pub fn inline(source: &Arc<SourceText>, span: Range<usize>, sql: &str) -> Self {
        Self { sql: sql.to_owned(), source: source.clone(), inline: Some(span) }
    }

    /// The text of an SQL file, or of a connector's own mapping.
    pub fn file(name: &str, sql: String) -> Self {
        Self { source: SourceText::new(name, sql.clone()), sql, inline: None }
    }

    /// The span, in the file, of the word or sign at a byte offset of the SQL.
    fn span_at(&self, offset: usize) -> Range<usize> {
        let rest = &self.sql[offset..];
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
        let length = if word == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { word };
        let Some(string) = &self.inline else { return offset..offset + length };
        let chars = self.sql[..offset].chars().count();
        match offset_in_string(&self.source.text, string.clone(), &self.sql, chars) {
            Some(start) => start..start + length,
            None => string.clone(),
        }
    }

    /// Where an SQL error is: its `sql_line` and `sql_column`, else the whole text.
    fn span_of(&self, error: &Error) -> Range<usize> {
        let number = |key: &str| -> Option<usize> {
            error.context().iter().find(|(k, _)| *k == key).and_then(|(_, v)| v.parse().ok())
        };
        match (number("sql_line"), number("sql_column")) {
            (Some(line), Some(column)) => {
                let text = SourceText::new("", self.sql.as_str());
                let offset = text.offset(line, column);
                // "Unexpected end" points behind the text; a caret under its last word can be seen.
                if self.sql[offset..].trim().is_empty() {
                    let end = self.sql.trim_end().len();
                    let last = self.sql[..end].rfind(|c: char| c.is_whitespace()).map_or(0, |i| i + 1);
                    return self.span_at(last.min(end));
                }
                self.span_at(offset)
            }
            _ => self.inline.clone().unwrap_or(0..self.sql.lines().next().map_or(0, str::len)),
        }
    }

    pub fn diagnose(&self, who: &str, error: &Error) -> Diagnostic {
        Diagnostic::new(&self.source, self.span_of(error), format!("{who}: {}", error.message()))
            .hint(error.hint_text().map(str::to_owned))
    }

    /// A problem with a name in the SQL, at its first use.
    pub fn diagnose_name(&self, name: &str, message: String) -> Diagnostic {
        let folded = self.sql.to_ascii_lowercase();
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let found = folded
            .match_indices(&name.to_ascii_lowercase())
            .map(|(i, _)| i)
            .find(|i| !folded[..*i].ends_with(is_word) && !folded[i + name.len()..].starts_with(is_word));
        let span = match found {
            Some(offset) => self.span_at(offset),
            None => self.inline.clone().unwrap_or(0..0),
        };
        Diagnostic::new(&self.source, span, message)
    }

    /// The same error with its place in the file, for errors that only planning or running finds.
    #[must_use]
    pub fn locate(&self, error: Error) -> Error {
        let place: Place = self.source.place(self.span_of(&error).start);
        error.or_at(|| place)
    }
}

impl std::fmt::Debug for SqlText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sql)
    }
}
