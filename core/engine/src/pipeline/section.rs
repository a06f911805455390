//! One table of the pipeline file, read key by key; what nobody asked for is an unknown key.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};

use toml::de::{DeTable, DeValue};

use super::document::{Value, offset_in_string, type_name};
use super::report::Report;
use super::units;
use crate::suggest;

/// A value and its place.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub span: Range<usize>,
}

pub struct Section<'d> {
    pub report: &'d Report,
    pub table: &'d DeTable<'d>,
    /// Its header, or the inline table.
    pub span: Range<usize>,
    /// For messages: `[engine]`, `source "crm"`.
    pub who: RefCell<String>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'d> Section<'d> {
    pub fn new(
        report: &'d Report,
        table: &'d DeTable<'d>,
        span: Range<usize>,
        who: impl Into<String>,
    ) -> Self {
        Self { report, table, span, who: RefCell::new(who.into()), asked: RefCell::default() }
    }

    pub fn error(&self, span: Range<usize>, message: impl AsRef<str>, hint: impl Into<Option<String>>) {
        self.report.error(span, format!("{}: {}", self.who.borrow(), message.as_ref()), hint);
    }

    pub fn rename(&self, who: String) {
        *self.who.borrow_mut() = who;
    }

    pub fn value(&self, key: &'static str) -> Option<&'d Value<'d>> {
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    fn typed<T>(
        &self,
        key: &'static str,
        wanted: &str,
        read: impl Fn(&'d DeValue<'d>) -> Option<T>,
    ) -> Option<At<T>> {
        let value = self.value(key)?;
        let read = read(value.get_ref());
        if read.is_none() {
            let found = type_name(value.get_ref());
            self.error(value.span(), format!("{key} must be {wanted}, found {found}"), None);
        }
        read.map(|read| At { value: read, span: value.span() })
    }

    pub fn text(&self, key: &'static str) -> Option<At<&'d str>> {
        self.typed(key, "text", DeValue::as_str)
    }

    pub fn flag(&self, key: &'static str) -> Option<bool> {
        self.typed(key, "true or false", DeValue::as_bool).map(|at| at.value)
    }

    pub fn required_text(&self, key: &'static str, example: &str) -> Option<At<&'d str>> {
        self.require(key, example);
        self.text(key)
    }

    /// Reports a key when it is not there.
    pub fn require(&self, key: &'static str, example: &str) {
        if !self.table.contains_key(key) {
            self.missing(key, example);
        }
    }

    pub fn missing(&self, key: &str, example: &str) {
        let message = format!("required key \"{key}\" is missing");
        self.error(self.span.clone(), message, format!("add {key} = {example}"));
    }

    /// The place in the file of bytes of a text value.
    pub fn inside(&self, text: &At<&str>, part: Range<usize>) -> Range<usize> {
        let file = &self.report.source.text;
        let at = |byte: usize| {
            let chars = text.value.get(..byte)?.chars().count();
            offset_in_string(file, text.span.clone(), text.value, chars)
        };
        match (at(part.start), at(part.end)) {
            (Some(start), Some(end)) => start..end,
            _ => text.span.clone(),
        }
    }

    pub fn whole(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let (least, most) = (*range.start(), *range.end());
        let read = |v: &DeValue<'_>| {
            v.as_integer().map(|i| i64::from_str_radix(i.as_str(), i.radix()).unwrap_or(-1))
        };
        let at = self.typed(key, "a whole number", read)?;
        let number = u64::try_from(at.value).ok().filter(|n| range.contains(n));
        if number.is_none() {
            self.error(at.span, format!("{key} must be from {least} to {most}"), None);
        }
        number
    }

    /// `"512MB"`; in bytes.
    pub fn bytes(&self, key: &'static str) -> Option<At<u64>> {
        let at = self.typed(key, "a size in text, such as \"512MB\"", DeValue::as_str)?;
        match units::bytes(at.value) {
            Ok(value) => Some(At { value, span: at.span }),
            Err(why) => {
                self.error(at.span, format!("{key} = \"{}\": {why}", at.value), units::BYTES_HINT.to_owned());
                None
            }
        }
    }

    /// `"5m"`
    pub fn duration(&self, key: &'static str) -> Option<At<std::time::Duration>> {
        let at = self.typed(key, "a time span in text, such as \"5m\"", DeValue::as_str)?;
        match units::duration(at.value) {
            Ok(value) => Some(At { value, span: at.span }),
            Err(why) => {
                self.error(
                    at.span,
                    format!("{key} = \"{}\": {why}", at.value),
                    units::DURATION_HINT.to_owned(),
                );
                None
            }
        }
    }

    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let at = self.text(key)?;
        let found = choices.iter().find(|(name, _)| *name == at.value).map(|(_, value)| *value);
        if found.is_none() {
            let hint = suggest::hint(at.value, "one of", choices.iter().map(|(name, _)| *name));
            self.error(at.span, format!("{key} cannot be \"{}\"", at.value), hint);
        }
        found
    }

    /// A list of text; items of another type are reported and left out.
    pub fn texts(&self, key: &'static str) -> Option<At<Vec<At<&'d str>>>> {
        let at = self.typed(key, "a list of text", DeValue::as_array)?;
        let mut texts = Vec::new();
        for item in at.value {
            match item.get_ref().as_str() {
                Some(value) => texts.push(At { value, span: item.span() }),
                None => {
                    let found = type_name(item.get_ref());
                    self.error(
                        item.span(),
                        format!("{key} must be a list of text, found {found} in it"),
                        None,
                    );
                }
            }
        }
        Some(At { value: texts, span: at.span })
    }

    pub fn table(&self, key: &'static str, who: impl Into<String>) -> Option<Section<'d>> {
        let value = self.value(key)?;
        let who = who.into();
        match value.get_ref() {
            DeValue::Table(table) => Some(Section::new(self.report, table, value.span(), who)),
            DeValue::Array(list) if list.iter().all(|i| i.get_ref().is_table()) && !list.is_empty() => {
                let second = list.get(1).unwrap_or(value).span();
                self.report.error(second, format!("{who} stands once, as a table"), format!("write [{key}]"));
                None
            }
            other => {
                let found = type_name(other);
                self.report.error(
                    value.span(),
                    format!("{who} must be a table, found {found}"),
                    format!("write [{key}]"),
                );
                None
            }
        }
    }

    /// The tables of `[[key]]`, each with its place.
    pub fn tables(&self, key: &'static str) -> Vec<&'d Value<'d>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        match value.get_ref() {
            DeValue::Array(list) => {
                let (tables, others): (Vec<_>, Vec<_>) =
                    list.iter().partition(|item| item.get_ref().is_table());
                for other in others {
                    let found = type_name(other.get_ref());
                    self.report.error(
                        other.span(),
                        format!("[[{key}]] must be a table, found {found}"),
                        None,
                    );
                }
                tables
            }
            DeValue::Table(_) => {
                let message = format!("[{key}] must be written with two brackets: there may be several");
                self.report.error(value.span(), message, format!("write [[{key}]]"));
                Vec::new()
            }
            other => {
                let message = format!("{key} must be tables, found {}", type_name(other));
                self.report.error(value.span(), message, format!("write [[{key}]]"));
                Vec::new()
            }
        }
    }

    /// The keys nobody asked for yet.
    pub fn rest(&self) -> impl Iterator<Item = (&'d str, &'d Value<'d>)> + use<'d> {
        let asked = self.asked.take();
        let rest = self.table.iter().filter(move |(k, _)| !asked.contains(&k.get_ref().as_ref()));
        rest.map(|(k, v)| (k.get_ref().as_ref(), v))
    }

    /// Reports the keys nobody asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.iter().filter(|(k, _)| !asked.contains(&k.get_ref().as_ref())) {
            let name = key.get_ref();
            let hint = suggest::hint(name, "keys here", asked.iter().copied());
            self.error(key.span(), format!("unknown key \"{name}\""), hint);
        }
    }
}
