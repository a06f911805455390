//! A sink: every table a file of JSON lines, all tables of an epoch in one folder that `current` points to.
//!
//! ```text
//! out/<txn>.new/deals.jsonl    while it is written
//! out/<txn>/deals.jsonl        prepared
//! out/current -> <txn>         what readers see, moved in one step
//! ```

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use throughline_plugin::arrow_array::RecordBatch;
use throughline_plugin::arrow_schema::SchemaRef;
use throughline_plugin::{
    Committable, Error, Guarantee, Host, Manifest, Receipt, Reject, Report, Result, Sink, Table, Writer,
    export_sink,
};

export_sink!(JsonLines);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    path: PathBuf,
}

struct JsonLines {
    path: PathBuf,
}

impl JsonLines {
    fn folder(&self, txn: &str) -> PathBuf {
        self.path.join(txn)
    }
}

fn failed(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let what = format!("{doing} {}", path.display());
    move |e| Error::io(what, e)
}

impl Sink for JsonLines {
    type Config = Config;

    fn manifest() -> Manifest {
        Manifest {
            name: "jsonl",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Tables as files of JSON lines",
            readme: "# JSON lines\n\nAn example: see docs/plugins.md.\n",
            license: "Apache-2.0",
            config_schema: json!({
                "type": "object",
                "required": ["path"],
                "properties": { "path": { "type": "string", "format": "path", "description": "Folder for the files." } }
            }),
            streams: Vec::new(),
            guarantee: Some(Guarantee::ExactlyOnce),
        }
    }

    fn open(config: Config, _host: &Host) -> Result<Self> {
        Ok(Self { path: config.path })
    }

    fn check(&self, _host: &Host) -> Result<Report> {
        fs::create_dir_all(&self.path).map_err(failed("make", &self.path))?;
        Ok(Report { facts: vec![("folder".into(), self.path.display().to_string())], warnings: Vec::new() })
    }

    fn write(&self, _host: &Host, table: Table, _schema: SchemaRef, txn: &str) -> Result<Box<dyn Writer>> {
        let folder = self.folder(txn);
        fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
        let done = folder.join(format!("{}.jsonl", table.name));
        let new = done.with_extension("new");
        let file = File::create(&new).map_err(failed("write", &new))?;
        Ok(Box::new(Lines { new, done, out: BufWriter::new(file) }))
    }

    fn commit(&self, _host: &Host, txn: &str, tables: &[Committable]) -> Result<Receipt> {
        let (current, next) = (self.path.join("current"), self.path.join("next"));
        for table in tables {
            let file = self.folder(txn).join(format!("{}.jsonl", table.table));
            if !file.is_file() {
                return Err(Error::data(format!("{} is gone", file.display())));
            }
        }
        // A link cannot be changed in place; a new one takes the old one's name in one step.
        let _ = fs::remove_file(&next);
        std::os::unix::fs::symlink(txn, &next).map_err(failed("link", &next))?;
        fs::rename(&next, &current).map_err(failed("move", &current))?;
        let rows = tables.iter().map(|t| t.rows).sum();
        Ok(Receipt { rows, location: current.display().to_string() })
    }

    fn abort(&self, _host: &Host, txn: &str) -> Result<()> {
        match fs::remove_dir_all(self.folder(txn)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove what was staged", e)),
            _ => Ok(()),
        }
    }
}

struct Lines {
    new: PathBuf,
    done: PathBuf,
    out: BufWriter<File>,
}

impl Writer for Lines {
    fn write(&mut self, _host: &Host, rows: &RecordBatch) -> Result<Vec<Reject>> {
        let mut writer = arrow_json::LineDelimitedWriter::new(&mut self.out);
        writer.write(rows)?;
        writer.finish()?;
        Ok(Vec::new())
    }

    fn prepare(&mut self, _host: &Host) -> Result<Value> {
        self.out.flush().map_err(failed("write", &self.new))?;
        self.out.get_ref().sync_all().map_err(failed("write", &self.new))?;
        fs::rename(&self.new, &self.done).map_err(failed("move", &self.done))?;
        Ok(json!({}))
    }
}
