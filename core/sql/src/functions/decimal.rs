//! `decimal_text(d)`: a decimal without the zeros its type adds: `12.500000000` is `12.5`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, Decimal128Type};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use throughline_core::money::write_decimal;

use super::Function;
use super::input::{Arg, Inputs};

pub(crate) fn decimal_text() -> ScalarUDF {
    Function::udf("decimal_text", &[Arg::Decimal], DataType::Utf8, run)
}

fn run(inputs: &Inputs) -> Result<ArrayRef> {
    let value = inputs.primitive::<Decimal128Type>(0)?;
    let scale = match inputs.column(0).data_type() {
        DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    };
    let mut out = StringBuilder::with_capacity(inputs.rows, inputs.rows * 12);
    let mut text = String::new();
    for row in 0..inputs.rows {
        match value(row) {
            Some(value) => {
                text.clear();
                write_decimal(&mut text, value, scale);
                out.append_value(&text);
            }
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}
