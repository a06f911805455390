//! The source of the measurement, as a plugin. `pages`: how many it reads; without `work` it sends the same
//! batch again and again, which shows the bare way.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use throughline_plugin::arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use throughline_plugin::{
    Error, Event, Host, Manifest, ReadRequest, Reader, Report, Result, Source, Stream, export_source,
};

include!("rows.rs");

export_source!(Busy);

#[derive(Clone, Deserialize)]
struct Busy {
    pages: u64,
    work: bool,
}

impl Source for Busy {
    type Config = Busy;

    fn manifest() -> Manifest {
        Manifest {
            name: "busy",
            version: "0.0.0",
            summary: "Reads pages",
            readme: "",
            license: "Apache-2.0",
            config_schema: json!({ "type": "object" }),
            streams: vec![Stream { name: "deals".into(), ..Stream::default() }],
            guarantee: None,
        }
    }
    fn open(config: Busy, _: &Host) -> Result<Self> {
        Ok(config)
    }
    fn check(&self, _: &Host) -> Result<Report> {
        Ok(Report::default())
    }
    fn read(&self, _: &Host, _: ReadRequest) -> Result<Box<dyn Reader>> {
        let page = page();
        let made = columns(&page).map_err(Error::data)?;
        Ok(Box::new(Pages { busy: self.clone(), page, made, read: 0 }))
    }
}

struct Pages {
    busy: Busy,
    page: Vec<u8>,
    made: RecordBatch,
    read: u64,
}

impl Reader for Pages {
    fn next(&mut self, _: &Host) -> Result<Event> {
        if self.read == self.busy.pages {
            return Ok(Event::End);
        }
        self.read += 1;
        let batch =
            if self.busy.work { columns(&self.page).map_err(Error::data)? } else { self.made.clone() };
        Ok(Event::Rows(batch.into()))
    }
}
