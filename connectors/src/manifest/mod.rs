//! Connectors without code: a TOML manifest says what a vendor's API looks like, this runs it.
//!
//! [`spec`] is the vocabulary and docs/manifest.md its reference. A vendor's folder holds
//! `manifest.toml` and its SELECTs ([`Builtin`]); the same files work dropped into a user's project,
//! through the connector [`rest`].

mod calls;
mod chain;
mod client;
mod consent;
mod judge;
mod moments;
mod oauth;
mod options;
mod pager;
mod plan;
mod problems;
mod reader;
pub mod rest;
mod run;
mod source;
pub mod spec;
mod state;
mod template;
mod windows;

use std::sync::Arc;

use throughline_core::connector::parse_options;
use throughline_core::{Catalog, ConfigErrors, DynSource, Error, Options, SourceConnector};

use client::Connection;
pub(crate) use consent::SignIn;
use plan::{Plan, ReadFile};
use problems::{Document, Problems};
use source::ManifestSource;

/// A manifest that was read and found good.
#[derive(Clone)]
pub struct Manifest(Arc<Plan>);

impl Manifest {
    /// Reads a manifest. `path` is its name in messages, `read` gives the files it names, from its
    /// folder.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with file, line and column.
    pub fn parse(
        text: &str,
        path: &str,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, ConfigErrors> {
        let manifest = Self::read(text, path, read)?;
        if manifest.0.spec.streams.is_empty() {
            let document = Document::parse(text, path)?;
            let mut problems = Problems::default();
            problems.add("/streams", "there are no streams");
            return Err(problems.into_errors().iter().map(|e| document.locate(e)).collect());
        }
        Ok(manifest)
    }

    /// As [`Manifest::parse`], also without streams.
    fn read(
        text: &str,
        path: &str,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, ConfigErrors> {
        let document = Document::parse(text, path)?;
        let located =
            |errors: ConfigErrors| -> ConfigErrors { errors.iter().map(|e| document.locate(e)).collect() };
        let spec: spec::Manifest = parse_options(&document.json()).map_err(located)?;
        let mut problems = Problems::default();
        let folder = path.rfind('/').map_or("", |slash| &path[..=slash]);
        let read: ReadFile<'_> = read;
        let plan = plan::plan(spec, folder, read, &mut problems);
        match plan {
            Some(plan) if problems.is_empty() => Ok(Self(Arc::new(plan))),
            _ => Err(located(problems.into_errors())),
        }
    }

    pub fn name(&self) -> &str {
        &self.0.spec.name
    }

    pub fn catalog(&self) -> Catalog {
        source::catalog(&self.0)
    }

    /// JSON Schema of the options it gives users.
    pub fn options_schema(&self) -> serde_json::Value {
        options::schema(&self.0.spec)
    }

    /// # Errors
    /// Everything that is wrong with the options, each with a JSON pointer.
    pub fn source(&self, options: &serde_json::Value) -> Result<DynSource, ConfigErrors> {
        let given = options::read(&self.0.spec, options)?;
        Ok(Arc::new(ManifestSource(Arc::new(Connection::new(self.0.clone(), given)))))
    }

    /// JSON Schema of manifests, for editors.
    pub fn schema() -> serde_json::Value {
        serde_json::to_value(schemars::schema_for!(spec::Manifest)).unwrap_or_default()
    }
}

/// A vendor's folder, compiled in.
pub struct Builtin {
    /// Path of the manifest in the repository, for messages.
    pub path: &'static str,
    pub manifest: &'static str,
    /// The files it names.
    pub files: &'static [(&'static str, &'static str)],
    pub readme: &'static str,
}

/// A connector made of a [`Builtin`].
pub struct ManifestConnector {
    manifest: Result<Manifest, Vec<String>>,
    readme: &'static str,
    name: String,
}

impl ManifestConnector {
    /// `name` stands for the connector even when its manifest is broken: [`SourceConnector::build`]
    /// says then what is wrong. A test builds every one.
    pub fn new(name: &str, builtin: &Builtin) -> Self {
        let read = |file: &str| {
            let found = builtin.files.iter().find(|(n, _)| *n == file);
            found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| format!("there is no file {file:?}"))
        };
        let manifest = Manifest::parse(builtin.manifest, builtin.path, &read)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect());
        Self { manifest, readme: builtin.readme, name: name.to_owned() }
    }
}

impl SourceConnector for ManifestConnector {
    fn name(&self) -> &str {
        &self.name
    }
    fn summary(&self) -> &str {
        self.manifest.as_ref().map_or("", |m| &m.0.spec.summary)
    }
    fn readme(&self) -> &str {
        self.readme
    }
    fn schema(&self) -> serde_json::Value {
        self.manifest.as_ref().map(Manifest::options_schema).unwrap_or_default()
    }
    fn catalog(&self) -> Catalog {
        self.manifest.as_ref().map(Manifest::catalog).unwrap_or_default()
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        match &self.manifest {
            Ok(manifest) => manifest.source(&options.value),
            Err(problems) => Err(problems.iter().map(|p| Error::bug(p.clone())).collect()),
        }
    }
}
