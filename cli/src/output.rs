//! What goes to standard output and standard error.

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use throughline_core::Error;
use throughline_engine::diagnostic::Diagnostics;

use crate::exit;

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const WARN: Style = AnsiColor::Yellow.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// `value` in a style; colours are dropped where the stream is no terminal.
pub fn paint(style: Style, value: impl std::fmt::Display) -> String {
    format!("{style}{value}{style:#}")
}

pub struct Output {
    pub json: bool,
}

impl Output {
    /// The command's result: one JSON document with --json, else text.
    pub fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            match serde_json::to_string_pretty(value) {
                Ok(json) => anstream::println!("{json}"),
                Err(e) => anstream::eprintln!("error: {e}"),
            }
        } else {
            anstream::print!("{}", text());
        }
    }

    /// Prints an error and gives its exit code.
    pub fn error(&self, error: &Error) -> u8 {
        if self.json {
            let value = serde_json::json!({ "error": {
                "kind": error.kind().as_str(),
                "message": error.message(),
                "hint": error.hint_text(),
                "place": error.place().map(ToString::to_string),
                "context": error.context().iter().map(|(k, v)| (*k, v.as_str())).collect::<std::collections::BTreeMap<_, _>>(),
                "temporary": error.is_temporary(),
            }});
            anstream::println!("{value:#}");
        } else {
            anstream::eprintln!("{}", error_text(error));
        }
        exit::of_error(error)
    }

    /// Prints what is wrong with a pipeline file.
    pub fn diagnostics(&self, diagnostics: &Diagnostics) -> u8 {
        if self.json {
            anstream::println!("{:#}", diagnostics.to_json());
        } else {
            anstream::eprint!("{}", diagnostics.render(anstream::stderr().is_terminal()));
        }
        exit::WRONG
    }
}

pub fn error_text(error: &Error) -> String {
    let mut text = paint(BAD, "error") + ": ";
    if let Some(place) = error.place() {
        text += &format!("{place}: ");
    }
    text += error.message();
    for (key, value) in error.context() {
        text += &format!("\n  {} {value}", paint(DIM, format!("{key}:")));
    }
    if let Some(hint) = error.hint_text() {
        text += &format!("\n  {} {hint}", paint(GOOD, "help:"));
    }
    text
}
