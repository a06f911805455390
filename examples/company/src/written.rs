//! What was written into a CRM's deals through its API, and the fields that were made for it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;

use crate::reply::lock;

/// A field that somebody made.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Number, or internal name.
    pub key: String,
    pub code: String,
    pub label: String,
    /// In the vendor's words.
    pub kind: String,
}

#[derive(Default)]
struct Inner {
    made: Vec<Made>,
    /// By deal and field; null is an emptied field.
    values: BTreeMap<u32, BTreeMap<String, Value>>,
    writes: BTreeMap<u32, u64>,
}

#[derive(Default)]
pub struct Written(Mutex<Inner>);

impl Written {
    pub fn made(&self) -> Vec<Made> {
        lock(&self.0).made.clone()
    }

    pub fn make(&self, field: Made) {
        lock(&self.0).made.push(field);
    }

    /// One write of a deal, of some of its fields.
    pub fn write(&self, pos: u32, values: BTreeMap<String, Value>) {
        let mut inner = lock(&self.0);
        *inner.writes.entry(pos).or_default() += 1;
        inner.values.entry(pos).or_default().extend(values);
    }

    /// A person's own edit: in no count of writes.
    pub fn edit(&self, pos: u32, key: &str, value: Value) {
        lock(&self.0).values.entry(pos).or_default().insert(key.to_owned(), value);
    }

    pub fn of(&self, pos: u32) -> BTreeMap<String, Value> {
        lock(&self.0).values.get(&pos).cloned().unwrap_or_default()
    }

    /// How often each deal was written.
    pub fn writes(&self) -> BTreeMap<u32, u64> {
        lock(&self.0).writes.clone()
    }
}
