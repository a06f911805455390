//! Arguments of a function call: columns, or one value for all rows.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, TimeUnit};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

/// What an argument may be; other types are coerced where nothing can be lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg {
    Text,
    Int,
    /// `Timestamp(Microsecond, "UTC")`
    Instant,
    /// Text or a decimal.
    Amount,
    Decimal,
}

impl Arg {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "a whole number",
            Self::Instant => "an instant",
            Self::Amount => "an amount (text or decimal)",
            Self::Decimal => "a decimal",
        }
    }

    pub(super) fn coerce(self, given: &DataType) -> Option<DataType> {
        use DataType::{Decimal128, Int64, Null, Timestamp, Utf8};
        let text = matches!(given, Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        match self {
            Self::Text if text || given.is_integer() || matches!(given, Null | DataType::Boolean) => {
                Some(Utf8)
            }
            Self::Int if given.is_integer() || *given == Null => Some(Int64),
            Self::Instant if matches!(given, Timestamp(..) | DataType::Date32 | Null) => {
                Some(Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
            }
            Self::Amount | Self::Decimal if matches!(given, Decimal128(..)) => Some(given.clone()),
            Self::Amount if text || *given == Null => Some(Utf8),
            Self::Amount if given.is_integer() => Some(Decimal128(38, 0)),
            Self::Decimal if given.is_integer() || *given == Null => Some(Decimal128(38, 0)),
            _ => None,
        }
    }
}

pub(crate) struct Inputs {
    columns: Vec<ArrayRef>,
    /// Holds one value for all rows.
    constant: Vec<bool>,
    pub(crate) rows: usize,
}

impl Inputs {
    pub(super) fn new(args: Vec<ColumnarValue>, rows: usize) -> Result<Self> {
        let mut columns = Vec::with_capacity(args.len());
        let mut constant = Vec::with_capacity(args.len());
        for arg in args {
            constant.push(matches!(arg, ColumnarValue::Scalar(_)));
            let column = match arg {
                ColumnarValue::Array(array) => array,
                ColumnarValue::Scalar(value) => value.to_array_of_size(1)?,
            };
            // Coercion gives Utf8; a caller that skipped it gets the same.
            columns.push(match column.data_type() {
                DataType::Utf8View | DataType::LargeUtf8 => cast(&column, &DataType::Utf8)?,
                _ => column,
            });
        }
        Ok(Self { columns, constant, rows })
    }

    pub(crate) fn column(&self, index: usize) -> &ArrayRef {
        &self.columns[index]
    }

    pub(crate) fn text(&self, index: usize) -> Result<Text<'_>> {
        let array = self.columns[index].as_string_opt::<i32>().ok_or_else(|| self.unexpected(index))?;
        Ok(Text { array, constant: self.constant[index] })
    }

    pub(crate) fn primitive<T: ArrowPrimitiveType>(
        &self,
        index: usize,
    ) -> Result<impl Fn(usize) -> Option<T::Native> + '_> {
        let array = self.columns[index].as_primitive_opt::<T>().ok_or_else(|| self.unexpected(index))?;
        let constant = self.constant[index];
        Ok(move |row: usize| {
            let row = if constant { 0 } else { row };
            (!array.is_null(row)).then(|| array.value(row))
        })
    }

    fn unexpected(&self, index: usize) -> DataFusionError {
        DataFusionError::Internal(format!("argument {index} came as {}", self.columns[index].data_type()))
    }
}

/// A text argument.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    array: &'a StringArray,
    constant: bool,
}

impl<'a> Text<'a> {
    pub(crate) fn get(&self, row: usize) -> Option<&'a str> {
        let row = if self.constant { 0 } else { row };
        (!self.array.is_null(row)).then(|| self.array.value(row))
    }
    /// Bytes of all values, to size the result.
    pub(crate) fn bytes(&self) -> usize {
        self.array.value_data().len()
    }
    /// The same text again and again is parsed once.
    pub(crate) fn parsed<T, F: Fn(&str) -> Option<T>>(self, parse: F) -> Parsed<'a, T, F> {
        Parsed { text: self, parse, last: None }
    }
}

/// A text argument that means something: a path, a zone, a country.
pub(crate) struct Parsed<'a, T, F> {
    text: Text<'a>,
    parse: F,
    last: Option<(&'a str, Option<T>)>,
}

impl<T, F: Fn(&str) -> Option<T>> Parsed<'_, T, F> {
    /// `None` for null and for what means nothing.
    pub(crate) fn get(&mut self, row: usize) -> Option<&T> {
        let text = self.text.get(row)?;
        if self.last.as_ref().is_none_or(|(last, _)| *last != text) {
            self.last = Some((text, (self.parse)(text)));
        }
        self.last.as_ref()?.1.as_ref()
    }
}

/// A text column from a text column, row by row.
pub(crate) fn text_column<'a>(
    inputs: &'a Inputs,
    mut row: impl FnMut(usize, &'a str, &mut StringBuilder),
) -> Result<ArrayRef> {
    let text = inputs.text(0)?;
    let mut out = StringBuilder::with_capacity(inputs.rows, text.bytes());
    for i in 0..inputs.rows {
        match text.get(i) {
            Some(value) => row(i, value, &mut out),
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}
