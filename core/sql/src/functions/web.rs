//! Parts of URLs.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use throughline_core::url;

use super::Function;
use super::input::{Arg, Inputs, text_column};

pub(super) fn all() -> Vec<Function> {
    vec![
        Function::new("url_param", &[Arg::Text, Arg::Text], DataType::Utf8, param),
        Function::new("url_host", &[Arg::Text], DataType::Utf8, host),
        Function::new("url_path", &[Arg::Text], DataType::Utf8, path),
    ]
}

fn param(inputs: &Inputs) -> Result<ArrayRef> {
    let name = inputs.text(1)?;
    text_column(inputs, |row, text, out| {
        out.append_option(name.get(row).and_then(|name| url::param(text, name)))
    })
}

fn host(inputs: &Inputs) -> Result<ArrayRef> {
    text_column(inputs, |_, text, out| out.append_option(url::host(text)))
}

fn path(inputs: &Inputs) -> Result<ArrayRef> {
    text_column(inputs, |_, text, out| out.append_option(url::path(text)))
}
