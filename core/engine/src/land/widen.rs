//! Types of landed columns: which of two holds both without losing a digit.
//!
//! The lattice is `null < bool < text` and `null < int < decimal(38, 9) < text`; lists and instants
//! widen to text with anything but themselves. Text is always enough, so drift never fails a run.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringBuilder, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, DecimalType, Field, Schema, SchemaRef,
};
use throughline_core::{Notice, Result};

/// The narrowest type that holds every value of both.
pub fn wider(a: &DataType, b: &DataType) -> DataType {
    use DataType::{Date32, Decimal128, Float64, Int64, Null, Timestamp, UInt64, Utf8};
    match (a, b) {
        (a, b) if a == b => a.clone(),
        (Null, other) | (other, Null) => other.clone(),
        // 20 digits before the point and 9 behind it fit 38.
        (Int64 | UInt64 | Decimal128(..), Int64 | UInt64 | Decimal128(..)) => Decimal128(38, 9),
        (Float64, Float64) => Float64,
        (Date32, Timestamp(..)) | (Timestamp(..), Date32) => Utf8,
        _ => Utf8,
    }
}

/// `running` widened by `batch`, and what a person should know about it. Columns that are null
/// throughout a batch are left out: they have no type yet.
pub fn widen(running: Option<&SchemaRef>, batch: &Schema, stream: &str) -> (SchemaRef, Vec<Notice>) {
    let mut notices = Vec::new();
    let mut fields: Vec<Arc<Field>> = running.map(|s| s.fields().to_vec()).unwrap_or_default();
    for field in batch.fields() {
        if field.data_type() == &DataType::Null {
            continue;
        }
        match fields.iter_mut().find(|f| f.name() == field.name()) {
            None => {
                if running.is_some() {
                    notices.push(Notice {
                        code: "column_added".into(),
                        message: format!(
                            "{stream}: column {:?} is new ({})",
                            field.name(),
                            type_name(field.data_type())
                        ),
                    });
                }
                fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
            }
            Some(known) => {
                let wide = wider(known.data_type(), field.data_type());
                if &wide != known.data_type() {
                    notices.push(Notice {
                        code: "schema_widened".into(),
                        message: format!(
                            "{stream}: column {:?} was {}, a value came as {}; it is kept as {} from here on",
                            field.name(),
                            type_name(known.data_type()),
                            type_name(field.data_type()),
                            type_name(&wide)
                        ),
                    });
                    *known = Arc::new(Field::new(field.name(), wide, true));
                }
            }
        }
    }
    (Arc::new(Schema::new(fields)), notices)
}

/// `batch` under a schema that [`widen`] made from it.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns: Result<Vec<ArrayRef>> = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(column) => convert(column, field.data_type()),
        })
        .collect();
    Ok(RecordBatch::try_new(schema.clone(), columns?)?)
}

fn convert(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if column.data_type() == to {
        return Ok(column.clone());
    }
    match (column.data_type(), to) {
        (DataType::Null, _) => Ok(new_null_array(to, column.len())),
        (DataType::Decimal128(_, scale), DataType::Utf8) => Ok(decimal_text(column, *scale)),
        _ => Ok(cast(column, to)?),
    }
}

/// A decimal as people write it: `12.5`, not `12.500000000`.
fn decimal_text(column: &ArrayRef, scale: i8) -> ArrayRef {
    let values = column.as_primitive::<Decimal128Type>();
    let mut text = StringBuilder::with_capacity(values.len(), values.len() * 8);
    for value in values {
        match value {
            None => text.append_null(),
            Some(value) => {
                text.append_value(trim_zeros(&Decimal128Type::format_decimal(
                    value,
                    DECIMAL128_MAX_PRECISION,
                    scale,
                )));
            }
        }
    }
    Arc::new(text.finish())
}

fn trim_zeros(full: &str) -> &str {
    if full.contains('.') { full.trim_end_matches('0').trim_end_matches('.') } else { full }
}

/// The word a user reads in a notice.
pub fn type_name(kind: &DataType) -> &'static str {
    match kind {
        DataType::Null => "null",
        DataType::Boolean => "true/false",
        DataType::Int64 | DataType::UInt64 => "whole number",
        DataType::Decimal128(..) => "decimal",
        DataType::Float64 => "floating number",
        DataType::Utf8 => "text",
        DataType::Date32 => "date",
        DataType::Timestamp(..) => "instant",
        DataType::List(_) => "list",
        _ => "another type",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use arrow::array::{BooleanArray, Decimal128Array, Int64Array, NullArray, StringArray};

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap()
    }
    fn ints(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }
    fn texts(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }
    fn decimals(values: &[i128]) -> ArrayRef {
        Arc::new(Decimal128Array::from(values.to_vec()).with_precision_and_scale(38, 9).unwrap())
    }

    #[test]
    fn integer_then_decimal_then_text_keeps_every_digit() {
        let first = batch(vec![("price", ints(&[9_007_199_254_740_993]))]);
        let second = batch(vec![("price", decimals(&[12_500_000_000]))]);
        let third = batch(vec![("price", texts(&["a lot"]))]);
        let (schema, none) = widen(None, &first.schema(), "crm.leads");
        assert!(none.is_empty());
        let (schema, notices) = widen(Some(&schema), &second.schema(), "crm.leads");
        assert_eq!(notices[0].code, "schema_widened");
        let wide = conform(&first, &schema).unwrap();
        assert_eq!(
            wide.column(0).as_primitive::<Decimal128Type>().value(0),
            9_007_199_254_740_993_000_000_000
        );
        let (schema, _) = widen(Some(&schema), &third.schema(), "crm.leads");
        assert_eq!(
            conform(&first, &schema).unwrap().column(0).as_string::<i32>().value(0),
            "9007199254740993"
        );
        assert_eq!(conform(&second, &schema).unwrap().column(0).as_string::<i32>().value(0), "12.5");
    }

    #[test]
    fn null_first_takes_the_type_that_comes_later() {
        let nulls = batch(vec![("a", ints(&[1])), ("b", Arc::new(NullArray::new(1)))]);
        let (schema, _) = widen(None, &nulls.schema(), "s");
        assert_eq!(schema.fields().len(), 1);
        let later = batch(vec![("a", ints(&[1])), ("b", texts(&["x"]))]);
        let (schema, notices) = widen(Some(&schema), &later.schema(), "s");
        assert_eq!(notices[0].code, "column_added");
        assert!(conform(&nulls, &schema).unwrap().column(1).is_null(0));
    }

    #[test]
    fn truth_and_number_meet_in_text() {
        let (schema, _) = widen(None, &batch(vec![("a", ints(&[7]))]).schema(), "s");
        let truth = batch(vec![("a", Arc::new(BooleanArray::from(vec![true])))]);
        let (schema, _) = widen(Some(&schema), &truth.schema(), "s");
        assert_eq!(conform(&truth, &schema).unwrap().column(0).as_string::<i32>().value(0), "true");
    }
}
