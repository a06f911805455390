//! The suite of sinks: stage, commit, abort, as the engine calls them, each from a process of its own.
//!
//! What readers see is the destination's own affair; what is compared here is what the sink says it did.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use futures::StreamExt;
use throughline_core::{
    BatchStream, Committable, ConfigErrors, DynSink, Error, Options, Receipt, Result, SinkConnector, Table,
    TxnId,
};

use crate::checks::{CONNECTION, OPTIONS, options};
use crate::offline::Setting;
use crate::report::{Check, Findings, Outcome, Report, Verdict, skipped};
use crate::{Build, OptionsUnderTest, first};

macro_rules! checks {
    ($($name:ident $number:literal $word:literal $promise:literal,)*) => {
        $(const $name: Check = Check { number: $number, name: $word, promise: $promise };)*
        /// Every check of sinks beside [`crate::CHECKS`], by number.
        pub const SINK_CHECKS: &[Check] = &[$($name),*];
    };
}

checks! {
    STAGE 18 "stage" "a table of every type, and an empty one, are taken whole",
    COMMIT 19 "commit" "a fresh process commits what others staged, and again without effect",
    RESTAGE 20 "restage" "a table staged again under its transaction replaces what was staged",
    ABORT 21 "abort" "what was aborted cannot be committed, and aborting nothing is no error",
    BROKEN_ROWS 22 "broken_rows" "rows that break off are an error, and the epoch can be staged anew",
}

type MakeSink = Box<dyn Fn() -> Result<DynSink> + Send + Sync>;
type MakeWorld = Box<dyn Fn() -> Result<Setting> + Send + Sync>;

/// A sink and its world, ready to be tested. It writes into its destination: use one made for that.
pub struct SinkSuite {
    name: String,
    sink: MakeSink,
    world: MakeWorld,
    options: Option<OptionsUnderTest>,
}

impl SinkSuite {
    /// `sink` makes it as a fresh process would, `world` the context of a process.
    pub fn new<S: Into<Setting>>(
        name: impl Into<String>,
        sink: impl Fn() -> Result<DynSink> + Send + Sync + 'static,
        world: impl Fn() -> Result<S> + Send + Sync + 'static,
    ) -> Self {
        let world = Box::new(move || world().map(Into::into));
        Self { name: name.into(), sink: Box::new(sink), world, options: None }
    }

    /// A connector with good options, which are tested too.
    pub fn of_connector<S: Into<Setting>>(
        connector: &'static dyn SinkConnector,
        options: &Options,
        world: impl Fn() -> Result<S> + Send + Sync + 'static,
    ) -> Self {
        let (of_sink, of_options) = (options.clone(), options.clone());
        let sink = move || connector.build(&of_sink).map_err(first);
        let build: Build = Box::new(move |value| -> Result<(), ConfigErrors> {
            connector.build(&Options { value: value.clone(), ..of_options.clone() }).map(drop)
        });
        let mut suite = Self::new(&options.name, sink, world);
        suite.options =
            Some(OptionsUnderTest { schema: connector.schema(), good: options.value.clone(), build });
        suite
    }

    /// Runs every check. What is wrong with the sink stands in the report.
    pub async fn run(&self) -> Report {
        let mut outcomes = Vec::new();
        let mut note = |check: Check, verdict: Verdict| {
            outcomes.push(Outcome { check, stream: None, verdict });
        };
        note(OPTIONS, options(self.options.as_ref()));
        let connected = self.connection().await;
        let reachable = matches!(connected, Verdict::Passed { .. });
        note(CONNECTION, connected);
        if !reachable {
            for check in SINK_CHECKS {
                note(*check, skipped("the destination cannot be reached"));
            }
            return Report { source: self.name.clone(), outcomes };
        }
        note(STAGE, self.stage().await);
        note(COMMIT, self.commit().await);
        note(RESTAGE, self.restage().await);
        note(ABORT, self.abort().await);
        note(BROKEN_ROWS, self.broken_rows().await);
        Report { source: self.name.clone(), outcomes }
    }

    /// A fresh process.
    fn process(&self) -> Result<(DynSink, Setting)> {
        Ok(((self.sink)()?, (self.world)()?))
    }

    async fn connection(&self) -> Verdict {
        let checked = match self.process() {
            Ok((sink, world)) => sink.check(&world.ctx).await,
            Err(error) => Err(error),
        };
        let mut wrong = Findings::default();
        if let Err(error) = checked {
            wrong.add(&*self.name, "check to succeed", format!("the error: {error}"), "mend what it names");
        }
        wrong.verdict("")
    }

    async fn staged(&self, name: &str, batches: Vec<Result<RecordBatch>>, txn: &str) -> Result<Committable> {
        let (sink, world) = self.process()?;
        let rows: BatchStream = futures::stream::iter(batches).boxed();
        let staged = sink.stage(&world.ctx, &table(name), rows, &txn_id(txn)).await?;
        // As the engine's ledger gives it back.
        let text = serde_json::to_string(&staged).map_err(|e| Error::bug(e.to_string()))?;
        serde_json::from_str(&text).map_err(|e| Error::bug(e.to_string()))
    }

    async fn committed(&self, txn: &str, staged: &[Committable]) -> Result<Receipt> {
        let (sink, world) = self.process()?;
        sink.commit(&world.ctx, &txn_id(txn), staged).await
    }

    async fn aborted(&self, txn: &str) -> Result<()> {
        let (sink, world) = self.process()?;
        sink.abort(&world.ctx, &txn_id(txn)).await
    }

    async fn stage(&self) -> Verdict {
        let mut wrong = Findings::default();
        for (name, batches, rows) in [
            ("behaviour_types", vec![Ok(batch(0)), Ok(batch(100)), Ok(batch(0).slice(0, 0))], 6),
            ("behaviour_empty", Vec::new(), 0),
            ("behaviour_nothing", vec![Ok(batch(0).slice(0, 0))], 0),
        ] {
            told_rows(&mut wrong, name, rows, self.staged(name, batches, "behaviour-stage").await);
        }
        if let Err(error) = self.aborted("behaviour-stage").await {
            wrong.add(
                "abort",
                "what was staged to be dropped",
                error.to_string(),
                "let abort drop everything of a txn",
            );
        }
        wrong.verdict("9 columns, 6 rows; 0 rows; no batch")
    }

    async fn commit(&self) -> Verdict {
        let mut wrong = Findings::default();
        let txn = "behaviour-commit";
        let mut staged = Vec::new();
        for name in ["behaviour_one", "behaviour_two"] {
            let one = self.staged(name, vec![Ok(batch(0))], txn).await;
            staged.extend(told_rows(&mut wrong, name, 3, one));
        }
        for time in ["the first", "the second"] {
            match self.committed(txn, &staged).await {
                Ok(receipt) if receipt.rows == 6 => {}
                Ok(receipt) => wrong.add(
                    format!("{time} commit"),
                    "a receipt for 6 rows",
                    format!("one for {}", receipt.rows),
                    "count the rows of all tables of the txn, also when nothing is left to do",
                ),
                Err(error) => wrong.add(
                    format!("{time} commit"),
                    "success",
                    format!("the error: {error}"),
                    "commit from the committables alone, and find out by the txn what is done already",
                ),
            }
        }
        wrong.verdict("2 tables, twice, by 4 processes")
    }

    async fn restage(&self) -> Verdict {
        let mut wrong = Findings::default();
        let txn = "behaviour-restage";
        let name = "behaviour_one";
        let _ =
            told_rows(&mut wrong, name, 6, self.staged(name, vec![Ok(batch(0)), Ok(batch(9))], txn).await);
        let again = told_rows(&mut wrong, name, 3, self.staged(name, vec![Ok(batch(20))], txn).await);
        if let Some(staged) = again {
            match self.committed(txn, &[staged]).await {
                Ok(receipt) if receipt.rows == 3 => {}
                Ok(receipt) => wrong.add(
                    "commit",
                    "the 3 rows that were staged last",
                    format!("{} rows", receipt.rows),
                    "drop what the table had under this txn when it is staged again",
                ),
                Err(error) => wrong.add("commit", "success", error.to_string(), "mend what it names"),
            }
        }
        wrong.verdict("3 rows in place of 6")
    }

    async fn abort(&self) -> Verdict {
        let mut wrong = Findings::default();
        let txn = "behaviour-abort";
        let staged = self.staged("behaviour_one", vec![Ok(batch(0))], txn).await;
        let staged = told_rows(&mut wrong, "behaviour_one", 3, staged);
        for what in ["what was staged", "it once more"] {
            if let Err(error) = self.aborted(txn).await {
                let to_do = "let abort succeed when there is nothing";
                wrong.add(format!("abort {what}"), "success", error.to_string(), to_do);
            }
        }
        if let Some(staged) = staged
            && let Ok(receipt) = self.committed(txn, &[staged]).await
        {
            wrong.add(
                "commit of what was aborted",
                "an error",
                format!("a receipt for {} rows", receipt.rows),
                "look whether the staged table is there before it is shown",
            );
        }
        wrong.verdict("")
    }

    async fn broken_rows(&self) -> Verdict {
        let mut wrong = Findings::default();
        let txn = "behaviour-broken";
        const SAID: &str = "the behaviour suite broke these rows";
        match self.staged("behaviour_one", vec![Ok(batch(0)), Err(Error::data(SAID))], txn).await {
            Err(error) if error.message().contains(SAID) => {}
            Err(error) => {
                wrong.add("stage", "the error of the rows", error.to_string(), "pass it on as it came")
            }
            Ok(staged) => wrong.add(
                "stage",
                "the error of the rows",
                format!("{} rows staged", staged.rows),
                "stop at the first error of the rows",
            ),
        }
        let again = self.staged("behaviour_one", vec![Ok(batch(0))], txn).await;
        if let Some(staged) = told_rows(&mut wrong, "staged anew", 3, again) {
            match self.committed(txn, &[staged]).await {
                Ok(receipt) if receipt.rows == 3 => {}
                other => wrong.add(
                    "commit after it was staged anew",
                    "a receipt for 3 rows",
                    format!("{other:?}"),
                    "drop the broken piece when the table is staged again",
                ),
            }
        }
        wrong.verdict("")
    }
}

/// What was staged, when it is so many rows.
fn told_rows(
    wrong: &mut Findings,
    place: &str,
    rows: u64,
    staged: Result<Committable>,
) -> Option<Committable> {
    match staged {
        Ok(staged) if staged.rows == rows => return Some(staged),
        Ok(staged) => {
            let to_do = "count what was written, not what was planned";
            wrong.add(place, format!("{rows} rows staged"), format!("{}", staged.rows), to_do);
        }
        Err(error) => wrong.add(
            place,
            format!("{rows} rows staged"),
            format!("the error: {error}"),
            "mend what it names",
        ),
    }
    None
}

fn txn_id(name: &str) -> TxnId {
    TxnId(name.to_owned())
}

fn table(name: &str) -> Table {
    Table {
        name: name.into(),
        schema: batch(0).schema(),
        key: vec!["id".into()],
        partition_by: None,
        doc: "Made by the behaviour suite.".into(),
    }
}

/// Three rows of every type that output tables have; the last of them null but for its key.
fn batch(from: i64) -> RecordBatch {
    let decimals = Decimal128Array::from(vec![Some(-1_i128), Some(123_456_789_012_345_678), None])
        .with_precision_and_scale(38, 2)
        .unwrap_or_else(|_| Decimal128Array::from(vec![None, None, None]));
    let columns: [(&str, ArrayRef); 9] = [
        ("id", Arc::new(Int64Array::from(vec![from, from + 1, from + 2]))),
        ("text", Arc::new(StringArray::from(vec![Some("Заказ «5»\n\"a\",b"), Some("طلب"), None]))),
        ("empty", Arc::new(StringArray::from(vec![Some(""), Some(" "), None]))),
        ("number", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(-1), None]))),
        ("share", Arc::new(Float64Array::from(vec![Some(1.0 / 3.0), Some(-0.0), None]))),
        ("money", Arc::new(decimals)),
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(20_000), Some(-1), None]))),
        (
            "at",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(1_772_355_600_123_456), Some(-1), None])
                    .with_timezone("UTC"),
            ),
        ),
    ];
    RecordBatch::try_from_iter(columns)
        .unwrap_or_else(|_| RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty())))
}
