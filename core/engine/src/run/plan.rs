//! Empty tables, for tests and plans.

use std::collections::BTreeMap;

use throughline_core::canonical::TABLES;
use throughline_sql::TableRef;

/// Every canonical table, empty.
pub fn empty_inputs() -> BTreeMap<String, TableRef> {
    TABLES
        .iter()
        .map(|t| (t.name.to_owned(), TableRef::Rows { schema: t.schema(), batches: Vec::new() }))
        .collect()
}
