//! The engine that runs inside the process: DataFusion with a memory limit and spill files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::Array;
use arrow::array::cast::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use async_trait::async_trait;
use datafusion::common::TableReference;
use datafusion::datasource::ViewTable;
use datafusion::error::DataFusionError;
use datafusion::execution::context::{SQLOptions, SessionConfig, SessionContext};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, execute_stream, execute_stream_partitioned,
};
use futures::{StreamExt, TryStreamExt};
use throughline_core::{BatchStream, Error, Param, Result};

use crate::normal::{normal_batch, normal_schema};
use crate::pool::HalfSpillPool;
use crate::{SqlEngine, TableRef, Written, bind, error, functions, repartition, statement, windows, write};

/// Rows in a batch: 8192, fewer where memory is so short that a sort's few dozen batches of wide
/// rows would not fit.
fn batch_rows(memory_bytes: usize, threads: usize) -> usize {
    (memory_bytes / threads / (16 << 10)).clamp(512, 8192)
}

/// What the local engine may use.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Bytes that sorts, joins and aggregations may hold together before they spill. Files being
    /// read and written come on top: about 64 MB for each thread.
    pub memory_bytes: usize,
    /// Folder of spill files; made if missing. They are gone when a query ends.
    pub spill_dir: PathBuf,
    /// How many parts a query is run in.
    pub threads: usize,
    /// What a step may [hold](SqlEngine::hold) in memory instead of files; 0: everything in files.
    pub held_bytes: usize,
}

/// A run has some hundred steps: all that they hold stays within what reading and writing files takes anyway.
pub const HELD_BYTES: usize = 512 * 1024;

/// [`SqlEngine`] on DataFusion, in this process.
pub struct LocalEngine {
    ctx: SessionContext,
    memory_bytes: usize,
    held_bytes: usize,
    decimal_text: Arc<ScalarUDF>,
}

/// Why a query ended: DataFusion's error as it came, to judge whether another plan may succeed.
pub(crate) enum Failure {
    Sql(DataFusionError),
    Own(Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Own(e)
    }
}
impl From<DataFusionError> for Failure {
    fn from(e: DataFusionError) -> Self {
        Self::Sql(e)
    }
}

impl Failure {
    fn exhausted(&self) -> bool {
        matches!(self, Self::Sql(e) if error::is_exhausted(e))
    }
    fn into_error(self) -> Error {
        match self {
            Self::Sql(e) => error::running(&e),
            Self::Own(e) => e,
        }
    }
}

/// How a query is tried: hash joins hold one side in memory and cannot spill; sorted ones can, at the price of
/// sorting both sides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joins {
    Hashed,
    Sorted,
    /// With fewer rows in a batch: of a plan with dozens of sorts, each must have room for its first batches.
    SortedInSmallerBatches,
    /// With so few that anything fits; it takes several times as long.
    SortedInSmallBatches,
}

impl Joins {
    fn batch_rows(self, usual: usize) -> usize {
        match self {
            Self::Hashed | Self::Sorted => usual,
            Self::SortedInSmallerBatches => (usual / 4).max(SMALL_BATCH),
            Self::SortedInSmallBatches => usual.min(SMALL_BATCH),
        }
    }
}

const SMALL_BATCH: usize = 128;

/// Of a row in the table of a hash join, where nothing but the number of rows is known.
const LEAST_ROW_BYTES: usize = 16;

/// Of a sort, for its merge.
const LEAST_KEPT_BYTES: usize = 64 << 10;

/// The way that is left to a query which ran out of memory.
fn thriftier<T>(step: &str, joins: Joins, done: &Result<T, Failure>) -> Option<Joins> {
    if !done.as_ref().is_err_and(Failure::exhausted) {
        return None;
    }
    let next = match joins {
        Joins::Hashed => Joins::Sorted,
        Joins::Sorted => Joins::SortedInSmallerBatches,
        Joins::SortedInSmallerBatches => Joins::SortedInSmallBatches,
        Joins::SortedInSmallBatches => return None,
    };
    if let Err(Failure::Sql(why)) = done {
        tracing::debug!(step, %why, "out of memory: once more with sorted joins");
    }
    Some(next)
}

/// Sorts of a plan that may be at work at once: each one in each of its parts.
fn sorts(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = if plan.is::<SortExec>() { plan.output_partitioning().partition_count() } else { 0 };
    own + plan.children().into_iter().map(sorts).sum::<usize>()
}

impl LocalEngine {
    /// # Errors
    /// The spill folder cannot be made.
    pub fn new(options: LocalOptions) -> Result<Self> {
        std::fs::create_dir_all(&options.spill_dir)
            .map_err(|e| Error::io("make the spill folder", options.spill_dir.display(), e))?;
        let threads = options.threads.max(1);
        let pool = HalfSpillPool::new(options.memory_bytes);
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![options.spill_dir]))
            // The disk's own end is the limit.
            .with_max_temp_directory_size(u64::MAX)
            // Merging holds two batches of every run: more runs at once would eat what the
            // operators above need, and 64 are enough for any size in two passes.
            .with_max_spill_merge_fan_in((options.memory_bytes / threads / (8 << 20)).clamp(2, 64));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|e| error::running(&e))?;

        let mut config = SessionConfig::new()
            .with_target_partitions(threads)
            .with_batch_size(batch_rows(options.memory_bytes, threads))
            .with_information_schema(false)
            .with_collect_statistics(true);
        let settings = config.options_mut();
        settings.execution.time_zone = Some("UTC".into());
        settings.sql_parser.collect_spans = true;
        settings.sql_parser.map_string_types_to_utf8view = false;
        // A join whose build side is known to be no larger is built once, by one thread, for all: its probe side need
        // not be copied into parts.
        let built_once = options.memory_bytes / threads;
        settings.optimizer.hash_join_single_partition_threshold = built_once;
        settings.optimizer.hash_join_single_partition_threshold_rows = built_once / LEAST_ROW_BYTES;
        // Each sort keeps this much back for its last merge; the default of 10 MB times the sorts
        // of a plan would be more than a small limit.
        settings.execution.sort_spill_reservation_bytes =
            (options.memory_bytes / (16 * threads)).clamp(LEAST_KEPT_BYTES, 10 * 1024 * 1024);

        let ctx = SessionContext::new_with_config_rt(config, runtime);
        let decimal_text = functions::register(&ctx);
        Ok(Self { ctx, memory_bytes: options.memory_bytes, held_bytes: options.held_bytes, decimal_text })
    }

    async fn plan(&self, select: &str, params: &[(String, Param)]) -> Result<LogicalPlan> {
        let mut statement = statement::parse(select)?;
        statement::fill(&mut statement, params)?;
        let state = self.ctx.state();
        let refuse = |e: DataFusionError| error::planning(&e, select, &self.tables());
        let plan = state.statement_to_plan(statement).await.map_err(refuse)?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(refuse)?;
        Ok(plan)
    }

    /// The plan after type checking; errors in types and calls are found here.
    fn checked(&self, plan: LogicalPlan, select: &str) -> Result<LogicalPlan> {
        self.ctx.state().optimize(&plan).map_err(|e| error::planning(&e, select, &self.tables()))
    }

    fn tables(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .ctx
            .catalog("datafusion")
            .and_then(|c| c.schema("public"))
            .map(|s| s.table_names())
            .unwrap_or_default();
        names.sort();
        names
    }

    fn state(&self, joins: Joins) -> SessionState {
        let mut state = self.ctx.state();
        if joins != Joins::Hashed {
            let config = state.config_mut();
            let settings = config.options_mut();
            settings.optimizer.prefer_hash_join = false;
            // With one partition DataFusion only knows hash joins.
            settings.execution.target_partitions = settings.execution.target_partitions.max(2);
        }
        let rows = joins.batch_rows(state.config().batch_size());
        let config = state.config_mut();
        *config = config.clone().with_batch_size(rows);
        state
    }

    async fn physical(
        &self,
        plan: &LogicalPlan,
        joins: Joins,
    ) -> Result<(SessionState, Arc<dyn ExecutionPlan>), Failure> {
        let mut state = self.state(joins);
        // The plan is optimised already (`checked`); `create_physical_plan` of the state would do it again.
        let physical = windows::by_group(state.query_planner().create_physical_plan(plan, &state).await?)?;
        let physical = repartition::of_one_input(physical)?;
        // What each sort keeps back for its merge cannot be spilled: of dozens it would be the whole limit.
        let each = self.memory_bytes / 8 / sorts(&physical).max(1);
        let kept = &mut state.config_mut().options_mut().execution.sort_spill_reservation_bytes;
        *kept = each.max(LEAST_KEPT_BYTES).min(*kept);
        Ok((state, physical))
    }

    async fn write_once(&self, plan: &LogicalPlan, joins: Joins, folder: &Path) -> Result<Written, Failure> {
        let (streams, schema) = self.parts(plan, joins, folder).await?;
        ours(folder, write::parts(streams, schema, folder).await)
    }

    async fn hold_once(&self, plan: &LogicalPlan, joins: Joins, folder: &Path) -> Result<TableRef, Failure> {
        let (streams, schema) = self.parts(plan, joins, folder).await?;
        ours(folder, write::hold(streams, schema, folder, self.held_bytes).await)
    }

    /// The streams of a query, and a fresh folder for them.
    async fn parts(
        &self,
        plan: &LogicalPlan,
        joins: Joins,
        folder: &Path,
    ) -> Result<(Vec<SendableRecordBatchStream>, SchemaRef), Failure> {
        let (state, physical) = self.physical(plan, joins).await?;
        let schema = normal_schema(&physical.schema());
        let streams = execute_stream_partitioned(physical, state.task_ctx())?;
        write::fresh_folder(folder)?;
        Ok((streams, schema))
    }

    async fn step_plan(&self, step: &str, select: &str, params: &[(String, Param)]) -> Result<LogicalPlan> {
        let in_step = |e: Error| e.with("step", step);
        let plan = self.plan(select, params).await.map_err(in_step)?;
        self.checked(plan, select).map_err(in_step)
    }

    /// Starts a query and waits for its first batch: by then every hash join has its table.
    async fn start(&self, plan: &LogicalPlan, joins: Joins) -> Result<Started, Failure> {
        let (state, physical) = self.physical(plan, joins).await?;
        let schema = normal_schema(&physical.schema());
        let mut stream = execute_stream(physical, state.task_ctx())?;
        let first = stream.next().await.transpose()?;
        Ok(Started { schema, first, stream })
    }
}

/// A folder that we made and could not fill is of no use.
fn ours<T>(folder: &Path, outcome: Result<T, Failure>) -> Result<T, Failure> {
    if outcome.is_err() {
        let _ = std::fs::remove_dir_all(folder);
    }
    outcome
}

struct Started {
    schema: SchemaRef,
    first: Option<arrow::array::RecordBatch>,
    stream: SendableRecordBatchStream,
}

#[async_trait]
impl SqlEngine for LocalEngine {
    async fn bind(&self, name: &str, table: &TableRef) -> Result<()> {
        let provider = bind::provider(name, table, &self.ctx, &self.decimal_text)?;
        self.replace(name, provider)
    }

    async fn bind_view(&self, name: &str, select: &str, params: &[(String, Param)]) -> Result<()> {
        let plan = self.plan(select, params).await?;
        // Type errors are this SELECT's, not those of whoever reads the view.
        self.checked(plan.clone(), select)?;
        self.replace(name, Arc::new(ViewTable::new(plan, Some(select.to_string()))))
    }

    async fn write(
        &self,
        step: &str,
        select: &str,
        params: &[(String, Param)],
        folder: &Path,
    ) -> Result<Written> {
        let plan = self.step_plan(step, select, params).await?;
        let mut joins = Joins::Hashed;
        let written = loop {
            let tried = self.write_once(&plan, joins, folder).await;
            match thriftier(step, joins, &tried) {
                Some(next) => joins = next,
                None => break tried,
            }
        };
        written.map_err(|e| e.into_error().with("step", step))
    }

    async fn hold(
        &self,
        step: &str,
        select: &str,
        params: &[(String, Param)],
        folder: &Path,
    ) -> Result<TableRef> {
        let plan = self.step_plan(step, select, params).await?;
        let mut joins = Joins::Hashed;
        let held = loop {
            let tried = self.hold_once(&plan, joins, folder).await;
            match thriftier(step, joins, &tried) {
                Some(next) => joins = next,
                None => break tried,
            }
        };
        held.map_err(|e| e.into_error().with("step", step))
    }

    async fn read(&self, select: &str, params: &[(String, Param)]) -> Result<BatchStream> {
        let plan = self.plan(select, params).await?;
        let plan = self.checked(plan, select)?;
        let mut joins = Joins::Hashed;
        let started = loop {
            let tried = self.start(&plan, joins).await;
            match thriftier("(read)", joins, &tried) {
                Some(next) => joins = next,
                None => break tried,
            }
        };
        let Started { schema, first, stream } = started.map_err(Failure::into_error)?;
        let rest = stream.map_err(|e| error::running(&e));
        let all = futures::stream::iter(first.map(Ok)).chain(rest);
        Ok(all.map(move |batch| batch.and_then(|b| normal_batch(&b, &schema))).boxed())
    }

    async fn describe(&self, select: &str, params: &[(String, Param)]) -> Result<SchemaRef> {
        let plan = self.plan(select, params).await?;
        let checked = self.checked(plan, select)?;
        Ok(normal_schema(checked.schema().as_arrow()))
    }

    async fn scalar_i64(&self, select: &str) -> Result<i64> {
        let mut rows = self.read(select, &[]).await?;
        let mut found = None;
        while let Some(batch) = rows.try_next().await? {
            if batch.num_rows() == 0 {
                continue;
            }
            if batch.num_columns() != 1 || batch.num_rows() != 1 || found.is_some() {
                return Err(Error::bug("one number was expected of this SELECT, and it gave more")
                    .with("sql", select));
            }
            let numbers = cast(batch.column(0), &DataType::Int64)?;
            if numbers.is_null(0) {
                return Err(Error::data("one number was expected of this SELECT, and it gave null")
                    .with("sql", select));
            }
            found = Some(numbers.as_primitive::<Int64Type>().value(0));
        }
        found.ok_or_else(|| {
            Error::bug("one number was expected of this SELECT, and it gave no row").with("sql", select)
        })
    }
}

impl LocalEngine {
    fn replace(&self, name: &str, provider: Arc<dyn datafusion::catalog::TableProvider>) -> Result<()> {
        let reference = TableReference::bare(name);
        self.ctx.deregister_table(reference.clone()).map_err(|e| error::running(&e))?;
        self.ctx.register_table(reference, provider).map_err(|e| error::running(&e))?;
        Ok(())
    }
}
