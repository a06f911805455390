//! Other people's programs: shell scripts that speak a protocol, each in a folder of its own.

use std::path::Path;

use arrow::array::AsArray;
use futures::StreamExt;
use serde_json::{Value, json};
use throughline_core::{Checkpoint, DynSource, Error, Options, ReadEvent, ReadRequest, SourceConnector};

use crate::support::World;

/// A secret of its settings.
pub const TOKEN: &str = "first-refresh-token";

/// A folder with a program and its catalog. The program is given the folder as `$STUDIO`.
pub struct Studio {
    pub world: World,
    connector: &'static dyn SourceConnector,
}

impl Studio {
    /// `catalog`: what the program prints of its streams, as it was saved.
    pub fn new(connector: &'static dyn SourceConnector, catalog: &str, script: &str) -> Self {
        let studio = Self { world: World::at("2026-03-01T09:00:00Z"), connector };
        studio.world.write("catalog.json", catalog);
        studio.program(script);
        studio
    }

    /// Another program in place of the one before.
    pub fn program(&self, script: &str) {
        // Never written where it may be running: a file that is open for writing cannot be started.
        let fresh = self.world.path("program.new");
        std::fs::write(&fresh, format!("#!/bin/sh\n{script}\n")).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&fresh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::rename(fresh, self.world.path("program.sh")).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.world.dir.path()
    }

    pub fn seen(&self, name: &str) -> String {
        std::fs::read_to_string(self.world.path(name)).unwrap()
    }

    /// Good options, and `extra` over them.
    pub fn options(&self, extra: Value) -> Options {
        let mut value = json!({
            "command": "./program.sh", "catalog": "catalog.json", "time_limit_s": 30,
            "config": { "token": { "$secret": TOKEN } }, "env": { "STUDIO": self.path() },
        });
        value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Options { name: "crm".into(), value, base_dir: self.path().to_path_buf() }
    }

    pub fn source(&self, extra: Value) -> DynSource {
        self.connector.build(&self.options(extra)).unwrap_or_else(|e| panic!("{e:?}"))
    }

    pub async fn read(&self, stream: &str, checkpoint: Option<Value>) -> (Vec<ReadEvent>, Option<Error>) {
        self.read_at_most(stream, checkpoint, None).await
    }

    pub async fn read_at_most(
        &self,
        stream: &str,
        checkpoint: Option<Value>,
        max_pages: Option<u64>,
    ) -> (Vec<ReadEvent>, Option<Error>) {
        let request = ReadRequest {
            stream: stream.into(),
            checkpoint: checkpoint.map(Checkpoint),
            window: None,
            max_pages,
        };
        let mut events = self.source(json!({})).read(&self.world.ctx, request).await.unwrap();
        let mut all = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => all.push(event),
                Err(error) => {
                    assert!(events.next().await.is_none(), "something came behind {error}");
                    return (all, Some(error));
                }
            }
        }
        (all, None)
    }
}

pub fn ids(events: &[ReadEvent]) -> Vec<i64> {
    let of = |e: &ReadEvent| match e {
        ReadEvent::Batch(batch) => {
            batch.rows["id"].as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
        }
        _ => Vec::new(),
    };
    events.iter().flat_map(of).collect()
}

pub fn checkpoints(events: &[ReadEvent]) -> Vec<Value> {
    let of = |e: &ReadEvent| if let ReadEvent::Checkpoint(c) = e { Some(c.0.clone()) } else { None };
    events.iter().filter_map(of).collect()
}

/// Code and text of what it remarked.
pub fn notices(events: &[ReadEvent]) -> Vec<(&str, &str)> {
    let mut notices = Vec::new();
    for event in events {
        if let ReadEvent::Notice(notice) = event {
            notices.push((notice.code.as_str(), notice.message.as_str()));
        }
    }
    notices
}
