//! Exact amounts.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, StringBuilder};
use arrow::datatypes::{DataType, Decimal128Type};
use datafusion::error::Result;
use throughline_core::money::{minor_units, minor_units_of_decimal, write_decimal};

use super::Function;
use super::input::{Arg, Inputs};

pub(super) fn all() -> Vec<Function> {
    vec![Function::new("minor_units", &[Arg::Amount, Arg::Text], DataType::Int64, minor)]
}

/// `decimal_text(d)`: a decimal without the zeros its type adds: `12.500000000` is `12.5`.
pub(super) fn decimal_text() -> Function {
    Function::new("decimal_text", &[Arg::Decimal], DataType::Utf8, run_decimal_text)
}

fn scale(inputs: &Inputs) -> i8 {
    match inputs.column(0).data_type() {
        DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    }
}

fn run_decimal_text(inputs: &Inputs) -> Result<ArrayRef> {
    let value = inputs.primitive::<Decimal128Type>(0)?;
    let scale = scale(inputs);
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

/// `minor_units(amount, currency)`
fn minor(inputs: &Inputs) -> Result<ArrayRef> {
    let currency = inputs.text(1)?;
    let mut out = Int64Builder::with_capacity(inputs.rows);
    if matches!(inputs.column(0).data_type(), DataType::Decimal128(..)) {
        let amount = inputs.primitive::<Decimal128Type>(0)?;
        let scale = scale(inputs);
        for row in 0..inputs.rows {
            let both = amount(row).zip(currency.get(row));
            out.append_option(both.and_then(|(a, c)| minor_units_of_decimal(a, scale, c)));
        }
    } else {
        let amount = inputs.text(0)?;
        for row in 0..inputs.rows {
            let both = amount.get(row).zip(currency.get(row));
            out.append_option(both.and_then(|(a, c)| minor_units(a, c)));
        }
    }
    Ok(Arc::new(out.finish()))
}
