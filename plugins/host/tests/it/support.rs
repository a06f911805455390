//! Libraries to load, and a world for them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use futures::StreamExt;
use serde_json::Value;
use throughline_behaviour::{MemoryNotes, MemoryTokens};
use throughline_core::{
    Context, DynSource, Error, FixedClock, Options, ReadEvent, ReadRequest, Redactor, SourceConnector,
};
use throughline_http::{Client, HttpSettings, Limits};
use throughline_plugin_host::{PluginSource, Runner};

pub fn runner() -> Runner {
    Runner { program: env!("CARGO_BIN_EXE_throughline-plugin-runner").into(), args: Vec::new() }
}

/// Where cargo puts the examples of this package.
fn examples() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_throughline-plugin-runner")).parent().unwrap().join("examples")
}

/// A plugin that is an example of this package.
pub fn rust_plugin(name: &str) -> PathBuf {
    let path =
        examples().join(format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX));
    assert!(
        path.is_file(),
        "{} is missing: cargo build -p throughline-plugin-host --examples",
        path.display()
    );
    path
}

pub fn program(name: &str) -> PathBuf {
    let path = examples().join(name);
    assert!(
        path.is_file(),
        "{} is missing: cargo build -p throughline-plugin-host --examples",
        path.display()
    );
    path
}

pub fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Compiles C or C++ with all warnings as errors.
pub fn compile(source: &Path, out: &str, flags: &[&str]) -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(out);
    let (compiler, standard) = match source.extension().and_then(|e| e.to_str()) {
        Some("cpp") => ("g++", "-std=c++17"),
        _ => ("gcc", "-std=c11"),
    };
    let done = Command::new(compiler)
        .args([standard, "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(flags)
        .arg(format!("-I{}", plugins().join("abi/include").display()))
        .arg(source)
        .arg("-o")
        .arg(&out)
        .args(["-ldl"])
        .output()
        .unwrap_or_else(|e| panic!("{compiler} is needed (Debian: build-essential): {e}"));
    assert!(
        done.status.success(),
        "{compiler} {}: {}",
        source.display(),
        String::from_utf8_lossy(&done.stderr)
    );
    out
}

pub fn counter() -> &'static Path {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        compile(
            &plugins().join("examples/counter_c/counter.c"),
            "libcounter.so",
            &["-O2", "-fPIC", "-shared"],
        )
    });
    &BUILT
}

pub fn calls() -> &'static Path {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        compile(&plugins().join("examples/calls_cpp/calls.cpp"), "libcalls.so", &["-O2", "-fPIC", "-shared"])
    });
    &BUILT
}

pub fn connector(library: &Path) -> PluginSource {
    PluginSource::of_file(library, &runner()).unwrap()
}

pub fn options(value: Value) -> Options {
    Options { name: "test".into(), value, base_dir: ".".into() }
}

/// A source with its options, run in one of the two places.
pub fn source(library: &Path, isolation: &str, mut value: Value) -> DynSource {
    value["isolation"] = isolation.into();
    connector(library).build(&options(value)).unwrap_or_else(|e| panic!("{e:?}"))
}

pub fn context() -> Context {
    let clock = Arc::new(FixedClock::at_us(1_700_000_000_000_000));
    let (client, clock) =
        Client::open(&HttpSettings::default(), Arc::new(Limits::default()), clock, Redactor::new()).unwrap();
    Context {
        name: "test".into(),
        clock,
        http: Arc::new(client),
        tokens: Arc::new(MemoryTokens::default()),
        notes: Arc::new(MemoryNotes::default()),
        cancel: tokio_util::sync::CancellationToken::new(),
        scratch: std::env::temp_dir(),
    }
}

pub fn request(stream: &str, checkpoint: Option<Value>) -> ReadRequest {
    ReadRequest {
        stream: stream.into(),
        checkpoint: checkpoint.map(throughline_core::Checkpoint),
        window: None,
        max_pages: None,
    }
}

/// Everything a read brings, until its end or error.
pub async fn events(
    source: &DynSource,
    ctx: &Context,
    request: ReadRequest,
) -> (Vec<ReadEvent>, Option<Error>) {
    let mut stream = match source.read(ctx, request).await {
        Ok(stream) => stream,
        Err(e) => return (Vec::new(), Some(e)),
    };
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => events.push(event),
            Err(e) => return (events, Some(e)),
        }
    }
    (events, None)
}

/// Numbers of a column over all batches.
pub fn numbers(events: &[ReadEvent], column: &str) -> Vec<i64> {
    use arrow::array::AsArray;
    let mut all = Vec::new();
    for event in events {
        if let ReadEvent::Batch(batch) = event {
            let column = batch.rows.column_by_name(column).unwrap();
            all.extend(column.as_primitive::<arrow::datatypes::Int64Type>().iter().map(Option::unwrap));
        }
    }
    all
}
