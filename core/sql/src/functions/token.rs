//! Visit tokens in the text of messages and in hidden carriers.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use throughline_core::token::{VisitToken, read_text};

use super::Function;
use super::input::{Arg, Inputs, text_column};

pub(super) fn all() -> Vec<Function> {
    vec![
        Function::new("visit_token", &[Arg::Text], DataType::Utf8, visit_token),
        Function::new("token_state", &[Arg::Text], DataType::Utf8, token_state),
        Function::new("bare_token", &[Arg::Text], DataType::Utf8, bare_token),
        Function::new("carried_token", &[Arg::Text], DataType::Utf8, carried_token),
    ]
}

fn visit_token(inputs: &Inputs) -> Result<ArrayRef> {
    text_column(inputs, |_, text, out| out.append_option(read_text(text).1.as_ref().map(VisitToken::as_str)))
}

fn token_state(inputs: &Inputs) -> Result<ArrayRef> {
    text_column(inputs, |_, text, out| out.append_value(read_text(text).0.as_str()))
}

fn bare_token(inputs: &Inputs) -> Result<ArrayRef> {
    text_column(inputs, |_, text, out| {
        out.append_option(VisitToken::from_bare(text).as_ref().map(VisitToken::as_str));
    })
}

fn carried_token(inputs: &Inputs) -> Result<ArrayRef> {
    text_column(inputs, |_, text, out| {
        out.append_option(VisitToken::from_carrier(text).as_ref().map(VisitToken::as_str));
    })
}
