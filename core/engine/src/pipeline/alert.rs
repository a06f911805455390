//! `[[alert]]`: whom to tell what, and how.

use std::time::Duration;

use throughline_core::{DynAlerter, Place};
use toml::de::DeValue;

use super::endpoint::{self, name};
use super::secrets::Secrets;
use super::section::Section;
use super::{unique, units};
use crate::registry::Registry;
use crate::suggest;

/// Everything that can be told, by the word for it in `on`.
pub const CODES: [&str; 9] = [
    "failed",
    "crashed",
    "incomplete",
    "books",
    "dead_letters",
    "stale",
    "token_share_low",
    "token_share_falling",
    "broadcast_without_consent",
];

const REPEAT_AFTER: Duration = Duration::from_secs(12 * 3600);

pub struct AlertEntry {
    pub name: String,
    pub connector: String,
    pub alerter: DynAlerter,
    /// Of [`CODES`].
    pub on: Vec<String>,
    /// What lasts is told again after so long.
    pub repeat_after: Duration,
    /// Sources of `data_quality_daily`, and how old their newest record may be.
    pub fresh: Vec<(String, Duration)>,
    pub place: Place,
}

pub fn read(top: &Section<'_>, registry: &Registry, secrets: &Secrets<'_>) -> Vec<AlertEntry> {
    let mut entries = Vec::new();
    let mut names = Vec::new();
    for value in top.tables("alert") {
        let Some(table) = value.get_ref().as_table() else { continue };
        let section = Section::new(top.report, table, value.span(), "alert");
        let connector = section.required_text("connector", "\"webhook\"");
        let name = name(&section, "alert", connector.as_ref(), &mut names);
        let on = section.texts("on").map(|list| endpoint::choose(&section, list, &CODES, "trouble"));
        let repeat_after = section.duration("repeat_after").map_or(REPEAT_AFTER, |at| at.value);
        let fresh = fresh(&section);
        let Some(connector) = connector else { continue };
        let Some(kind) = registry.alerter(connector.value) else {
            let message = format!("there is no alert connector \"{}\"", connector.value);
            let known = registry.alerters.iter().map(|c| c.name());
            section.error(connector.span, message, suggest::hint(connector.value, "alert connectors", known));
            continue;
        };
        let name = name.unwrap_or_else(|| connector.value.to_owned());
        let options = endpoint::options(&section, &name, secrets);
        let who = section.who.borrow().clone();
        endpoint::report_missing(&section, &kind.schema(), &options.value);
        match kind.build(&options) {
            Ok(alerter) => entries.push(AlertEntry {
                name,
                connector: connector.value.to_owned(),
                alerter,
                on: on.unwrap_or_else(|| CODES.map(str::to_owned).to_vec()),
                repeat_after,
                fresh,
                place: top.report.source.place(value.span().start),
            }),
            Err(errors) => endpoint::report_options(&section, &who, value, errors),
        }
    }
    unique(top.report, "alert", &names);
    entries
}

/// `fresh = { visits = "36h", "messages:whatsapp" = "12h" }`
fn fresh(section: &Section<'_>) -> Vec<(String, Duration)> {
    let Some(table) = section.table("fresh", "fresh") else { return Vec::new() };
    let mut all = Vec::new();
    for (source, value) in table.rest() {
        let DeValue::String(text) = value.get_ref() else {
            table.error(
                value.span(),
                format!("\"{source}\" must be a time span in text, such as \"36h\""),
                None,
            );
            continue;
        };
        match units::duration(text) {
            Ok(span) => all.push((source.to_owned(), span)),
            Err(why) => table.error(value.span(), why, units::DURATION_HINT.to_owned()),
        }
    }
    all
}
