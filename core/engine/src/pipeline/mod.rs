//! Pipeline files: TOML in, a checked [`Pipeline`] out, or everything that is wrong with it at once.
//!
//! Two phases. The text becomes a tree in which every key and value knows its place ([`document`]);
//! then our own sections are read key by key ([`section`]) and a connector's options go to the
//! connector as JSON, whose errors come back as JSON pointers and are turned into places. Nothing
//! stops at the first error but a slip of syntax, behind which a parser can only guess.
//!
//! The reference of every key is docs/pipeline-file.md; [`schema::schema`] is the same for editors.

mod alert;
mod attribution;
mod document;
mod endpoint;
mod hashing;
mod plan;
mod receiver;
mod report;
mod schema;
mod secrets;
mod section;
mod serde_words;
mod settings;
mod sql_text;
mod tables;
mod test_case;
mod transform;
mod units;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use throughline_core::{DynSink, DynSource, Place, Redactor};

pub use alert::{AlertEntry, CODES as ALERT_CODES};
pub use plan::check_sql;
pub use receiver::{HookSettings, LimitSettings, ReceiverSettings, SiteSettings, TlsSettings, VerifyKind};
pub use schema::schema;
pub(crate) use section::Section;
pub use settings::EngineSettings;
pub use sql_text::SqlText;
pub use test_case::{Rows, TestCase};
pub use throughline_http::HttpSettings;
pub use transform::{Stage, Transform};

use crate::diagnostic::{Diagnostic, Diagnostics, SourceText};
use crate::publish::hashing::Hashing;
use crate::registry::Registry;
use crate::schedule::Schedule;

/// Everything a run needs to know, checked.
pub struct Pipeline {
    /// `[pipeline] name`, else the file's stem, or its folder's name when it is `pipeline.toml`.
    pub name: String,
    /// Of the pipeline file.
    pub path: PathBuf,
    /// The text of the pipeline file and of the SQL files it names: when it changes, the tables may.
    pub text: String,
    /// The folder of the pipeline file: relative paths start here.
    pub base_dir: PathBuf,
    /// Store, landed rows, computed tables. Pipelines of one folder share it unless told otherwise
    /// (so that they share the vendors' tokens): what is a pipeline's own goes under its name.
    pub state_dir: PathBuf,
    pub schedule: Option<Schedule>,
    pub http: HttpSettings,
    pub engine: EngineSettings,
    /// `[receiver]`, for `throughline serve` and `throughline schedule`.
    pub receiver: Option<ReceiverSettings>,
    pub sources: Vec<SourceEntry>,
    pub attribution: throughline_attribution::Settings,
    /// In the order they must run: each after all it reads.
    pub transforms: Vec<Transform>,
    pub sinks: Vec<SinkEntry>,
    pub alerts: Vec<AlertEntry>,
    pub tests: Vec<TestCase>,
    /// Knows every secret that was resolved, to keep it out of logs and cassettes.
    pub redactor: Redactor,
    /// Files beside the pipeline file that were read: when one changes, the pipeline did.
    pub files: Vec<PathBuf>,
}

pub struct SourceEntry {
    pub name: String,
    /// The word behind `connector =`.
    pub connector: String,
    pub source: DynSource,
    /// Streams to read, in the catalog's order: those named by `streams`, else all.
    pub streams: Vec<String>,
    pub on_incomplete: OnIncomplete,
    /// Where each of the source's mappings is written, in their order: for errors that planning finds.
    pub mapping_texts: Vec<SqlText>,
    /// Its `[[source]]` line.
    pub place: Place,
}

/// What to do when a stream read less than the vendor says there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnIncomplete {
    /// Fail the run; readers keep the epoch before.
    #[default]
    Fail,
    /// Publish, and say `incomplete` in the report.
    Publish,
}

pub struct SinkEntry {
    pub name: String,
    pub connector: String,
    pub sink: DynSink,
    /// `None`: every output table.
    pub tables: Option<Vec<String>>,
    /// Phones and e-mails as keyed hashes.
    pub hashing: Option<Hashing>,
    pub place: Place,
}

/// What loading may know of the world.
pub struct LoadOptions<'a> {
    /// Reads an environment variable: loading asks nobody else, so that tests are deterministic.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// In place of `[pipeline] state`.
    pub state_dir: Option<PathBuf>,
}

/// Reads and checks a pipeline file.
///
/// # Errors
/// Everything that is wrong with it, sorted by place.
pub fn load(path: &Path, registry: &Registry, options: &LoadOptions<'_>) -> Result<Pipeline, Diagnostics> {
    let name = path.display().to_string();
    let text = read_text(path, &name)?;
    load_text(&name, &text, path.parent().unwrap_or(Path::new("")), registry, options)
}

/// Checks the text of a pipeline file; `name` stands for it in messages.
///
/// # Errors
/// As [`load`].
pub fn load_text(
    name: &str,
    text: &str,
    base_dir: &Path,
    registry: &Registry,
    options: &LoadOptions<'_>,
) -> Result<Pipeline, Diagnostics> {
    // Windows editors put one before the first key; no span should count it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = SourceText::new(name, text);
    let report = report::Report::new(source.clone());
    let redactor = Redactor::new();
    let Some(root) = document::parse(&source, &report) else { return Err(report.finish(&redactor)) };
    match read(&root, &report, base_dir, registry, options, &redactor) {
        Some(pipeline) if report.is_clean() => Ok(pipeline),
        _ => Err(report.finish(&redactor)),
    }
}

fn read_text(path: &Path, name: &str) -> Result<String, Diagnostics> {
    let only = |diagnostic: Diagnostic| Diagnostics::new(vec![diagnostic]);
    let whole = |message: String| Diagnostic::whole_file(name, message);
    let about =
        std::fs::metadata(path).map_err(|e| only(whole(format!("cannot read the pipeline file: {e}"))))?;
    if about.is_dir() {
        let hint = "name the pipeline file in it".to_owned();
        return Err(only(whole("this is a folder, not a pipeline file".into()).hint(hint)));
    }
    if about.len() > document::MAX_FILE_BYTES {
        let hint =
            "a pipeline file has at most 1 MiB: data belongs into files that a source reads".to_owned();
        return Err(only(whole(format!("a pipeline file of {} bytes", about.len())).hint(hint)));
    }
    let bytes =
        std::fs::read(path).map_err(|e| only(whole(format!("cannot read the pipeline file: {e}"))))?;
    String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&e.as_bytes()[..good]).into_owned();
        let (line, column) = SourceText::new(name, before).line_column(good);
        let hint = "save it as UTF-8".to_owned();
        only(Diagnostic::elsewhere(name, line, column, "the file is not UTF-8 text").hint(hint))
    })
}

/// Reads every section; `None` when there is an error without which no pipeline can be put together
/// (it is in the report).
fn read(
    root: &toml::de::DeTable<'_>,
    report: &report::Report,
    base_dir: &Path,
    registry: &Registry,
    options: &LoadOptions<'_>,
    redactor: &Redactor,
) -> Option<Pipeline> {
    let top = section::Section::new(report, root, 0..0, "pipeline file");
    let path = PathBuf::from(&report.source.name);
    let general = settings::general(top.table("pipeline", "[pipeline]"), &path, base_dir, options);
    let schedule = top.table("schedule", "[schedule]").and_then(crate::schedule::read);
    let http = top.value("http");
    let replayed = http.is_some_and(|h| h.get_ref().get("replay").is_some());
    let secrets = secrets::Secrets::new(options.env, base_dir, replayed, report, redactor);
    let http = settings::http(http, &secrets);
    let engine = settings::engine(top.table("engine", "[engine]"));
    let receiver = receiver::read(&top, &secrets);
    let sources = endpoint::sources(&top, registry, &secrets);
    let attribution = attribution::read(top.value("attribution"), &secrets);
    let transforms = transform::read(&top, base_dir);
    let sinks = endpoint::sinks(&top, registry, &secrets, &transforms.names);
    let alerts = alert::read(&top, registry, &secrets);
    let tests = test_case::read(&top, &transforms.names);
    top.finish();
    let mut files = secrets.files();
    let mut text = report.source.text.clone();
    for (file, sql) in transforms.files {
        files.push(file);
        text.push_str(&sql);
    }
    Some(Pipeline {
        name: general.name,
        path,
        text,
        base_dir: base_dir.to_path_buf(),
        state_dir: general.state_dir,
        schedule,
        http: http?,
        engine,
        receiver,
        sources,
        attribution: attribution?,
        transforms: transforms.list,
        sinks,
        alerts,
        tests,
        redactor: redactor.clone(),
        files,
    })
}

/// One thing of a list of named things, for the check that no name stands twice.
fn unique(report: &report::Report, what: &str, names: &[section::At<String>]) {
    for (i, name) in names.iter().enumerate() {
        if let Some(first) = names[..i].iter().find(|other| other.value == name.value) {
            let (line, _) = report.source.line_column(first.span.start);
            report.error(
                name.span.clone(),
                format!("two {what}s are named \"{}\"", name.value),
                format!("the first is in line {line}; give one of them another name = \"..\""),
            );
        }
    }
}

/// Whether a name can stand in file names, SQL and command lines without quotes.
fn check_name(section: &section::Section<'_>, name: &section::At<&str>) -> bool {
    let good = !name.value.is_empty()
        && name.value.chars().count() <= 64
        && name.value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        && !name.value.starts_with('-');
    if !good {
        section.error(
            name.span.clone(),
            format!("\"{}\" cannot be a name", name.value),
            "a name has 1 to 64 letters a-z, digits, _ or -".to_owned(),
        );
    }
    good
}

/// An `Arc` of the pipeline file's text, for places inside strings.
fn source_of(section: &section::Section<'_>) -> Arc<SourceText> {
    section.report.source.clone()
}
