//! Loads the same rows into a private PostgreSQL by psql's `\copy` and by the sink, in one run, and prints how
//! they compare: `tools/bench-postgresql.sh`. `ROWS` says how many, 1000000 when it is not set.

#[path = "../tests/it/postgresql/cluster.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod cluster;
#[path = "../tests/it/nothing.rs"]
mod nothing;

use std::error::Error;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use futures::StreamExt as _;
use serde_json::json;
use throughline_core::{DynSink, Options, SystemClock, Table, TxnId};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BATCH: usize = 8_192;
const TIMES: usize = 3;
const COLUMNS: &str = "id text, date date, ts timestamptz, person_id text, channel_id text, campaign_key text, \
    status text, amount numeric(38,2), amount_minor bigint, currency text, page text, touches bigint";

fn main() -> Result<()> {
    let rows: usize = match std::env::var("ROWS") {
        Ok(rows) => rows.parse().map_err(|e| format!("ROWS={rows:?} is no number of rows: {e}"))?,
        Err(_) => 1_000_000,
    };
    let Some(cluster) = cluster::Cluster::start_with("-c max_wal_size=8GB -c shared_buffers=128MB") else {
        return Ok(());
    };
    let batches: Vec<RecordBatch> =
        (0..rows).step_by(BATCH).map(|from| batch(from, BATCH.min(rows - from))).collect::<Result<_>>()?;
    let file = tempfile::NamedTempFile::new()?;
    write_text(file.as_file(), &batches)
        .map_err(|e| format!("the rows for psql cannot be written to {}: {e}", file.path().display()))?;
    std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;

    let (mut copy, mut after, mut keyed, mut first, mut merge) =
        (f64::MAX, f64::MAX, f64::MAX, f64::MAX, f64::MAX);
    for time in 0..TIMES {
        // \copy into a table without an index, then the key and the statistics that the sink makes too.
        let table = format!("by_psql_{time}");
        cluster.query(&format!("CREATE TABLE {table} ({COLUMNS})"));
        let begun = Instant::now();
        cluster.query(&format!("\\copy {table} FROM '{}'", file.path().display()));
        copy = copy.min(begun.elapsed().as_secs_f64());
        cluster.query(&format!("ALTER TABLE {table} ADD PRIMARY KEY (id); ANALYZE {table}"));
        after = after.min(begun.elapsed().as_secs_f64());
        // And as one would do it by hand: into a table as it is published, with its key.
        cluster.query(&format!("CREATE TABLE {table}_keyed ({COLUMNS}, PRIMARY KEY (id)); CHECKPOINT"));
        let begun = Instant::now();
        cluster.query(&format!("\\copy {table}_keyed FROM '{}'", file.path().display()));
        keyed = keyed.min(begun.elapsed().as_secs_f64());
        cluster.query(&format!("DROP TABLE {table}_keyed; CHECKPOINT"));

        let sink = sink(&cluster, &format!("by_sink_{time}"))?;
        let begun = Instant::now();
        runtime.block_on(publish(&sink, "t1", &batches))?;
        first = first.min(begun.elapsed().as_secs_f64());
        cluster.query("CHECKPOINT");
        let begun = Instant::now();
        runtime.block_on(publish(&sink, "t2", &batches))?;
        merge = merge.min(begun.elapsed().as_secs_f64());
        let same = format!("SELECT count(*) FROM (TABLE {table} EXCEPT ALL TABLE by_sink_{time}.deals) AS d");
        let different = cluster.value(&same);
        if different != "0" {
            return Err(format!("{different} of psql's rows are not among the sink's").into());
        }
        cluster.query(&format!("DROP TABLE {table}; DROP SCHEMA by_sink_{time} CASCADE; CHECKPOINT"));
    }
    let bytes = file.path().metadata()?.len() as f64;
    println!(
        "{rows} rows, {:.0} MB as text, best of {TIMES}, {}",
        bytes / 1e6,
        cluster.value("SHOW server_version")
    );
    let line = |what: &str, seconds: f64| {
        println!("{what:<42} {seconds:>7.2} s {:>9.0} rows/s", rows as f64 / seconds)
    };
    line("psql \\copy", copy);
    line("psql \\copy, then key and statistics", after);
    line("psql \\copy into the table with its key", keyed);
    line("sink: load, key, statistics, commit", first);
    line("sink: the same rows again, nothing changes", merge);
    let ratio = |what: &str, seconds: f64| println!("sink / {what:<35} {:>6.0} %", 100.0 * seconds / first);
    ratio("\\copy into the table with its key", keyed);
    ratio("\\copy, then key and statistics", after);
    ratio("\\copy without a key", copy);
    Ok(())
}

fn batch(from: usize, rows: usize) -> Result<RecordBatch> {
    let each = || (from..from + rows).map(|i| i as i64);
    let text = |make: &dyn Fn(i64) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(each().map(make)))
    };
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns: Vec<(&str, DataType, ArrayRef)> = vec![
        ("id", DataType::Utf8, text(&|i| format!("amocrm:studio:{:09}", i * 7_919 % 1_000_000_007))),
        (
            "date",
            DataType::Date32,
            Arc::new(Date32Array::from_iter_values(each().map(|i| 20_000 + (i % 365) as i32))),
        ),
        (
            "ts",
            at,
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(
                    each().map(|i| 1_756_711_800_000_000 + i * 1_234_567),
                )
                .with_timezone("UTC"),
            ),
        ),
        (
            "person_id",
            DataType::Utf8,
            text(&|i| format!("p_{:016x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64))),
        ),
        ("channel_id", DataType::Utf8, text(&|i| format!("channel_{}", i % 12))),
        ("campaign_key", DataType::Utf8, text(&|i| format!("yandex|кампания {}|{}", i % 300, i % 7_000))),
        ("status", DataType::Utf8, text(&|i| ["open", "won", "lost"][i as usize % 3].to_owned())),
        (
            "amount",
            DataType::Decimal128(38, 2),
            Arc::new(
                Decimal128Array::from_iter_values(each().map(|i| i128::from(i * 31 % 10_000_000)))
                    .with_precision_and_scale(38, 2)?,
            ),
        ),
        (
            "amount_minor",
            DataType::Int64,
            Arc::new(Int64Array::from_iter_values(each().map(|i| i * 31 % 10_000_000))),
        ),
        ("currency", DataType::Utf8, text(&|_| "RUB".to_owned())),
        ("page", DataType::Utf8, text(&|i| format!("studio.example/course/{}/lesson", i % 900))),
        (
            "touches",
            DataType::Int64,
            Arc::new(
                (from..from + rows).map(|i| (i % 5 != 0).then_some(i as i64 % 9)).collect::<Int64Array>(),
            ),
        ),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, kind, _)| Field::new(*name, kind.clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, _, array)| array).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// COPY's text form. No value of ours has a tab, a line end or a backslash.
fn write_text(file: &std::fs::File, batches: &[RecordBatch]) -> Result<()> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let format = FormatOptions::default().with_null("\\N");
    let mut out = std::io::BufWriter::new(file);
    for batch in batches {
        let columns: Vec<ArrayFormatter> = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c, &format))
            .collect::<arrow::error::Result<_>>()?;
        for row in 0..batch.num_rows() {
            for (i, column) in columns.iter().enumerate() {
                let tab = if i > 0 { "\t" } else { "" };
                write!(out, "{tab}{}", column.value(row))?;
            }
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    Ok(())
}

fn sink(cluster: &cluster::Cluster, schema: &str) -> Result<DynSink> {
    let value = json!({
        "host": cluster.socket(), "port": cluster.port, "database": "postgres", "user": "postgres", "schema": schema
    });
    let connector = throughline_sinks::all().into_iter().find(|c| c.name() == "postgresql");
    let connector = connector.ok_or("this build has no sink named postgresql")?;
    let options = Options { name: "bench".into(), value, base_dir: "/".into() };
    connector.build(&options).map_err(|errors| format!("the sink's options: {errors:?}").into())
}

async fn publish(sink: &DynSink, txn: &str, batches: &[RecordBatch]) -> Result<()> {
    let first = batches.first().ok_or("there are no rows: ROWS is 0")?;
    let ctx = nothing::context("bench", Arc::new(SystemClock));
    let txn = TxnId(txn.into());
    let table = Table {
        name: "deals".into(),
        schema: first.schema(),
        key: vec!["id".into()],
        partition_by: None,
        doc: String::new(),
    };
    let rows = futures::stream::iter(batches.to_vec()).map(Ok).boxed();
    let staged = sink.stage(&ctx, &table, rows, &txn).await?;
    sink.commit(&ctx, &txn, &[staged]).await?;
    Ok(())
}
