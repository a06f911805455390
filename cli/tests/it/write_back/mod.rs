//! Attribution written into the company's CRMs: once, only what changed, and taken back.

mod amocrm;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::studio::{PipelineShape, Studio};

/// Field by field, what stands in the CRM's deals: deal's place in the company, field, value.
pub type Held = BTreeMap<(u32, String), String>;

/// A pipeline of the whole company with a sink into its CRM.
pub fn pipeline(studio: &Studio, sink: &str) {
    let extra = sink.replace("URL", &studio.url());
    studio.write_pipeline(&PipelineShape { extra, costs: false, ..PipelineShape::default() });
}

pub fn run(studio: &Studio, args: &[&str]) -> Value {
    let args: Vec<&str> = ["run", "--json"].iter().chain(args).copied().collect();
    serde_json::from_str(&studio.expect(&args, 0)).unwrap()
}

pub fn json(studio: &Studio, args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().chain(&["--json"]).copied().collect();
    serde_json::from_str(&studio.expect(&args, 0)).unwrap()
}

/// The rows of a query, as texts by column.
pub fn query(studio: &Studio, sql: &str) -> Vec<BTreeMap<String, String>> {
    let csv = studio.expect(&["query", "--format", "csv", "--limit", "0", sql], 0);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    reader.deserialize().map(|row| row.unwrap()).collect()
}

/// How the sink's line in the report tells what it did.
pub fn told<'a>(report: &'a Value, sink: &str) -> &'a str {
    let sinks = report["sinks"].as_array().unwrap();
    let found = sinks.iter().find(|s| s["sink"] == sink);
    found.unwrap_or_else(|| panic!("no {sink} in {report:#}"))["location"].as_str().unwrap()
}
