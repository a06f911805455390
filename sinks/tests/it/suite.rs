//! What every sink that shows whole epochs must do, whatever it writes to. A sink joins by a [`Subject`].

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use futures::StreamExt as _;
use throughline_core::{Committable, DynSink, Error, ErrorKind, Table, TxnId};

use crate::{context, stream};

/// A destination of its own, empty at first.
pub(crate) trait Subject {
    /// The sink as a fresh process sets it up.
    fn sink(&self) -> DynSink;
    /// The rows that readers see, as texts, sorted; `None` when there is no such table.
    fn read(&self, table: &str, columns: &[&str]) -> Option<Vec<Vec<String>>>;
    /// What is staged and neither committed nor dropped.
    fn staged(&self) -> usize;
    /// Another type of a column is refused; else it is taken.
    fn refuses_other_types(&self) -> bool;
}

type Row<'a> = (i64, Option<&'a str>, i32);

pub(crate) fn rows(of: &[Row]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("имя", DataType::Utf8, true),
        Field::new("date", DataType::Date32, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(of.iter().map(|r| r.0))),
        Arc::new(of.iter().map(|r| r.1).collect::<StringArray>()),
        Arc::new(Date32Array::from_iter_values(of.iter().map(|r| r.2))),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

pub(crate) fn table(name: &str, key: &[&str], rows: &RecordBatch) -> Table {
    Table {
        name: name.into(),
        schema: rows.schema(),
        key: key.iter().map(|k| (*k).to_owned()).collect(),
        partition_by: Some("date".into()),
        doc: "О чём таблица".into(),
    }
}

fn texts(of: &[Row]) -> Vec<Vec<String>> {
    let day =
        |d: i32| chrono::DateTime::from_timestamp(i64::from(d) * 86_400, 0).unwrap().date_naive().to_string();
    let mut rows: Vec<Vec<String>> = of
        .iter()
        .map(|(id, name, d)| vec![id.to_string(), name.unwrap_or("∅").to_owned(), day(*d)])
        .collect();
    rows.sort();
    rows
}

pub(crate) const COLUMNS: [&str; 3] = ["id", "имя", "date"];

pub(crate) async fn stage(
    sink: &DynSink,
    txn: &str,
    tables: &[(Table, Vec<RecordBatch>)],
) -> Vec<Committable> {
    let mut staged = Vec::new();
    for (table, batches) in tables {
        let txn = TxnId(txn.into());
        staged.push(sink.stage(&context(), table, stream(batches.clone()), &txn).await.unwrap());
    }
    staged
}

pub(crate) async fn epoch(
    sink: &DynSink,
    txn: &str,
    tables: &[(Table, Vec<RecordBatch>)],
) -> Vec<Committable> {
    let staged = stage(sink, txn, tables).await;
    sink.commit(&context(), &TxnId(txn.into()), &staged).await.unwrap();
    staged
}

/// Everything below, on destinations that `fresh` makes.
pub(crate) async fn run<S: Subject>(fresh: impl Fn() -> S) {
    rows_come_change_and_go(&fresh()).await;
    tables_come_and_go(&fresh()).await;
    columns_change(&fresh()).await;
    a_fresh_process_commits_what_another_staged(&fresh()).await;
    what_is_dropped_is_gone(&fresh()).await;
    two_at_once(&fresh()).await;
    older_epochs_can_go(&fresh()).await;
}

/// Append, merge, replace: epochs follow one another, with a key and without one.
async fn rows_come_change_and_go(subject: &impl Subject) {
    let sink = subject.sink();
    let epochs: [&[Row]; 6] = [
        &[(1, Some("a"), 20_000), (2, None, 20_000), (3, Some(""), 20_001)],
        // More rows, and nothing else.
        &[(1, Some("a"), 20_000), (2, None, 20_000), (3, Some(""), 20_001), (4, Some("مرحبا"), 20_002)],
        // A change of each kind: null to text, text to null, another day, a row less.
        &[(1, None, 20_000), (2, Some("б"), 20_001), (4, Some("مرحبا \"'\\\n\t"), 20_002)],
        &[(1, None, 20_000), (2, Some("б"), 20_001), (4, Some("مرحبا \"'\\\n\t"), 20_002)],
        // Nothing, and something again.
        &[],
        &[(9, Some("z"), 0)],
    ];
    for (n, of) in epochs.iter().enumerate() {
        let batch = rows(of);
        let halves = vec![batch.slice(0, of.len() / 2), batch.slice(of.len() / 2, of.len() - of.len() / 2)];
        let tables = [
            (table("keyed", &["id"], &batch), halves.clone()),
            (table("keyless", &[], &batch), halves.clone()),
            (Table { partition_by: None, ..table("bare", &[], &batch) }, halves),
        ];
        let txn = format!("txn-{n}");
        let staged = epoch(&sink, &txn, &tables).await;
        assert_eq!(staged.iter().map(|c| c.rows).collect::<Vec<_>>(), [of.len() as u64; 3]);
        for name in ["keyed", "keyless", "bare"] {
            assert_eq!(subject.read(name, &COLUMNS), Some(texts(of)), "{name} in epoch {n}");
        }
        assert_eq!(subject.staged(), 0);
        // Committing again changes nothing, also when it is told of an older one.
        sink.commit(&context(), &TxnId(txn), &staged).await.unwrap();
        assert_eq!(subject.read("keyed", &COLUMNS), Some(texts(of)));
    }
    // Rows that are there twice stay two where there is no key.
    let double = rows(&[(1, None, 5), (1, None, 5), (1, None, 6)]);
    for (n, of) in [double.clone(), double.slice(0, 1), double].into_iter().enumerate() {
        epoch(&sink, &format!("double-{n}"), &[(table("keyless", &[], &of), vec![of.clone()])]).await;
        assert_eq!(subject.read("keyless", &["id"]).unwrap().len(), of.num_rows());
    }
}

async fn tables_come_and_go(subject: &impl Subject) {
    let sink = subject.sink();
    let batch = rows(&[(1, Some("a"), 1)]);
    let of = |names: &[&str]| -> Vec<(Table, Vec<RecordBatch>)> {
        names.iter().map(|n| (table(n, &["id"], &batch), vec![batch.clone()])).collect()
    };
    epoch(&sink, "t1", &of(&["one", "two"])).await;
    epoch(&sink, "t2", &of(&["two", "three"])).await;
    assert_eq!(subject.read("one", &COLUMNS), None, "no table of an older epoch stands beside the new ones");
    assert!(subject.read("two", &COLUMNS).is_some() && subject.read("three", &COLUMNS).is_some());
    epoch(&sink, "t3", &of(&["one"])).await;
    assert!(subject.read("one", &COLUMNS).is_some() && subject.read("two", &COLUMNS).is_none());
}

async fn columns_change(subject: &impl Subject) {
    let sink = subject.sink();
    let batch = rows(&[(1, Some("a"), 1), (2, Some("b"), 2)]);
    epoch(&sink, "t1", &[(table("deals", &["id"], &batch), vec![batch.clone()])]).await;
    // A new column, in the middle.
    let more = RecordBatch::try_new(
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("amount", DataType::Int64, true),
            Field::new("имя", DataType::Utf8, true),
        ])),
        vec![
            Arc::new(Int64Array::from(vec![1, 3])),
            Arc::new(Int64Array::from(vec![Some(i64::MAX), None])),
            Arc::new(StringArray::from(vec!["a", "c"])),
        ],
    )
    .unwrap();
    epoch(&sink, "t2", &[(table("deals", &["id"], &more), vec![more.clone()])]).await;
    let expected = [["1", "9223372036854775807", "a"], ["3", "∅", "c"]];
    assert_eq!(subject.read("deals", &["id", "amount", "имя"]).unwrap(), expected);
    // A wider type.
    let wide = |column: ArrayRef| {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("amount", column.data_type().clone(), true),
        ]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(vec![1, 3])), column]).unwrap()
    };
    let decimals = Decimal128Array::from(vec![Some(i128::from(i64::MAX) * 10 * 1_000_000_000), Some(-1)]);
    let decimals = wide(Arc::new(decimals.with_precision_and_scale(38, 9).unwrap()));
    epoch(&sink, "t3", &[(table("deals", &["id"], &decimals), vec![decimals.clone()])]).await;
    let expected = [["1", "92233720368547758070.000000000"], ["3", "-0.000000001"]];
    assert_eq!(subject.read("deals", &["id", "amount"]).unwrap(), expected);
    // Another type: what readers have stays, and the error says where.
    let other = wide(Arc::new(StringArray::from(vec!["x", "y"])));
    let about = table("deals", &["id"], &other);
    let done = sink.stage(&context(), &about, stream(vec![other]), &TxnId("t4".into())).await;
    assert_eq!(done.is_err(), subject.refuses_other_types());
    if let Err(error) = done {
        let said = error.to_string();
        assert!(said.contains("deals") && said.contains("amount") && error.hint_text().is_some(), "{said}");
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    sink.abort(&context(), &TxnId("t4".into())).await.unwrap();
    assert_eq!(subject.read("deals", &["id", "amount"]).unwrap(), expected);
    assert_eq!(subject.staged(), 0);
}

async fn a_fresh_process_commits_what_another_staged(subject: &impl Subject) {
    let batch = rows(&[(1, Some("a"), 1), (2, None, 2)]);
    let tables =
        [(table("a", &["id"], &batch), vec![batch.clone()]), (table("b", &[], &batch), vec![batch.clone()])];
    let staged = stage(&subject.sink(), "t1", &tables).await;
    assert_eq!(subject.read("a", &COLUMNS), None, "staging is invisible");
    // Through the ledger, as the engine keeps it.
    let kept = serde_json::to_string(&staged).unwrap();
    let staged: Vec<Committable> = serde_json::from_str(&kept).unwrap();
    let receipt = subject.sink().commit(&context(), &TxnId("t1".into()), &staged).await.unwrap();
    assert_eq!(receipt, subject.sink().commit(&context(), &TxnId("t1".into()), &staged).await.unwrap());
    assert_eq!(receipt.rows, 4);
    assert_eq!(subject.read("b", &COLUMNS).unwrap().len(), 2);
    assert_eq!(subject.staged(), 0);
}

async fn what_is_dropped_is_gone(subject: &impl Subject) {
    let sink = subject.sink();
    let (one, two) = (rows(&[(1, Some("a"), 1)]), rows(&[(2, Some("b"), 1)]));
    let about = table("a", &["id"], &one);
    let t1 = TxnId("t1".into());
    sink.abort(&context(), &t1).await.unwrap();
    let first = stage(&sink, "t1", &[(about.clone(), vec![one.clone()])]).await;
    // Staged again under the same id: the later one counts.
    let again = stage(&sink, "t1", &[(about.clone(), vec![two])]).await;
    assert_eq!(first[0].rows, again[0].rows);
    sink.commit(&context(), &t1, &again).await.unwrap();
    assert_eq!(subject.read("a", &["id"]).unwrap(), [["2"]]);
    // An abort after the commit takes nothing away; one before it does.
    subject.sink().abort(&context(), &t1).await.unwrap();
    assert_eq!(subject.read("a", &["id"]).unwrap(), [["2"]]);
    let t2 = TxnId("t2".into());
    let dropped = stage(&sink, "t2", &[(about.clone(), vec![one.clone()])]).await;
    subject.sink().abort(&context(), &t2).await.unwrap();
    assert_eq!(subject.staged(), 0);
    let error = sink.commit(&context(), &t2, &dropped).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "the engine gives such an epoch up: {error}");
    assert_eq!(subject.read("a", &["id"]).unwrap(), [["2"]]);
    // A stream that breaks off is no table.
    let broken = futures::stream::iter([Ok(one.clone()), Err(Error::data("page 3 is cut"))]).boxed();
    let error = sink.stage(&context(), &about, broken, &TxnId("t3".into())).await.unwrap_err();
    assert!(error.to_string().contains("page 3 is cut"), "{error}");
    let stopped = context();
    stopped.cancel.cancel();
    let error = sink.stage(&stopped, &about, stream(vec![one]), &TxnId("t4".into())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    for txn in ["t3", "t4"] {
        sink.abort(&context(), &TxnId(txn.into())).await.unwrap();
    }
    assert_eq!(subject.staged(), 0);
}

/// Two runs stage and commit at once: one epoch wins whole, the other was there whole before it.
async fn two_at_once(subject: &impl Subject) {
    let batch =
        |n: i64| rows(&(0..200).map(|i| (i, Some("x"), i32::try_from(n).unwrap())).collect::<Vec<_>>());
    for round in 0..3 {
        let publish = async |n: i64| {
            let of = batch(n);
            let tables =
                [(table("a", &["id"], &of), vec![of.clone()]), (table("b", &[], &of), vec![of.clone()])];
            epoch(&subject.sink(), &format!("txn-{n}"), &tables).await;
        };
        futures::future::join(publish(round * 2), publish(round * 2 + 1)).await;
        let mut seen: Vec<String> = ["a", "b"]
            .iter()
            .flat_map(|t| subject.read(t, &["date"]).unwrap())
            .map(|mut row| row.swap_remove(0))
            .collect();
        assert_eq!(seen.len(), 400);
        seen.dedup();
        assert_eq!(seen.len(), 1, "a mixture of two epochs: {seen:?}");
    }
    assert_eq!(subject.staged(), 0);
}

async fn older_epochs_can_go(subject: &impl Subject) {
    let sink = subject.sink();
    for n in 1..=3 {
        let of = rows(&[(n, Some("a"), 1)]);
        epoch(&sink, &format!("t{n}"), &[(table("a", &["id"], &of), vec![of.clone()])]).await;
    }
    let dropped = subject.sink().drop_older(&context(), &TxnId("t3".into())).await.unwrap();
    assert!(dropped.is_some_and(|n| n > 0), "{dropped:?}");
    assert_eq!(subject.read("a", &["id"]).unwrap(), [["3"]]);
}
