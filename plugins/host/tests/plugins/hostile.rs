//! A source that does what no plugin should: one misdeed, named by an option.

#![allow(clippy::unwrap_used, clippy::panic, unsafe_code)]

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use throughline_plugin::arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use throughline_plugin::{
    Capabilities, Column, ColumnType, Error, Event, Host, Manifest, ReadRequest, Reader, Report, Result,
    Source, Stream, export_source,
};

export_source!(Hostile);

#[derive(Deserialize)]
struct Config {
    misdeed: String,
}

struct Hostile {
    misdeed: String,
}

impl Source for Hostile {
    type Config = Config;

    fn manifest() -> Manifest {
        Manifest {
            name: "hostile",
            version: "0.0.0",
            summary: "Misbehaves",
            readme: "",
            license: "Apache-2.0",
            config_schema: json!({ "type": "object" }),
            streams: vec![stream()],
            guarantee: None,
        }
    }

    fn open(config: Config, _: &Host) -> Result<Self> {
        match config.misdeed.as_str() {
            "panic while it is opened" => panic!("not today"),
            "never come back from open" => forever(),
            _ => Ok(Self { misdeed: config.misdeed }),
        }
    }

    fn check(&self, _: &Host) -> Result<Report> {
        Ok(Report::default())
    }

    fn read(&self, _: &Host, _: ReadRequest) -> Result<Box<dyn Reader>> {
        Ok(Box::new(Misdeeds { misdeed: self.misdeed.clone(), step: 0 }))
    }
}

fn stream() -> Stream {
    Stream {
        name: "rows".into(),
        doc: "Rows.".into(),
        key: vec!["n".into()],
        columns: vec![Column::new("n", ColumnType::Int, "A number.")],
        capabilities: Capabilities::default(),
        ..Stream::default()
    }
}

struct Misdeeds {
    misdeed: String,
    step: u32,
}

fn rows() -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef)]).unwrap()
}

fn forever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

impl Reader for Misdeeds {
    /// One good batch first, then the misdeed.
    fn next(&mut self, host: &Host) -> Result<Event> {
        self.step += 1;
        if self.step == 1 {
            return Ok(Event::Rows(rows().into()));
        }
        if self.step == 2 {
            return Ok(Event::Checkpoint(json!(3)));
        }
        match self.misdeed.as_str() {
            "nothing" => Ok(Event::End),
            "panic" => panic!("the third step is too much"),
            "abort" => std::process::abort(),
            "touch memory that is not its own" => {
                // SAFETY: none: that is the point.
                unsafe { std::ptr::null_mut::<u64>().write_volatile(1) };
                Ok(Event::End)
            }
            "leave with exit code 0" => std::process::exit(0),
            "loop for ever" => loop {
                std::hint::black_box(self.step);
            },
            "sleep for ever" => forever(),
            "take all memory" => {
                let mut taken: Vec<Vec<u8>> = Vec::new();
                loop {
                    taken.push(vec![1; 16 << 20]);
                    std::hint::black_box(&taken);
                }
            }
            "write on standard output" => {
                println!("{}", "rubbish ".repeat(4));
                std::io::stdout().flush().map_err(|e| Error::io("print", e))?;
                if self.step > 3 { Ok(Event::End) } else { Ok(Event::Rows(rows().into())) }
            }
            "claim more rows than came" => Ok(Event::Count { what: "rows".into(), expected: 10, read: 10 }),
            "name a column as the engine's" => {
                let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
                Ok(Event::Rows(RecordBatch::try_from_iter([("_tl_run", column)])?.into()))
            }
            "send text that is no UTF-8" => {
                let mut text = String::from("abc");
                // SAFETY: none: that is the point.
                unsafe { text.as_bytes_mut()[1] = 0xff };
                let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
                Ok(Event::Rows(RecordBatch::try_from_iter([("n", column)])?.into()))
            }
            "end a window that never began, with rubbish" => Ok(Event::Checkpoint(serde_json::Value::Null)),
            "say its secret" => {
                host.log(throughline_plugin::Level::Warn, "my token is hunter2-hunter2");
                Err(Error::data("refused: token hunter2-hunter2"))
            }
            other => Err(Error::data(format!("there is no misdeed {other:?}"))),
        }
    }
}
