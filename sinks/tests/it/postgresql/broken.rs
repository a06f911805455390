//! Connections that break, servers that fall, processes that are killed: the rows are there once.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use futures::StreamExt as _;
use serde_json::json;
use throughline_core::{BatchStream, Committable, DynSink, Error, TxnId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;

use super::{Cluster, Schema};
use crate::suite::{self, Subject as _};
use crate::{context, try_build};

/// Stands between sink and server, and cuts the line at the n-th message of the sink.
struct Cutter {
    port: u16,
    seen: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Cut {
    at: usize,
    /// The server still gets the message and does what it says; its answer is lost.
    answer_lost: bool,
    /// No connection comes about any more.
    for_good: bool,
}

impl Cutter {
    async fn start(cluster: &Cluster, cut: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = cluster.socket().join(format!(".s.PGSQL.{}", cluster.port));
        let seen = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn({
            let seen = seen.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    if !(cut.for_good && seen.load(Ordering::SeqCst) >= cut.at) {
                        tokio::spawn(carry(client, socket.clone(), cut.clone(), seen.clone()));
                    }
                }
            }
        });
        Self { port, seen, task }
    }
}

async fn carry(client: TcpStream, socket: PathBuf, cut: Cut, seen: Arc<AtomicUsize>) {
    let Ok(server) = UnixStream::connect(socket).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mute = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(Notify::new());
    let back = tokio::spawn({
        let (mute, answered) = (mute.clone(), answered.clone());
        async move {
            let mut buffer = [0; 1 << 14];
            while let Ok(n @ 1..) = from_server.read(&mut buffer).await {
                if mute.load(Ordering::SeqCst) {
                    break;
                }
                if to_client.write_all(&buffer[..n]).await.is_err() {
                    break;
                }
            }
            answered.notify_one();
        }
    });
    let mut buffer = vec![0; 1 << 20];
    while let Ok(n @ 1..) = from_client.read(&mut buffer).await {
        // A goodbye comes while the next connection is at work already: it is no step.
        let goodbye = buffer[..n].first() == Some(&b'X');
        if !goodbye && seen.fetch_add(1, Ordering::SeqCst) + 1 == cut.at {
            if cut.answer_lost {
                mute.store(true, Ordering::SeqCst);
                let _ = to_server.write_all(&buffer[..n]).await;
                // Rows of a COPY have no answer of their own.
                let _ = tokio::time::timeout(Duration::from_millis(50), answered.notified()).await;
            }
            break;
        }
        if to_server.write_all(&buffer[..n]).await.is_err() {
            break;
        }
    }
    back.abort();
}

/// One table, with a key or replaced by days.
fn tables(n: i64, keyed: bool) -> [(throughline_core::Table, Vec<RecordBatch>); 1] {
    let day = i32::try_from(n).unwrap();
    let of = suite::rows(&[(1, Some("a"), day), (n + 2, None, 7), (-n, Some("c"), day)]);
    let key: &[&str] = if keyed { &["id"] } else { &[] };
    [(suite::table("a", key, &of), vec![of.clone()])]
}

/// The ids in the table, and what is staged, by one question.
fn look(schema: &Schema) -> [String; 2] {
    let sql = format!(
        "SELECT string_agg(id::text, ' ' ORDER BY id), (SELECT count(*) FROM {})::text || (\
           SELECT count(*) FROM pg_class c, pg_namespace n WHERE n.oid = relnamespace AND relname LIKE 's\\_%' \
           AND nspname = '{} на пути') FROM {}",
        schema.own("staged"),
        schema.name,
        schema.shown("a")
    );
    schema.cluster.query(&sql).swap_remove(0).try_into().unwrap()
}

fn expected(n: i64) -> [String; 2] {
    let mut ids = [1, n + 2, -n];
    ids.sort_unstable();
    [ids.map(|id| id.to_string()).join(" "), "00".into()]
}

async fn try_epoch(sink: &DynSink, n: i64, keyed: bool) -> Result<Vec<Committable>, Vec<Committable>> {
    let (ctx, txn) = (context(), TxnId(format!("txn-{n}")));
    let mut staged = Vec::new();
    for (table, batches) in tables(n, keyed) {
        match sink.stage(&ctx, &table, crate::stream(batches), &txn).await {
            Ok(done) => staged.push(done),
            Err(error) => {
                assert!(error.is_temporary(), "{error}");
                return Err(Vec::new());
            }
        }
    }
    match sink.commit(&ctx, &txn, &staged).await {
        Ok(_) => Ok(staged),
        Err(error) => {
            assert!(error.is_temporary(), "{error}");
            Err(staged)
        }
    }
}

/// Every step of staging and committing, both before the server gets the message and after it has done it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_cut_anywhere_loses_and_doubles_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    for for_good in [false, true] {
        let schema = Schema::new(cluster);
        let fresh = schema.sink();
        let mut n = 1;
        assert!(try_epoch(&fresh, n, !for_good).await.is_ok());
        let (mut at, mut committed) = (1, 0);
        loop {
            n += 1;
            let cutter =
                Cutter::start(cluster, Cut { at, answer_lost: at % 2 == 0 || !for_good, for_good }).await;
            let sink = schema.sink_with(json!({"host": "127.0.0.1", "port": cutter.port}));
            let done = try_epoch(&sink, n, !for_good).await;
            let reached = cutter.seen.load(Ordering::SeqCst) >= at;
            cutter.task.abort();
            let shown = match done {
                Ok(_) => {
                    assert!(!(reached && for_good), "cut at {at} and nobody noticed");
                    n
                }
                Err(_) if !for_good => panic!("one cut at {at} should be mended"),
                // Prepared: a fresh process commits it, whether the server had done so or not.
                Err(staged) if staged.len() == 1 => {
                    let txn = TxnId(format!("txn-{n}"));
                    fresh.commit(&context(), &txn, &staged).await.unwrap();
                    committed += 1;
                    n
                }
                Err(_) => {
                    fresh.abort(&context(), &TxnId(format!("txn-{n}"))).await.unwrap();
                    n - 1
                }
            };
            assert_eq!(look(&schema), expected(shown), "cut at {at}, for good: {for_good}");
            if shown < n {
                // What was dropped is not seen again.
                assert!(try_epoch(&fresh, n, !for_good).await.is_ok());
            }
            if !reached {
                break;
            }
            at += 1;
        }
        assert!(at > 30, "only {at} steps");
        assert!(!for_good || committed > 10, "only {committed} commits were cut");
    }
}

/// What a server says when another try may help, said by a trigger on the ledger of epochs.
#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_not() {
    let Some(cluster) = Cluster::shared() else { return };
    let schema = Schema::new(cluster);
    let sink = schema.sink();
    assert!(try_epoch(&sink, 1, true).await.is_ok());
    // A sequence counts on when its transaction is undone.
    let (tries, refuse, epochs) = (schema.own("tries"), schema.own("refuse"), schema.own("epochs"));
    let trigger = |codes: &str| {
        format!(
            "DROP SEQUENCE IF EXISTS {tries} CASCADE; CREATE SEQUENCE {tries}; \
             CREATE OR REPLACE FUNCTION {refuse}() RETURNS trigger LANGUAGE plpgsql AS $$ \
             DECLARE codes text[] := '{codes}'; n bigint := nextval('{}'); \
             BEGIN IF n <= cardinality(codes) THEN RAISE EXCEPTION 'try %', n USING ERRCODE = codes[n]; END IF; \
             RETURN NEW; END $$; \
             CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON {epochs} FOR EACH ROW EXECUTE FUNCTION {refuse}()",
            tries.replace('\'', "''")
        )
    };
    let tried = || cluster.value(&format!("SELECT last_value FROM {tries}"));
    cluster.query(&trigger("{40001,40P01,57P01,08006,55P03,53300}"));
    assert!(try_epoch(&sink, 2, true).await.is_ok());
    assert_eq!((look(&schema), tried().as_str()), (expected(2), "7"));

    cluster.query(&trigger("{23514,23514}"));
    let batch = suite::rows(&[(1, None, 1)]);
    let staged =
        suite::stage(&sink, "t3", &[(suite::table("a", &["id"], &batch), vec![batch.clone()])]).await;
    let error = sink.commit(&context(), &TxnId("t3".into()), &staged).await.unwrap_err();
    assert!(!error.is_temporary() && error.to_string().contains("try 1"), "{error}");
    assert_eq!(tried(), "1");
    sink.abort(&context(), &TxnId("t3".into())).await.unwrap();
    assert_eq!(look(&schema), expected(2));
}

const BATCHES: usize = 40;
const BATCH: usize = 4_000;

/// Some 30 MB: several chunks.
fn many(then: impl Fn(usize) + Send + Sync + 'static) -> (RecordBatch, BatchStream) {
    let schema = Arc::new(ArrowSchema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("text", DataType::Utf8, true),
    ]));
    let batch = move |i: usize| {
        let from = (i * BATCH) as i64;
        let ids = Int64Array::from_iter_values(from..from + BATCH as i64);
        let texts = StringArray::from_iter_values((0..BATCH).map(|k| format!("{k:0>180}")));
        RecordBatch::try_new(schema.clone(), vec![Arc::new(ids), Arc::new(texts)]).unwrap()
    };
    let first = batch(0);
    let stream = futures::stream::iter(0..BATCHES).map(move |i| {
        then(i);
        Ok(batch(i))
    });
    (first, stream.boxed())
}

fn assert_all_there(cluster: &Cluster, schema: &Schema) {
    let n = BATCHES * BATCH;
    let found =
        cluster.query(&format!("SELECT count(*), count(DISTINCT id), sum(id) FROM {}", schema.shown("big")));
    assert_eq!(found[0], [n.to_string(), n.to_string(), (n * (n - 1) / 2).to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loading_goes_on_when_the_servers_process_is_ended() {
    let Some(cluster) = Cluster::shared() else { return };
    let schema = Schema::new(cluster);
    cluster.query("CREATE ROLE ended LOGIN SUPERUSER");
    let ended = Arc::new(AtomicUsize::new(0));
    let end = {
        let ended = ended.clone();
        move || {
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ended' AND pid <> pg_backend_pid()";
            ended.fetch_add(cluster.query(sql).len(), Ordering::SeqCst);
        }
    };
    let sink = schema.sink_with(json!({"user": "ended"}));
    let (batch, rows) = many({
        let end = end.clone();
        move |i| {
            if i % 13 == 12 {
                end();
            }
        }
    });
    let about = crate::table("big", batch.schema());
    let (ctx, txn) = (context(), TxnId("t1".into()));
    let staged = sink.stage(&ctx, &about, rows, &txn).await.unwrap();
    assert!(ended.load(Ordering::SeqCst) > 0, "nothing was ended");
    assert_eq!(staged.rows, (BATCHES * BATCH) as u64);
    let over = Arc::new(AtomicBool::new(false));
    let ending = std::thread::spawn({
        let over = over.clone();
        move || {
            for _ in 0..5 {
                if !over.load(Ordering::SeqCst) {
                    end();
                }
            }
        }
    });
    sink.commit(&ctx, &txn, &[staged]).await.unwrap();
    over.store(true, Ordering::SeqCst);
    ending.join().unwrap();
    assert_all_there(cluster, &schema);
    assert_eq!(schema.staged(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_keeps_what_was_staged() {
    // Its own: others must not fall with it.
    let Some(cluster) = Cluster::start() else { return };
    let cluster = Arc::new(cluster);
    let schema = Schema::new(&cluster);
    let sink = schema.sink();
    let (batch, rows) = many({
        let cluster = cluster.clone();
        move |i| {
            if i == BATCHES / 2 {
                cluster.crash();
                cluster.up();
            }
        }
    });
    let about = crate::table("big", batch.schema());
    let (ctx, txn) = (context(), TxnId("t1".into()));
    let staged = sink.stage(&ctx, &about, rows, &txn).await.unwrap();
    cluster.crash();
    let error = sink.commit(&ctx, &txn, std::slice::from_ref(&staged)).await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("no connection"), "{error}");
    cluster.up();
    schema.sink().commit(&ctx, &txn, &[staged]).await.unwrap();
    assert_all_there(&cluster, &schema);
    cluster.crash();
    cluster.up();
    assert_all_there(&cluster, &schema);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_load_the_same_the_later_counts_and_a_broken_load_leaves_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let schema = Arc::new(Schema::new(cluster));
    let (ctx, txn) = (context(), TxnId("t1".into()));
    let (batch, rows) = many(|_| {});
    let about = crate::table("big", batch.schema());
    let broken =
        rows.take(BATCHES - 5).chain(futures::stream::iter([Err(Error::data("page 35 is cut"))])).boxed();
    let error = schema.sink().stage(&ctx, &about, broken, &txn).await.unwrap_err();
    assert!(error.to_string().contains("page 35 is cut"), "{error}");
    assert_eq!(schema.staged(), 0);

    // The later one is a task of its own: it goes on when the earlier one gives up.
    let (begin, begun) = tokio::sync::oneshot::channel();
    let done = Arc::new(Notify::new());
    let later = tokio::spawn({
        let (schema, about, txn, done) = (schema.clone(), about.clone(), txn.clone(), done.clone());
        async move {
            begun.await.unwrap();
            let staged = schema.sink().stage(&context(), &about, many(|_| {}).1, &txn).await;
            done.notify_one();
            staged
        }
    });
    let mut begin = Some(begin);
    let interrupted = many(|_| {}).1.enumerate().then(move |(i, rows)| {
        let begin = begin.take_if(|_| i == BATCHES / 2);
        let done = done.clone();
        async move {
            if let Some(begin) = begin {
                begin.send(()).unwrap();
                done.notified().await;
            }
            rows
        }
    });
    let error = schema.sink().stage(&ctx, &about, interrupted.boxed(), &txn).await.unwrap_err();
    assert!(error.to_string().contains("another run stages the same table"), "{error}");
    let staged = later.await.unwrap().unwrap();
    schema.sink().commit(&ctx, &txn, &[staged]).await.unwrap();
    assert_all_there(cluster, &schema);
    assert_eq!(schema.staged(), 0);
}

/// The test binary again, publishing without end until it is killed.
fn publisher(folder: &Path, schema: &Schema) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "postgresql::broken::child_that_publishes", "--nocapture", "--test-threads=1"])
        .env("TL_PG_CHILD", folder)
        .env("TL_PG_OPTIONS", schema.options().to_string())
        .stdout(std::process::Stdio::piped());
    command
}

/// Every row of every table of epoch `n` holds `n`.
fn wide_epoch(n: i64) -> [(throughline_core::Table, Vec<RecordBatch>); 2] {
    let schema = Arc::new(ArrowSchema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("n", DataType::Int64, false),
    ]));
    let rows = 20_000;
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..rows)),
        Arc::new(Int64Array::from(vec![n; rows as usize])),
    ];
    let batch = RecordBatch::try_new(schema, columns).unwrap();
    ["visits", "deals"].map(|name| (crate::table(name, batch.schema()), vec![batch.clone()]))
}

/// The epoch that one statement sees in both tables.
fn epoch_seen(cluster: &Cluster, schema: &Schema) -> i64 {
    let of = |t: &str| format!("SELECT n, count(*) AS rows FROM {} GROUP BY n", schema.shown(t));
    let seen = cluster.query(&format!("{} UNION ALL {}", of("visits"), of("deals")));
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[0] == seen[1] && seen[0][1] == "20000", "{seen:?}");
    seen[0][0].parse().unwrap()
}

#[tokio::test]
async fn killed_at_any_moment_it_goes_on_from_there() {
    let Some(cluster) = Cluster::shared() else { return };
    let schema = Schema::new(cluster);
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..6_u64 {
        let mut child = publisher(folder.path(), &schema).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while !lines.next().unwrap().unwrap().starts_with("published") {}
        std::thread::sleep(Duration::from_millis(round * 41));
        child.kill().unwrap();
        child.wait().unwrap();

        let seen = epoch_seen(cluster, &schema);
        assert!(seen >= last, "{seen} < {last}");
        let (n, staged): (i64, Vec<Committable>) =
            serde_json::from_slice(&std::fs::read(folder.path().join("ledger.json")).unwrap()).unwrap();
        let sink = schema.sink();
        sink.commit(&context(), &TxnId(format!("txn-{n}")), &staged).await.unwrap();
        sink.abort(&context(), &TxnId(format!("txn-{}", n + 1))).await.unwrap();
        assert_eq!(epoch_seen(cluster, &schema), n);
        assert_eq!(schema.staged(), 0);
        last = n;
    }
}

#[tokio::test]
async fn child_that_publishes() {
    let Some(folder) = std::env::var_os("TL_PG_CHILD") else { return };
    let folder = Path::new(&folder);
    let options = serde_json::from_str(&std::env::var("TL_PG_OPTIONS").unwrap()).unwrap();
    let sink = try_build("postgresql", folder, options).unwrap();
    let before = std::fs::read(folder.join("ledger.json"))
        .map_or(0, |ledger| serde_json::from_slice::<(i64, Vec<Committable>)>(&ledger).unwrap().0);
    for n in before + 1.. {
        let txn = format!("txn-{n}");
        let staged = suite::stage(&sink, &txn, &wide_epoch(n)).await;
        // The ledger: prepared by one rename.
        std::fs::write(folder.join("part"), serde_json::to_vec(&(n, &staged)).unwrap()).unwrap();
        std::fs::rename(folder.join("part"), folder.join("ledger.json")).unwrap();
        sink.commit(&context(), &TxnId(txn), &staged).await.unwrap();
        println!("published {n}");
        std::io::stdout().flush().unwrap();
    }
}

/// A statement over both tables sees one epoch at any time, and is not kept waiting by a commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_always_sees_one_whole_epoch() {
    let Some(cluster) = Cluster::shared() else { return };
    let schema = Schema::new(cluster);
    let sink = schema.sink();
    suite::epoch(&sink, "txn-1", &wide_epoch(1)).await;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut last, mut seen) = (0, 0);
            while !stop.load(Ordering::SeqCst) {
                let n = epoch_seen(cluster, &schema);
                assert!(n >= last, "never back");
                (last, seen) = (n, seen + 1);
            }
            seen
        });
        let handle = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            handle.block_on(async {
                for n in 2..=6 {
                    suite::epoch(&sink, &format!("txn-{n}"), &wide_epoch(n)).await;
                }
            });
        });
        stop.store(true, Ordering::SeqCst);
        assert!(reader.join().unwrap() > 0);
    });
    // Somebody's open transaction does not hinder the next epoch either: a commit that waited for it would give
    // up in the end.
    let held = cluster.hold(&format!("SELECT count(*) FROM {}", schema.shown("visits")));
    suite::epoch(&sink, "txn-7", &wide_epoch(7)).await;
    drop(held);
    assert_eq!(epoch_seen(cluster, &schema), 7);
}
