//! Sections whose keys belong to a crate below: read by its own struct, like a connector's options.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use throughline_attribution::Settings;
use throughline_core::Place;
use throughline_core::connector::parse_options;
use toml::de::DeValue;

use super::document::{Value, type_name};
use super::secrets::Secrets;

/// `None` when there are errors, which are in the report.
pub fn parsed<T: DeserializeOwned>(who: &str, value: Option<&Value<'_>>, secrets: &Secrets<'_>) -> Option<T> {
    let report = secrets.report;
    let options = match value {
        None => Json::Object(Map::new()),
        Some(value) if matches!(value.get_ref(), DeValue::Table(_)) => secrets.json(who, value),
        Some(value) => {
            let found = type_name(value.get_ref());
            report.error(
                value.span(),
                format!("{who} must be a table, found {found}"),
                format!("write {who}"),
            );
            return None;
        }
    };
    let errors = match parse_options(&options) {
        Ok(read) => return Some(read),
        Err(errors) => errors,
    };
    for error in &errors {
        match value {
            Some(value) => report.option_error(who, value, error),
            None => report.error(0..0, format!("{who}: {}", error.message()), None),
        }
    }
    None
}

/// `[attribution]`
pub fn read(value: Option<&Value<'_>>, secrets: &Secrets<'_>) -> Option<Settings> {
    let settings: Option<Settings> = parsed("[attribution]", value, secrets);
    let Some(value) = value.filter(|v| v.get_ref().is_table()) else { return settings };
    // Every key has a default, so what can be read is checked although other keys cannot be.
    let readable = settings.clone().or_else(|| {
        let mut options = secrets.json("[attribution]", value);
        for error in parse_options::<Settings>(&options).err()? {
            if let (Some(Place::Option { pointer, .. }), Some(options)) =
                (error.place(), options.as_object_mut())
            {
                options.shift_remove(pointer.split('/').nth(1).unwrap_or_default());
            }
        }
        parse_options(&options).ok()
    });
    if let Some(settings) = readable {
        for error in settings.check() {
            secrets.report.option_error("[attribution]", value, &error);
        }
    }
    settings
}
