#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faults;
mod sending;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use futures::StreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use throughline_core::secret::Redactor;
use throughline_core::{Committable, Context, ErrorKind, FixedClock, Table, TxnId};

use super::address::Address;
use super::log::Current;
use super::*;
use crate::files::{FileEntry, TableFile};
use crate::staging::TableWriter;
use faults::{Broken, Rule};

const STEPS: [&str; 4] = ["begun", "decided", "pointed", "pruned"];

fn owner() -> Owner {
    Owner { connector: "parquet".into(), sink: "склад".into() }
}

fn context() -> Context {
    Context {
        name: "склад".into(),
        clock: Arc::new(FixedClock::at_us(1_758_000_000_000_000)),
        http: Arc::new(faults::Nothing),
        tokens: Arc::new(faults::Nothing),
        notes: Arc::new(faults::Nothing),
        cancel: Default::default(),
        scratch: std::env::temp_dir(),
    }
}

fn txn(name: &str) -> TxnId {
    TxnId(name.into())
}

/// A bucket in memory, as several processes see it.
#[derive(Default)]
struct Lake {
    store: Arc<InMemory>,
}

impl Lake {
    fn over(&self, store: Arc<dyn object_store::ObjectStore>) -> Bucket {
        let address = Address::parse("s3://lake/shop").unwrap();
        Bucket::new(Place::new(store, address, Redactor::new()), owner(), 2)
    }
    /// As a fresh process would see it.
    fn open(&self) -> Bucket {
        self.over(self.store.clone())
    }
    fn broken(&self, rules: Vec<Rule>) -> Bucket {
        self.over(Arc::new(Broken::new(self.store.clone(), rules)))
    }
    fn dying(&self, at: &'static str) -> Bucket {
        self.open().with_steps(Arc::new(move |step| {
            if step == at { Err(Error::bug(format!("crash at {step}"))) } else { Ok(()) }
        }))
    }
    async fn names(&self, below: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.open().place.list(below).await.unwrap().into_iter().map(|o| o.0).collect();
        names.sort();
        names
    }
    /// What `current.json` leads a reader to, by table.
    async fn read(&self) -> BTreeMap<String, String> {
        let place = self.open().place;
        let Some((text, _)) = place.read(CURRENT).await.unwrap() else { return BTreeMap::new() };
        let current: Current = serde_json::from_slice(&text).unwrap();
        let mut out = BTreeMap::new();
        for (name, table) in current.tables {
            let mut content = String::new();
            for file in &table.files {
                assert!(file.starts_with(&table.path));
                let below = file.strip_prefix("s3://lake/shop/").unwrap();
                let (bytes, _) = place.read(below).await.unwrap().expect(file);
                content.push_str(std::str::from_utf8(&bytes).unwrap());
            }
            out.insert(name, content);
        }
        out
    }
    async fn put(&self, name: &str, text: &str) {
        self.store.put(&Path::from(format!("shop/{name}")), text.to_owned().into()).await.unwrap();
    }
    async fn epochs(&self) -> Vec<String> {
        self.open().log().await.unwrap().into_iter().map(|m| m.txn).collect()
    }
    /// Data of epochs that stand in the log, and nothing else.
    async fn assert_tidy(&self) {
        let epochs = self.epochs().await;
        for name in self.names(DATA).await {
            let of = name.split('/').nth(1).unwrap();
            assert!(epochs.iter().any(|t| t == of), "{name} is left of {epochs:?}");
        }
    }
}

/// Writes the numbers as text, into one file.
struct Texts(Option<Box<dyn TableFile>>, u64);

impl TableWriter for Texts {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let column = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        for value in column.values() {
            write!(self.0.as_mut().unwrap(), "{value} ").map_err(|e| Error::io("write", "a test", e))?;
        }
        self.1 += batch.num_rows() as u64;
        Ok(())
    }
    fn finish(mut self: Box<Self>) -> Result<Vec<FileEntry>> {
        Ok(vec![self.0.take().unwrap().finish("part-0".into(), self.1)?])
    }
}

fn table(name: &str) -> Table {
    Table {
        name: name.into(),
        schema: Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)])),
        key: vec!["a".into()],
        partition_by: None,
        doc: String::new(),
    }
}

async fn stage_one(bucket: &Bucket, id: &TxnId, name: &str, values: Vec<i64>) -> Result<Committable> {
    let about = table(name);
    let batch = RecordBatch::try_new(about.schema.clone(), vec![Arc::new(Int64Array::from(values))]).unwrap();
    let rows = futures::stream::iter([Ok(batch)]).boxed();
    let open = |files: Box<dyn crate::files::TableFiles>, _: &_| Ok(Texts(Some(files.create("part-0")?), 0));
    bucket.stage(&context(), &about, rows, id, name, open).await
}

/// Two tables that hold the number of their epoch.
async fn stage(bucket: &Bucket, n: i64) -> Vec<Committable> {
    let mut staged = Vec::new();
    for name in ["visits", "заявки"] {
        staged.push(stage_one(bucket, &txn(&format!("t{n}")), name, vec![n, n]).await.unwrap());
    }
    staged
}

fn content(n: i64) -> BTreeMap<String, String> {
    ["visits", "заявки"].iter().map(|name| ((*name).to_owned(), format!("{n} {n} "))).collect()
}

async fn epoch(lake: &Lake, n: i64) -> Vec<Committable> {
    let staged = stage(&lake.open(), n).await;
    lake.open().commit(&context(), &txn(&format!("t{n}")), &staged).await.unwrap();
    staged
}

#[tokio::test]
async fn whatever_step_a_crash_follows_committing_again_ends_well() {
    for at in STEPS {
        let lake = Lake::default();
        let first = epoch(&lake, 1).await;
        let staged = stage(&lake.open(), 2).await;
        assert_eq!(lake.read().await, content(1), "staging is invisible");

        let error = lake.dying(at).commit(&context(), &txn("t2"), &staged).await.unwrap_err();
        assert!(error.to_string().contains(at), "{error}");
        let shown = matches!(at, "pointed" | "pruned");
        assert_eq!(lake.read().await, content(if shown { 2 } else { 1 }), "{at}: one whole epoch");

        let receipt = lake.open().commit(&context(), &txn("t2"), &staged).await.unwrap();
        assert_eq!((receipt.rows, receipt.location.as_str()), (4, "s3://lake/shop/current.json"));
        assert_eq!(lake.read().await, content(2), "{at}");
        // Done is done; an older epoch committed again takes nothing back.
        assert_eq!(lake.open().commit(&context(), &txn("t2"), &staged).await.unwrap(), receipt, "{at}");
        lake.open().commit(&context(), &txn("t1"), &first).await.unwrap();
        lake.open().abort(&context(), &txn("t2")).await.unwrap();
        assert_eq!(lake.read().await, content(2), "{at}");
        assert_eq!(lake.names(COMMITS).await, ["commits/0000000001.json", "commits/0000000002.json"]);
        lake.assert_tidy().await;
    }
}

/// A put whose answer says nothing true: it is looked up, and the epoch is there once.
#[tokio::test]
async fn an_answer_that_was_lost_is_looked_up() {
    let cut = || object_store::Error::Generic { store: "S3", source: "connection closed".into() };
    let taken =
        || object_store::Error::AlreadyExists { path: "x".into(), source: "412 Precondition Failed".into() };
    let cases: Vec<(&str, Vec<Rule>)> = vec![
        ("done, and cut", vec![Rule::after("put", "commits/", 1, cut)]),
        ("done, and refused to the client's second try", vec![Rule::after("put", "commits/", 1, taken)]),
        ("not done, and cut", vec![Rule::before("put", "commits/", 3, cut)]),
        ("refused, and nobody has it", vec![Rule::before("put", "commits/", 2, taken)]),
        ("the pointer is done, and cut", vec![Rule::after("put", "current.json", 1, cut)]),
        ("the pointer is done, and refused", vec![Rule::after("put", "current.json", 1, taken)]),
    ];
    for (what, rules) in cases {
        for n in [1, 2] {
            let lake = Lake::default();
            if n == 2 {
                epoch(&lake, 1).await;
            }
            let staged = stage(&lake.open(), n).await;
            let bucket = lake.broken(rules.iter().map(Rule::again).collect());
            let id = txn(&format!("t{n}"));
            let mut done = bucket.commit(&context(), &id, &staged).await;
            if what.contains("pointer") && what.contains("cut") {
                // The engine commits again.
                assert!(done.unwrap_err().is_temporary(), "{what}");
                done = lake.open().commit(&context(), &id, &staged).await;
            }
            done.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(lake.read().await, content(n), "{what}");
            assert_eq!(lake.names(COMMITS).await.len(), usize::try_from(n).unwrap(), "{what}");
        }
    }
}

#[tokio::test]
async fn a_marker_whose_answer_was_lost_is_ours() {
    let cut = || object_store::Error::Generic { store: "S3", source: "connection closed".into() };
    let lake = Lake::default();
    let staged = stage(&lake.broken(vec![Rule::after("put", "_throughline.json", 1, cut)]), 1).await;
    lake.open().commit(&context(), &txn("t1"), &staged).await.unwrap();
    let lake = Lake::default();
    let bucket = lake.broken(vec![Rule::before("put", "_throughline.json", 1, cut)]);
    let error = stage_one(&bucket, &txn("t1"), "visits", vec![1]).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    stage_one(&bucket, &txn("t1"), "visits", vec![1]).await.unwrap();
}

#[tokio::test]
async fn what_will_not_pass_is_told_at_once() {
    let denied = || object_store::Error::PermissionDenied { path: "x".into(), source: "AccessDenied".into() };
    let lake = Lake::default();
    epoch(&lake, 1).await;
    let staged = stage(&lake.open(), 2).await;
    let bucket = lake.broken(vec![Rule::before("put", "commits/", 1, denied)]);
    let error = bucket.commit(&context(), &txn("t2"), &staged).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Auth, false));
    assert!(error.to_string().contains("s3://lake/shop/commits/0000000002.json"), "{error}");
    // Cut off for good: some tries, then an error that says so; nothing is decided.
    let cut = || object_store::Error::Generic { store: "S3", source: "connection refused".into() };
    let error = lake
        .broken(vec![Rule::before("put", "commits/", u32::MAX, cut)])
        .commit(&context(), &txn("t2"), &staged)
        .await
        .unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert_eq!(lake.epochs().await, ["t1"]);
    assert_eq!(lake.read().await, content(1));
    lake.open().commit(&context(), &txn("t2"), &staged).await.unwrap();
    assert_eq!(lake.read().await, content(2));
}

/// Between looking for a number and taking it, another takes it.
#[tokio::test]
async fn of_two_that_take_one_number_the_other_takes_the_next() {
    let lake = Arc::new(Lake::default());
    epoch(&lake, 1).await;
    let (mine, theirs) = (stage(&lake.open(), 2).await, stage(&lake.open(), 3).await);
    let turns = AtomicU32::new(0);
    let other = lake.clone();
    let bucket = lake.open().with_steps(Arc::new(move |step| {
        if step == "begun" && turns.fetch_add(1, Ordering::SeqCst) == 0 {
            let done = futures::executor::block_on(other.open().commit(&context(), &txn("t3"), &theirs));
            assert_eq!(done.unwrap().rows, 4);
            assert_eq!(futures::executor::block_on(other.read()), content(3));
        }
        Ok(())
    }));
    bucket.commit(&context(), &txn("t2"), &mine).await.unwrap();
    assert_eq!(lake.epochs().await, ["t3", "t2"]);
    assert_eq!(lake.read().await, content(2), "who came last is shown last, whole");
    lake.assert_tidy().await;
}

/// Two processes with one ledger: the same epoch is committed once, and neither fails.
#[tokio::test]
async fn the_same_epoch_from_two_processes_is_one() {
    let lake = Arc::new(Lake::default());
    let (mine, theirs) = (stage(&lake.open(), 1).await, stage(&lake.open(), 1).await);
    let other = lake.clone();
    let bucket = lake.open().with_steps(Arc::new(move |step| {
        if step == "begun" {
            futures::executor::block_on(other.open().commit(&context(), &txn("t1"), &theirs)).unwrap();
        }
        Ok(())
    }));
    bucket.commit(&context(), &txn("t1"), &mine).await.unwrap();
    assert_eq!(lake.names(COMMITS).await.len(), 1);
    assert_eq!(lake.read().await, content(1));
    assert_eq!(lake.names(DATA).await.len(), 2, "the other try is deleted");
}

/// The one way to lose staged files between looking and deciding: readers are not sent there.
#[tokio::test]
async fn an_abort_in_the_very_moment_of_a_commit_is_not_shown() {
    let lake = Arc::new(Lake::default());
    epoch(&lake, 1).await;
    let staged = stage(&lake.open(), 2).await;
    let other = lake.clone();
    let bucket = lake.open().with_steps(Arc::new(move |step| {
        if step == "begun" {
            futures::executor::block_on(other.open().abort(&context(), &txn("t2"))).unwrap();
        }
        Ok(())
    }));
    for bucket in [bucket, lake.open()] {
        let error = bucket.commit(&context(), &txn("t2"), &staged).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert_eq!(lake.read().await, content(1));
    }
    epoch(&lake, 3).await;
    assert_eq!(lake.read().await, content(3));
}

#[tokio::test]
async fn the_pointer_goes_forward_only_and_is_made_anew() {
    let lake = Lake::default();
    epoch(&lake, 1).await;
    let staged = epoch(&lake, 2).await;
    let first = lake.open().log().await.unwrap().remove(0);
    lake.open().point_at(&first).await.unwrap();
    assert_eq!(lake.read().await, content(2));
    lake.put(CURRENT, "half {").await;
    lake.open().commit(&context(), &txn("t2"), &staged).await.unwrap();
    assert_eq!(lake.read().await, content(2));
    // A store that knows `If-None-Match` and not `If-Match`.
    let unknown = || object_store::Error::Generic {
        store: "S3",
        source: "Server returned non-2xx status code: 501 Not Implemented: <Code>NotImplemented</Code>"
            .into(),
    };
    let staged = stage(&lake.open(), 3).await;
    let bucket = lake.broken(vec![Rule::update("current.json", unknown)]);
    bucket.commit(&context(), &txn("t3"), &staged).await.unwrap();
    assert_eq!(lake.read().await, content(3));
    lake.put(
        CURRENT,
        r#"{"format": 99, "number": 1, "txn": "", "committed_at": "", "manifest": "", "tables": {}}"#,
    )
    .await;
    let error = lake.open().commit(&context(), &txn("t3"), &staged).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn old_epochs_go_but_never_the_one_before() {
    let lake = Lake::default();
    for n in 1..=4 {
        epoch(&lake, n).await;
    }
    lake.put("data/mine/x", "of others").await;
    assert_eq!(lake.epochs().await, ["t3", "t4"]);
    let mut dirs: Vec<String> =
        lake.names(DATA).await.iter().map(|n| n.split('/').nth(1).unwrap().to_owned()).collect();
    dirs.dedup();
    assert_eq!(dirs, ["mine", "t3", "t4"], "what is not ours is left alone");
    // A list that fails after the decision does not undo it.
    let staged = stage(&lake.open(), 5).await;
    let cut = || object_store::Error::Generic { store: "S3", source: "cut".into() };
    let bucket = lake.broken(vec![Rule::before("delete", "", u32::MAX, cut)]);
    bucket.commit(&context(), &txn("t5"), &staged).await.unwrap();
    assert_eq!((lake.read().await, lake.epochs().await.len()), (content(5), 3));
    assert_eq!(lake.open().drop_older(&context(), &txn("t5")).await.unwrap(), 2);
    assert_eq!(lake.epochs().await, ["t5"]);
    assert_eq!(lake.read().await, content(5));
    let error = lake.open().drop_older(&context(), &txn("t1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
}

#[tokio::test]
async fn staged_files_that_are_gone_or_short_are_not_committed() {
    let lake = Lake::default();
    epoch(&lake, 1).await;
    let staged = stage(&lake.open(), 2).await;
    let file = lake.names("data/t2").await.remove(0);
    lake.put(&file, "cut").await;
    let error = lake.open().commit(&context(), &txn("t2"), &staged).await.unwrap_err();
    assert!(
        error.to_string().contains("was staged with 4 bytes") && error.to_string().contains("it has 3"),
        "{error}"
    );
    lake.open().abort(&context(), &txn("t2")).await.unwrap();
    let error = lake.open().commit(&context(), &txn("t2"), &staged).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert_eq!(lake.read().await, content(1));
    lake.put("commits/0000000002.json", "{").await;
    let error = lake.open().log().await.unwrap_err();
    assert!(error.to_string().contains("s3://lake/shop/commits/0000000002.json cannot be read"), "{error}");
}

#[tokio::test]
async fn a_place_of_others_is_refused_and_left_as_it_is() {
    let lake = Lake::default();
    lake.put("photos/1.jpg", "x").await;
    let bucket = lake.open();
    let error = stage_one(&bucket, &txn("t1"), "visits", vec![1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("s3://lake/shop holds objects of others: photos/1.jpg"), "{error}");
    assert!(bucket.check(&context()).await.is_err());
    assert!(bucket.commit(&context(), &txn("t1"), &[]).await.is_err());
    bucket.abort(&context(), &txn("t1")).await.unwrap();
    let all: Vec<_> = lake.store.list(None).collect().await;
    assert_eq!(all.len(), 1);
    lake.store.delete(&Path::from("shop/photos/1.jpg")).await.unwrap();
    // A check that was broken off left its object; an epoch without tables is an epoch.
    lake.put("_throughline-probe-1", "x").await;
    assert_eq!(lake.open().commit(&context(), &txn("t1"), &[]).await.unwrap().rows, 0);

    let address = Address::parse("s3://lake/shop").unwrap();
    let other = Owner { sink: "other".into(), ..owner() };
    let bucket = Bucket::new(Place::new(lake.store.clone(), address, Redactor::new()), other, 2);
    let error = bucket.commit(&context(), &txn("t2"), &[]).await.unwrap_err();
    assert!(error.to_string().contains("s3://lake/shop belongs to the parquet sink \"склад\""), "{error}");
}

#[tokio::test]
async fn a_check_finds_out_what_the_store_can_do_and_leaves_nothing() {
    let lake = Lake::default();
    let report = lake.open().check(&context()).await.unwrap();
    assert!(report.facts.contains(&("conditional puts".into(), "honoured".into())), "{report:?}");
    assert_eq!(lake.store.list(None).collect::<Vec<_>>().await.len(), 0);
    epoch(&lake, 1).await;
    let report = lake.open().check(&context()).await.unwrap();
    assert!(report.facts.contains(&("current epoch".into(), "t1".into())), "{report:?}");

    let before = lake.store.list(None).collect::<Vec<_>>().await.len();
    let unknown = || object_store::Error::Generic {
        store: "S3",
        source: "Server returned non-2xx status code: 501 Not Implemented: ".into(),
    };
    let denied = || object_store::Error::PermissionDenied { path: "x".into(), source: "AccessDenied".into() };
    for (rule, kind, said) in [
        (Rule::unconditional(), ErrorKind::Unsupported, "does not honour conditional puts"),
        (Rule::before("put", "_throughline-probe", 9, unknown), ErrorKind::Unsupported, "does not honour"),
        (Rule::before("put", "_throughline-probe", 9, denied), ErrorKind::Auth, "AccessDenied"),
        (Rule::before("delete", "", 9, denied), ErrorKind::Auth, "AccessDenied"),
    ] {
        let error = lake.broken(vec![rule]).check(&context()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(said) && error.hint_text().is_some(), "{error}");
    }
    // Only where deleting is refused something stays.
    assert_eq!(lake.store.list(None).collect::<Vec<_>>().await.len(), before + 1);
}

#[tokio::test]
async fn names_cannot_leave_the_place() {
    let lake = Lake::default();
    for bad in ["", "..", "../x", "a/b", ".hidden", "да"] {
        assert_eq!(
            lake.open().abort(&context(), &txn(bad)).await.unwrap_err().kind(),
            ErrorKind::Bug,
            "{bad}"
        );
    }
    for bad in ["", "..", "a/b", ".t", "a\nb"] {
        let error = stage_one(&lake.open(), &txn("t1"), bad, vec![1]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
    }
    assert_eq!(lake.store.list(None).collect::<Vec<_>>().await.len(), 0);
}
