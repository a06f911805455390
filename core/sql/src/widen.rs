//! How a file whose columns are narrower than the table's is read.
//!
//! DataFusion's own adapter fills missing columns with nulls and casts the others. Two things are
//! not good enough here: a cast that loses something (1.5 read as an integer gives 1) must be
//! refused, and a decimal read as text must give `12.5`, not `12.500000000`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapter, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};

#[derive(Debug)]
pub(crate) struct Widening {
    pub(crate) decimal_text: Arc<ScalarUDF>,
}

impl PhysicalExprAdapterFactory for Widening {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let mut as_text = Vec::new();
        let mut fields = Vec::with_capacity(table.fields().len());
        for field in table.fields() {
            let Ok(have) = file.field_with_name(field.name()) else {
                fields.push(field.as_ref().clone());
                continue;
            };
            if !widens(have.data_type(), field.data_type()) {
                return Err(DataFusionError::Execution(format!(
                    "column \"{}\" is {} in a file and {} in its table: that would lose something",
                    field.name(),
                    have.data_type(),
                    field.data_type(),
                )));
            }
            if matches!(have.data_type(), DataType::Decimal128(..) | DataType::Decimal256(..))
                && is_text(field.data_type())
            {
                as_text.push(field.as_ref().clone());
                // For the default adapter nothing is to be done with this column.
                fields.push(have.clone());
            } else {
                fields.push(field.as_ref().clone());
            }
        }
        let table = Arc::new(Schema::new(fields));
        let casts = DefaultPhysicalExprAdapter::new(table, file);
        Ok(Arc::new(Adapter { casts, as_text, decimal_text: Arc::clone(&self.decimal_text) }))
    }
}

#[derive(Debug)]
struct Adapter {
    casts: DefaultPhysicalExprAdapter,
    as_text: Vec<Field>,
    decimal_text: Arc<ScalarUDF>,
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        if self.as_text.is_empty() {
            return self.casts.rewrite(expr);
        }
        let expr = expr
            .transform_up(|expr| {
                let Some(column) = expr.downcast_ref::<Column>() else {
                    return Ok(Transformed::no(expr));
                };
                let Some(field) = self.as_text.iter().find(|f| f.name() == column.name()) else {
                    return Ok(Transformed::no(expr));
                };
                Ok(Transformed::yes(Arc::new(ScalarFunctionExpr::new(
                    self.decimal_text.name(),
                    Arc::clone(&self.decimal_text),
                    vec![Arc::clone(&expr)],
                    Arc::new(field.clone()),
                    Arc::default(),
                )) as Arc<dyn PhysicalExpr>))
            })
            .data()?;
        self.casts.rewrite(expr)
    }
}

pub(crate) fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether every value of `from` has its own value in `to`, or the cast fails aloud.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, BinaryView, Boolean, Date32, LargeBinary, LargeList, List, Null, Timestamp};
    if from == to {
        return true;
    }
    match (from, to) {
        (Null, _) => true,
        (from, to) if is_text(to) => {
            is_text(from) || from.is_numeric() || matches!(from, Boolean | Date32 | Timestamp(..))
        }
        (from, to) if from.is_integer() => to.is_numeric(),
        (DataType::Decimal128(_, a), DataType::Decimal128(_, b) | DataType::Decimal256(_, b)) => a <= b,
        (DataType::Decimal128(..), to) | (DataType::Decimal256(..), to) => to.is_floating(),
        (from, to) if from.is_floating() => to.is_floating(),
        (Date32, Timestamp(..)) => true,
        (Timestamp(a, _), Timestamp(b, _)) => a <= b,
        (Binary | LargeBinary | BinaryView, Binary | LargeBinary | BinaryView) => true,
        (List(a) | LargeList(a), List(b) | LargeList(b)) => widens(a.data_type(), b.data_type()),
        (DataType::Struct(_), DataType::Struct(_)) => true,
        (DataType::Dictionary(_, value), to) => widens(value, to),
        _ => false,
    }
}
