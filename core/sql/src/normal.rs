//! The few types that leave the engine: no views, no dictionaries, no 64-bit offsets, everything
//! nullable, so that a table looks the same whichever plan made it.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use throughline_core::Result;

pub(crate) fn normal_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> =
        schema.fields().iter().map(|f| Field::new(f.name(), normal_type(f.data_type()), true)).collect();
    Arc::new(Schema::new(fields))
}

fn normal_type(kind: &DataType) -> DataType {
    match kind {
        // A column of bare NULL: text is what every reader can take.
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => normal_type(value),
        DataType::List(item) | DataType::LargeList(item) => DataType::List(normal_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(normal_field).collect()),
        other => other.clone(),
    }
}

fn normal_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), normal_type(field.data_type()), true))
}

pub(crate) fn normal_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (column, field) in batch.columns().iter().zip(schema.fields()) {
        columns.push(match column.data_type() == field.data_type() {
            true => Arc::clone(column),
            false => cast(column, field.data_type())?,
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
