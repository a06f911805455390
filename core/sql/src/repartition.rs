//! Repartitions with one input each, so that they may spill.
//!
//! When two inputs of a repartition spill at once, DataFusion 55 waits for ever: a reader waits for the older of
//! two open files while its batch lies in the newer (<https://github.com/apache/datafusion/issues/24883>, mended
//! after 55.2; this goes when the mended version comes). With one input there is one open file. What is below goes
//! on in a thread for each part, behind bounded channels.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, ReplaceChildrenOptions,
};

pub(crate) fn of_one_input(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let changed = plan.transform_up(|node| match node.downcast_ref::<RepartitionExec>() {
        // One that keeps its inputs' order has files for each of them.
        Some(parts)
            if !parts.preserve_order() && parts.input().output_partitioning().partition_count() > 1 =>
        {
            let one: Arc<dyn ExecutionPlan> =
                Arc::new(CoalescePartitionsExec::new(Arc::clone(parts.input())));
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            Ok(Transformed::yes(node.replace_children(vec![one], options)?))
        }
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(changed.data)
}
