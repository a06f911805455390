//! Values out of JSON text by a path.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion::error::Result;
use throughline_core::json_path::{JsonPath, as_int};

use super::Function;
use super::input::{Arg, Inputs, text_column};

const ARGS: &[Arg] = &[Arg::Text, Arg::Text];

pub(super) fn all() -> Vec<Function> {
    let path = |text: &str| JsonPath::parse(text).map(drop);
    let texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    vec![
        Function::new("json_text", ARGS, DataType::Utf8, text).checked(1, path),
        Function::new("json_int", ARGS, DataType::Int64, int).checked(1, path),
        Function::new("json_list", ARGS, texts, list).checked(1, path),
    ]
}

fn parse(path: &str) -> Option<JsonPath> {
    JsonPath::parse(path).ok()
}

fn text(inputs: &Inputs) -> Result<ArrayRef> {
    let mut path = inputs.text(1)?.parsed(parse);
    text_column(inputs, |row, json, out| {
        let found = path.get(row).and_then(|path| path.first(json).ok().flatten());
        out.append_option(found);
    })
}

fn int(inputs: &Inputs) -> Result<ArrayRef> {
    let json = inputs.text(0)?;
    let mut path = inputs.text(1)?.parsed(parse);
    let mut out = Int64Builder::with_capacity(inputs.rows);
    for row in 0..inputs.rows {
        let found = json.get(row).zip(path.get(row)).and_then(|(json, path)| path.first(json).ok().flatten());
        out.append_option(found.and_then(|text| as_int(&text)));
    }
    Ok(Arc::new(out.finish()))
}

/// No match is an empty list; what is no JSON is null.
fn list(inputs: &Inputs) -> Result<ArrayRef> {
    let json = inputs.text(0)?;
    let mut path = inputs.text(1)?.parsed(parse);
    let mut out = ListBuilder::with_capacity(StringBuilder::new(), inputs.rows);
    let mut found: Vec<Cow<'_, str>> = Vec::new();
    for row in 0..inputs.rows {
        found.clear();
        let read = json
            .get(row)
            .zip(path.get(row))
            .map(|(json, path)| path.each(json, &mut |text| found.push(text)));
        let whole = matches!(read, Some(Ok(())));
        if whole {
            for text in &found {
                out.values().append_value(text);
            }
        }
        out.append(whole);
    }
    Ok(Arc::new(out.finish()))
}
