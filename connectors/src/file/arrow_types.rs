//! Any arrow column, in the types that raw tables have.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder, make_array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use throughline_core::{ColumnType, Result};

/// The type a column of `kind` lands as.
pub(crate) fn landed(kind: &DataType) -> DataType {
    use DataType as T;
    match kind {
        T::Null | T::Boolean | T::Int64 | T::UInt64 | T::Float64 | T::Utf8 | T::Date32 => kind.clone(),
        T::Int8 | T::Int16 | T::Int32 | T::UInt8 | T::UInt16 | T::UInt32 => T::Int64,
        T::Float16 | T::Float32 => T::Float64,
        // 29 digits before the point and 9 behind it are what Decimal(38, 9) holds.
        T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s)
            if (0..=9).contains(s) && i16::from(*p) - i16::from(*s) <= 29 =>
        {
            T::Decimal128(38, 9)
        }
        T::Date64 => T::Date32,
        T::Timestamp(..) => T::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        T::Dictionary(_, value) => landed(value),
        T::List(item) | T::LargeList(item) if is_text(item.data_type()) => {
            T::List(Arc::new(Field::new_list_field(T::Utf8, true)))
        }
        _ => T::Utf8,
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// For the contract of a column that a file was seen to have.
pub(crate) fn column_type(landed: &DataType) -> ColumnType {
    match landed {
        DataType::Boolean => ColumnType::Bool,
        DataType::Int64 => ColumnType::Int,
        DataType::UInt64 => ColumnType::Uint,
        DataType::Float64 => ColumnType::Float,
        DataType::Decimal128(..) => ColumnType::Decimal,
        DataType::Date32 => ColumnType::Date,
        DataType::Timestamp(..) => ColumnType::Instant,
        DataType::List(_) => ColumnType::TextList,
        _ => ColumnType::Text,
    }
}

/// `batch` with every column in its landed type. Structures and maps become JSON, other foreign types
/// their usual text; a value that its new type cannot hold is an error, never a null.
pub(crate) fn normal(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let kind = landed(field.data_type());
        columns.push(convert(field.name(), column, &kind)?);
        fields.push(Field::new(field.name(), kind, true));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

fn convert(name: &str, column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    use DataType as T;
    let from = column.data_type();
    if from == to {
        return Ok(column.clone());
    }
    let strict = CastOptions { safe: false, ..Default::default() };
    match (from, to) {
        (T::Dictionary(_, value), _) => convert(name, &cast(column, value)?, to),
        // Without a zone it is taken as UTC: arrow would shift nothing, only name it.
        (T::Timestamp(unit, None), _) => {
            let named = T::Timestamp(*unit, Some("UTC".into()));
            let data = column.to_data().into_builder().data_type(named).build()?;
            Ok(cast_with_options(&make_array(data), to, &strict)?)
        }
        (T::LargeUtf8 | T::Utf8View, T::Utf8) => Ok(cast_with_options(column, to, &strict)?),
        (T::Struct(_) | T::Map(..) | T::List(_) | T::LargeList(_) | T::FixedSizeList(..), T::Utf8) => {
            json(name, column)
        }
        (_, T::Utf8) => text(column),
        _ => Ok(cast_with_options(column, to, &strict)?),
    }
}

fn text(column: &ArrayRef) -> Result<ArrayRef> {
    let options = FormatOptions::new();
    let format = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let mut out = StringBuilder::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            out.append_null();
        } else {
            out.append_value(format.value(row).try_to_string()?);
        }
    }
    Ok(Arc::new(out.finish()))
}

fn json(name: &str, column: &ArrayRef) -> Result<ArrayRef> {
    let field = Field::new(name, column.data_type().clone(), true);
    let options = arrow::json::writer::EncoderOptions::default();
    let field = Arc::new(field);
    let mut encoder = arrow::json::writer::make_encoder(&field, column.as_ref(), &options)?;
    let mut out = StringBuilder::new();
    let mut bytes = Vec::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            out.append_null();
            continue;
        }
        bytes.clear();
        encoder.encode(row, &mut bytes);
        out.append_value(String::from_utf8_lossy(&bytes));
    }
    Ok(Arc::new(out.finish()))
}
