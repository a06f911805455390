//! Collects what is wrong while the file is read, so that reading never stops at the first error.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use throughline_core::{Error, Place, PointerAt, Redactor};

use super::document::{Value, is_secret_form, value_at};
use super::serde_words::humanize;
use crate::diagnostic::{Diagnostic, Diagnostics, SourceText};

/// A file with more errors than this has one error: it is not a pipeline file.
const MOST: usize = 1000;

pub struct Report {
    pub source: Arc<SourceText>,
    found: RefCell<Vec<Diagnostic>>,
}

impl Report {
    pub fn new(source: Arc<SourceText>) -> Self {
        Self { source, found: RefCell::default() }
    }

    pub fn push(&self, diagnostic: Diagnostic) {
        let mut found = self.found.borrow_mut();
        if found.len() < MOST {
            found.push(diagnostic);
        }
    }

    /// An error in the pipeline file itself.
    pub fn error(&self, span: Range<usize>, message: impl Into<String>, hint: impl Into<Option<String>>) {
        self.push(Diagnostic::new(&self.source, span, message).hint(hint));
    }

    pub fn is_clean(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// An error of a connector, a sink or the attribution settings, turned from a JSON pointer into a
    /// place. `owner` is what the pointer starts at; `who` names it: `source "crm"`.
    pub fn option_error(&self, who: &str, owner: &Value<'_>, error: &Error) {
        // TOML has no null: it stands for a value that could not be read, which is reported already.
        if error.message().starts_with("invalid type: null") && !self.is_clean() {
            return;
        }
        let said = humanize(error.message());
        let hint = said.hint.or_else(|| error.hint_text().map(str::to_owned));
        let path = match error.place() {
            // An unknown key is named in the message: its place is what holds it.
            Some(Place::Option { pointer, at: PointerAt::Key }) => {
                path_of(pointer.rsplit_once('/').map_or("", |p| p.0))
            }
            Some(Place::Option { pointer, .. }) => path_of(pointer),
            _ => String::new(),
        };
        let mut message = if path.is_empty() { who.to_owned() } else { format!("{who}: {path}") };
        message.push_str(": ");
        message.push_str(&said.message);
        for (i, (key, value)) in error.context().iter().enumerate() {
            message.push_str(if i == 0 { " (" } else { ", " });
            message.push_str(&format!("{key}: {value}"));
        }
        if !error.context().is_empty() {
            message.push(')');
        }
        match error.place() {
            Some(Place::Option { pointer, at }) => {
                let key = *at == PointerAt::Key;
                let (span, value) = value_at(owner, pointer, key);
                let secret = !key
                    && is_secret_form(value.get_ref())
                    && error.message().starts_with("invalid type: map");
                let plain = || "this option is no secret: write its value itself".to_owned();
                self.error(span, message, if secret { Some(plain()) } else { hint });
            }
            Some(Place::File { path, line, column }) => {
                self.push(Diagnostic::elsewhere(path, *line, *column, message).hint(hint));
            }
            Some(Place::Stream { .. }) | None => self.error(owner.span(), message, hint),
        }
    }

    /// Everything found, without a secret in any message.
    pub fn finish(self, redactor: &Redactor) -> Diagnostics {
        let mut found = self.found.into_inner();
        let clean = |text: &mut String| {
            if let std::borrow::Cow::Owned(clean) = redactor.redact(text) {
                *text = clean;
            }
        };
        for diagnostic in &mut found {
            clean(&mut diagnostic.message);
            diagnostic.label.iter_mut().for_each(clean);
            diagnostic.hint.iter_mut().for_each(clean);
        }
        Diagnostics::new(found)
    }
}

/// `/filters/1/field` as people write it: `filters[1].field`.
fn path_of(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            path.push_str(&format!("[{part}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&part.replace("~1", "/").replace("~0", "~"));
        }
    }
    path
}
