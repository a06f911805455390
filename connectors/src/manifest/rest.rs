//! The connector `rest`: any REST API, by a manifest in the user's project.

pub mod test_file;
pub mod trial;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use throughline_core::connector::option_error;
use throughline_core::{Catalog, ConfigErrors, DynSource, Error, Options, PointerAt, SourceConnector};

use super::Manifest;

/// `connector = "rest"`, `manifest = "vendor.toml"`, and the options that the manifest declares.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rest;

impl SourceConnector for Rest {
    fn name(&self) -> &str {
        "rest"
    }
    fn summary(&self) -> &str {
        "Any REST API, described by a manifest file"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> Value {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "rest",
            "type": "object",
            "properties": {
                "manifest": {
                    "type": "string",
                    "description": "The manifest file, from the pipeline's folder. Other options are those it declares."
                }
            },
            "required": ["manifest"]
        })
    }
    fn catalog(&self) -> Catalog {
        Catalog::default()
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        let Some(file) = options.value.get("manifest").and_then(Value::as_str) else {
            return Err(vec![match options.value.get("manifest") {
                None => option_error("missing field `manifest`", "", PointerAt::Value),
                Some(_) => option_error("expected the path of a file", "/manifest", PointerAt::Value),
            }]);
        };
        let path = options.base_dir.join(file);
        let manifest = load(&path).map_err(|e| {
            vec![option_error(format!("cannot read {}: {e}", path.display()), "/manifest", PointerAt::Value)]
        })??;
        let mut rest = options.value.clone();
        if let Value::Object(map) = &mut rest {
            map.shift_remove("manifest");
        }
        manifest.source(&rest).map_err(|errors| errors.into_iter().map(|e| explain(e, file)).collect())
    }
}

/// Reads a manifest with the files it names. Outside: the file cannot be read; inside: all that is wrong in it.
fn load(path: &Path) -> std::io::Result<Result<Manifest, ConfigErrors>> {
    let text = std::fs::read_to_string(path)?;
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    let read = |name: &str| {
        std::fs::read_to_string(folder.join(name)).map_err(|e| format!("cannot read {name:?}: {e}"))
    };
    Ok(Manifest::parse(&text, &path.display().to_string(), &read))
}

/// An unknown option may be one the manifest forgot.
fn explain(error: Error, file: &str) -> Error {
    if error.message().starts_with("unknown field") { error.with("manifest", file) } else { error }
}
