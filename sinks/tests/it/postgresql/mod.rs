//! The PostgreSQL sink against a real server. Without one installed, these say so and pass.

mod broken;
mod cluster;
mod values;

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use throughline_core::DynSink;

use crate::suite::{self, Subject};
use crate::try_build;
pub(crate) use cluster::Cluster;

/// A schema of its own in the shared cluster.
pub(crate) struct Schema<'a> {
    pub cluster: &'a Cluster,
    pub name: String,
}

impl<'a> Schema<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // A name that has to be quoted.
        Self { cluster, name: format!("Схема \"{}\"", NEXT.fetch_add(1, Ordering::SeqCst)) }
    }

    pub(crate) fn options(&self) -> Value {
        json!({
            "host": self.cluster.socket(), "port": self.cluster.port, "database": "postgres", "user": "postgres",
            "schema": self.name, "staging_schema": format!("{} на пути", self.name)
        })
    }

    pub(crate) fn sink_with(&self, more: Value) -> DynSink {
        let mut options = self.options();
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        try_build("postgresql", std::path::Path::new("/nowhere"), options).unwrap()
    }

    /// Quoted.
    pub(crate) fn shown(&self, table: &str) -> String {
        format!("{}.{}", quoted(&self.name), quoted(table))
    }

    pub(crate) fn own(&self, table: &str) -> String {
        format!("{}.{}", quoted(&format!("{} на пути", self.name)), quoted(table))
    }
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Subject for Schema<'_> {
    fn sink(&self) -> DynSink {
        self.sink_with(json!({}))
    }

    fn read(&self, table: &str, columns: &[&str]) -> Option<Vec<Vec<String>>> {
        let there = format!("SELECT to_regclass('{}') IS NOT NULL", self.shown(table).replace('\'', "''"));
        if self.cluster.value(&there) != "t" {
            return None;
        }
        let columns: Vec<String> = columns.iter().map(|c| quoted(c)).collect();
        let mut rows =
            self.cluster.query(&format!("SELECT {} FROM {}", columns.join(", "), self.shown(table)));
        rows.sort();
        Some(rows)
    }

    fn staged(&self) -> usize {
        let schema = format!("{} на пути", self.name).replace('\'', "''");
        let tables = self.cluster.query(&format!(
            "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE nspname = '{schema}' AND relkind = 'r' AND relname LIKE 's\\_%'"
        ));
        tables.len()
            + self
                .cluster
                .value(&format!("SELECT count(*) FROM {}", self.own("staged")))
                .parse::<usize>()
                .unwrap()
    }

    fn refuses_other_types(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn the_suite() {
    let Some(cluster) = Cluster::shared() else { return };
    suite::run(|| Schema::new(cluster)).await;
}
