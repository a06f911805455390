//! Window functions over whole groups (`sum(x) OVER (PARTITION BY y)`), one group after the other.
//!
//! DataFusion's own operator collects all its input and copies it into one batch before it computes, outside of the
//! memory limit. Its input comes sorted by the groups, so nothing but the group at hand is needed; that much is held
//! here, and is told to the pool, so that those who can spill give way.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{SortColumn, concat, concat_batches};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::utils::evaluate_partition_ranges;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt};

/// Puts [`GroupWindows`] in the place of what would collect everything.
pub(crate) fn by_group(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let changed = plan.transform_up(|node| match node.downcast_ref::<WindowAggExec>() {
        // Without PARTITION BY everything is one group.
        Some(windows) if !windows.partition_by_sort_keys()?.is_empty() => {
            Ok(Transformed::yes(Arc::new(GroupWindows { whole: node }) as Arc<dyn ExecutionPlan>))
        }
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(changed.data)
}

#[derive(Debug)]
struct GroupWindows {
    /// A [`WindowAggExec`]: what it says of itself holds here too.
    whole: Arc<dyn ExecutionPlan>,
}

impl GroupWindows {
    fn windows(&self) -> Result<&WindowAggExec> {
        let windows = self.whole.downcast_ref::<WindowAggExec>();
        windows.ok_or_else(|| DataFusionError::Internal("these are no window functions".into()))
    }
}

impl DisplayAs for GroupWindows {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.windows() {
            Ok(windows) => windows.fmt_as(format, f),
            Err(_) => Ok(()),
        }
    }
}

impl ExecutionPlan for GroupWindows {
    fn name(&self) -> &str {
        "GroupWindows"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        self.whole.properties()
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.whole.children()
    }
    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.whole.apply_expressions(f)
    }
    fn maintains_input_order(&self) -> Vec<bool> {
        self.whole.maintains_input_order()
    }
    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let whole = Arc::clone(&self.whole).replace_children(children, options)?;
        Ok(Arc::new(Self { whole }))
    }
    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }
    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let windows = self.windows()?;
        let groups = Groups {
            keys: windows.partition_by_sort_keys()?,
            functions: windows.window_expr().to_vec(),
            held: Vec::new(),
            last: None,
            memory: MemoryConsumer::new("windows").register(context.memory_pool()),
            output: self.schema(),
        };
        let input = windows.input().execute(partition, context)?;
        let rows = futures::stream::try_unfold((input, Some(groups)), |(mut input, groups)| async move {
            let Some(mut groups) = groups else { return Ok(None) };
            loop {
                match input.next().await {
                    Some(batch) => {
                        if let Some(done) = groups.add(batch?)? {
                            return Ok(Some((done, (input, Some(groups)))));
                        }
                    }
                    None => return Ok(groups.rest()?.map(|done| (done, (input, None)))),
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows.into_stream())))
    }
}

/// Rows whose group may go on.
struct Groups {
    keys: Vec<PhysicalSortExpr>,
    functions: Vec<Arc<dyn WindowExpr>>,
    held: Vec<RecordBatch>,
    /// The keys of the last row that came, one value each.
    last: Option<Vec<ArrayRef>>,
    memory: MemoryReservation,
    output: arrow::datatypes::SchemaRef,
}

impl Groups {
    /// Takes the rows that come next; gives those whose groups ended.
    fn add(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(None);
        }
        let keys = self.columns(&batch)?;
        // With the row before in front, a group that begins with this batch shows.
        let ahead = usize::from(self.last.is_some());
        let mut seen = Vec::with_capacity(keys.len());
        for (at, key) in keys.iter().enumerate() {
            let values = match &self.last {
                Some(last) => concat(&[last[at].as_ref(), key.values.as_ref()])?,
                None => Arc::clone(&key.values),
            };
            seen.push(SortColumn { values, options: key.options });
        }
        let begins = evaluate_partition_ranges(rows + ahead, &seen)?.last().map_or(0, |group| group.start);
        self.last = Some(keys.iter().map(|key| key.values.slice(rows - 1, 1)).collect());
        // The row before belongs to what is held, not to this batch.
        let ended = begins.saturating_sub(ahead);
        if begins == 0 {
            self.hold(batch);
            return Ok(None);
        }
        if ended > 0 {
            self.held.push(batch.slice(0, ended));
        }
        let done = self.computed()?;
        self.hold(batch.slice(ended, rows - ended));
        Ok(done)
    }

    fn rest(&mut self) -> Result<Option<RecordBatch>> {
        self.computed()
    }

    fn hold(&mut self, batch: RecordBatch) {
        // Not `try_grow`: what is needed for a group is needed, and whoever can spill finds less room.
        self.memory.grow(batch.get_array_memory_size());
        self.held.push(batch);
    }

    /// All that is held, with the functions' values; nothing is held afterwards.
    fn computed(&mut self) -> Result<Option<RecordBatch>> {
        let Some(first) = self.held.first() else { return Ok(None) };
        let rows = match self.held.as_slice() {
            [one] => one.clone(),
            all => concat_batches(&first.schema(), all)?,
        };
        self.held.clear();
        self.memory.free();
        let groups = evaluate_partition_ranges(rows.num_rows(), &self.columns(&rows)?)?;
        let mut columns = rows.columns().to_vec();
        for function in &self.functions {
            let values: Vec<ArrayRef> = groups
                .iter()
                .map(|group| function.evaluate(&rows.slice(group.start, group.len())))
                .collect::<Result<_>>()?;
            let values: Vec<&dyn arrow::array::Array> = values.iter().map(AsRef::as_ref).collect();
            columns.push(concat(&values)?);
        }
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.output), columns)?))
    }

    fn columns(&self, batch: &RecordBatch) -> Result<Vec<SortColumn>> {
        self.keys.iter().map(|key| key.evaluate_to_sort_column(batch)).collect()
    }
}
