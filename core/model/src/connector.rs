//! What the registry knows of a connector or sink before it is set up.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

use crate::catalog::Catalog;
use crate::error::{Error, ErrorKind, Place, PointerAt};
use crate::sink::DynSink;
use crate::source::DynSource;

/// The options of one `[[source]]` or `[[sink]]`, less the keys the engine itself reads.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the source or sink in the pipeline.
    pub name: String,
    /// Secrets are resolved: see [`crate::secret::SECRET_KEY`]. Not `Debug`-printed anywhere.
    pub value: serde_json::Value,
    /// Relative paths start at the folder of the pipeline file.
    pub base_dir: PathBuf,
}

/// All that is wrong with a set of options; the places are JSON pointers into [`Options::value`].
pub type ConfigErrors = Vec<Error>;

/// A kind of source, by the word users write after `connector =`.
pub trait SourceConnector: Send + Sync {
    fn name(&self) -> &str;
    /// One line for `throughline connector list`.
    fn summary(&self) -> &str;
    /// README.md of the connector.
    fn readme(&self) -> &str;
    /// JSON Schema of the options.
    fn schema(&self) -> serde_json::Value;
    /// Streams with their capabilities under default options, for the documentation.
    fn catalog(&self) -> Catalog;
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors>;
}

/// A kind of sink, by the word users write after `connector =`.
pub trait SinkConnector: Send + Sync {
    fn name(&self) -> &str;
    fn summary(&self) -> &str;
    fn readme(&self) -> &str;
    fn schema(&self) -> serde_json::Value;
    fn build(&self, options: &Options) -> Result<DynSink, ConfigErrors>;
}

/// Reads options into a connector's own struct (`#[serde(deny_unknown_fields)]`) and finds every
/// error, not only the first: what failed is taken out and the rest read again.
pub fn parse_options<T: DeserializeOwned>(value: &serde_json::Value) -> Result<T, ConfigErrors> {
    let mut rest = value.clone();
    let mut errors = ConfigErrors::new();
    let mut removed: Vec<String> = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(&rest) {
            Ok(options) if errors.is_empty() => return Ok(options),
            Ok(_) => return Err(errors),
            Err(error) => error,
        };
        let now = pointer_of(error.path());
        let pointer = before_removals(&now, &removed);
        let message = error.inner().to_string();
        let unknown = message.starts_with("unknown field");
        let missing = message.strip_prefix("missing field `").and_then(|m| m.strip_suffix('`'));
        // A required key that was taken out because its value was wrong is not missing.
        if !missing.is_some_and(|field| removed.contains(&format!("{pointer}/{field}"))) {
            let at = if unknown { PointerAt::Key } else { PointerAt::Value };
            errors.push(option_error(message, pointer.clone(), at));
        }
        // Each round reads all of it again: a list of a million wrong items is told by its first hundred.
        if now.is_empty() || errors.len() >= 100 || !take(&mut rest, &now) {
            return Err(errors);
        }
        removed.push(pointer);
    }
}

/// What a pointer into the rest is a pointer to in the whole: items of a list move up when one
/// before them is taken out.
fn before_removals(pointer: &str, removed: &[String]) -> String {
    let mut whole = String::new();
    for part in pointer.split('/').skip(1) {
        let Ok(mut index) = part.parse::<usize>() else {
            whole.push_str(&format!("/{part}"));
            continue;
        };
        let parent = format!("{whole}/");
        let mut gone: Vec<usize> =
            removed.iter().filter_map(|r| r.strip_prefix(&parent)).filter_map(|r| r.parse().ok()).collect();
        gone.sort_unstable();
        for before in gone {
            if before <= index {
                index += 1;
            }
        }
        whole.push_str(&format!("/{index}"));
    }
    whole
}

/// A configuration error at one option.
pub fn option_error(message: impl Into<String>, pointer: impl Into<String>, at: PointerAt) -> Error {
    Error::new(ErrorKind::Config, message).at(Place::Option { pointer: pointer.into(), at })
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")))
            }
            Segment::Enum { variant } => pointer.push_str(&format!("/{variant}")),
            Segment::Unknown => {}
        }
    }
    pointer
}

/// Removes what `pointer` names; false when there is nothing, so that the caller stops.
fn take(value: &mut serde_json::Value, pointer: &str) -> bool {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return false };
    let last = last.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(serde_json::Value::Object(map)) => map.shift_remove(&last).is_some(),
        Some(serde_json::Value::Array(list)) => match last.parse::<usize>() {
            Ok(i) if i < list.len() => {
                list.remove(i);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Sample {
        subdomain: String,
        page_size: u32,
        streams: Option<Vec<Inner>>,
    }
    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        name: String,
    }

    fn pointers(value: serde_json::Value) -> Vec<(String, String)> {
        let errors = parse_options::<Sample>(&value).map(|_| ()).unwrap_err();
        errors
            .iter()
            .map(|e| match e.place() {
                Some(Place::Option { pointer, .. }) => (pointer.clone(), e.message().to_owned()),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn every_error_is_found_with_its_pointer() {
        let found = pointers(serde_json::json!({
            "subdoman": "x", "page_size": "many", "streams": [{"name": "a"}, {"nam": "b", "name": 3}]
        }));
        let places: Vec<&str> = found.iter().map(|(p, _)| p.as_str()).collect();
        assert_eq!(
            places,
            ["/subdoman", "/page_size", "/streams/1/nam", "/streams/1/name", ""],
            "{found:#?}"
        );
        assert!(found[4].1.contains("subdomain"), "{found:#?}");
    }

    #[test]
    fn places_in_lists_do_not_move_and_nothing_hides_behind_a_missing_key() {
        let found = pointers(serde_json::json!({
            "subdomain": "x", "page_size": 1, "streams": [7, {}, {"name": "good"}, {"name": 3}, 8]
        }));
        let places: Vec<&str> = found.iter().map(|(p, _)| p.as_str()).collect();
        assert_eq!(places, ["/streams/0", "/streams/1", "/streams/3/name", "/streams/4"], "{found:#?}");
    }

    #[test]
    fn a_value_taken_out_is_not_reported_as_missing() {
        let found = pointers(serde_json::json!({"subdomain": 7, "page_size": 1}));
        assert_eq!(found.len(), 1, "{found:#?}");
    }
}
