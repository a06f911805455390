//! The connectors, sinks and alerters this binary knows, put together by it in one explicit list.

use throughline_core::{AlertConnector, SinkConnector, SourceConnector};

use crate::suggest;

/// Every kind of source, sink and alert, in the order they are listed to people.
#[derive(Default)]
pub struct Registry {
    pub sources: Vec<Box<dyn SourceConnector>>,
    pub sinks: Vec<Box<dyn SinkConnector>>,
    pub alerters: Vec<Box<dyn AlertConnector>>,
}

impl Registry {
    pub fn source(&self, name: &str) -> Option<&dyn SourceConnector> {
        self.sources.iter().find(|c| c.name() == name).map(AsRef::as_ref)
    }

    pub fn sink(&self, name: &str) -> Option<&dyn SinkConnector> {
        self.sinks.iter().find(|c| c.name() == name).map(AsRef::as_ref)
    }

    pub fn alerter(&self, name: &str) -> Option<&dyn AlertConnector> {
        self.alerters.iter().find(|c| c.name() == name).map(AsRef::as_ref)
    }

    /// What to tell a person who named a source connector that does not exist.
    pub fn source_hint(&self, wrong: &str) -> Option<String> {
        if self.sink(wrong).is_some() {
            return Some(format!("\"{wrong}\" is a sink: it belongs into [[sink]]"));
        }
        suggest::hint(wrong, "source connectors", self.sources.iter().map(|c| c.name()))
    }

    /// What to tell a person who named a sink connector that does not exist.
    pub fn sink_hint(&self, wrong: &str) -> Option<String> {
        if self.source(wrong).is_some() {
            return Some(format!("\"{wrong}\" is a source: it belongs into [[source]]"));
        }
        suggest::hint(wrong, "sink connectors", self.sinks.iter().map(|c| c.name()))
    }
}
