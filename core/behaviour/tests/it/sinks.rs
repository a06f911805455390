//! Sinks with one flaw each: the check that is meant for it must find it, and no other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::StreamExt;
use serde_json::json;
use throughline_behaviour::SinkSuite;
use throughline_core::{
    BatchStream, CheckReport, Committable, Context, DynSink, Error, Guarantee, Receipt, Result, Sink, Table,
    TxnId,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    /// Says it wrote one row less.
    Miscounts,
    /// Cannot take a table without rows.
    NeedsRows,
    /// Commits only what it staged itself.
    Forgets,
    /// Fails when it is asked to commit again.
    CommitsOnce,
    /// Keeps what a table had before under the same transaction.
    Appends,
    /// Cannot abort what is not there.
    AbortsOnce,
    /// Commits what was aborted.
    Resurrects,
    /// Ends well when the rows break off.
    Swallows,
    Unreachable,
}

/// The destination, as all processes see it.
type Store = Arc<Mutex<HashMap<String, HashMap<String, u64>>>>;

struct Memory {
    flaw: Flaw,
    store: Store,
    done: Arc<Mutex<Vec<String>>>,
    staged_here: Mutex<Vec<String>>,
}

#[async_trait]
impl Sink for Memory {
    async fn check(&self, _: &Context) -> Result<CheckReport> {
        if self.flaw == Flaw::Unreachable {
            Err(Error::config("nobody is there"))
        } else {
            Ok(CheckReport::default())
        }
    }

    async fn stage(
        &self,
        _: &Context,
        table: &Table,
        mut rows: BatchStream,
        txn: &TxnId,
    ) -> Result<Committable> {
        let mut count = 0;
        while let Some(batch) = rows.next().await {
            match batch {
                Ok(batch) => count += batch.num_rows() as u64,
                Err(_) if self.flaw == Flaw::Swallows => break,
                Err(error) => return Err(error),
            }
        }
        if count == 0 && self.flaw == Flaw::NeedsRows {
            return Err(Error::data("no rows"));
        }
        self.staged_here.lock().unwrap().push(txn.0.clone());
        let mut store = self.store.lock().unwrap();
        let tables = store.entry(txn.0.clone()).or_default();
        let before =
            if self.flaw == Flaw::Appends { tables.get(&table.name).copied().unwrap_or(0) } else { 0 };
        tables.insert(table.name.clone(), before + count);
        let told = if self.flaw == Flaw::Miscounts { count.saturating_sub(1) } else { count };
        Ok(Committable { table: table.name.clone(), rows: told, detail: json!({}) })
    }

    async fn commit(&self, _: &Context, txn: &TxnId, staged: &[Committable]) -> Result<Receipt> {
        if self.flaw == Flaw::Forgets && !self.staged_here.lock().unwrap().contains(&txn.0) {
            return Err(Error::data("nothing was staged"));
        }
        let mut done = self.done.lock().unwrap();
        if self.flaw == Flaw::CommitsOnce && done.contains(&txn.0) {
            return Err(Error::data("committed already"));
        }
        let store = self.store.lock().unwrap();
        let there = store.get(&txn.0);
        if there.is_none() && self.flaw != Flaw::Resurrects {
            return Err(Error::data("nothing is staged"));
        }
        done.push(txn.0.clone());
        let rows = there.map_or(0, |tables| staged.iter().filter_map(|s| tables.get(&s.table)).sum());
        Ok(Receipt { rows, location: "memory".into() })
    }

    async fn abort(&self, _: &Context, txn: &TxnId) -> Result<()> {
        let gone = self.store.lock().unwrap().remove(&txn.0);
        if gone.is_none() && self.flaw == Flaw::AbortsOnce {
            Err(Error::data("nothing is staged"))
        } else {
            Ok(())
        }
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}

async fn failed(flaw: Flaw) -> Vec<&'static str> {
    let (store, done) = (Store::default(), Arc::default());
    let sink = move || -> Result<DynSink> {
        Ok(Arc::new(Memory {
            flaw,
            store: store.clone(),
            done: Arc::clone(&done),
            staged_here: Mutex::default(),
        }))
    };
    let report = SinkSuite::new("memory", sink, crate::vendor::context).run().await;
    report.failed()
}

#[tokio::test]
async fn every_flaw_is_found_by_the_check_that_is_meant_for_it() {
    for (flaw, expected) in [
        (Flaw::None, &[][..]),
        (Flaw::Miscounts, &["stage", "commit", "restage", "abort", "broken_rows"]),
        (Flaw::NeedsRows, &["stage"]),
        (Flaw::Forgets, &["commit", "restage", "broken_rows"]),
        (Flaw::CommitsOnce, &["commit"]),
        (Flaw::Appends, &["restage"]),
        (Flaw::AbortsOnce, &["abort"]),
        (Flaw::Resurrects, &["abort"]),
        (Flaw::Swallows, &["broken_rows"]),
        (Flaw::Unreachable, &["connection"]),
    ] {
        assert_eq!(failed(flaw).await, expected, "{flaw:?}");
    }
}
