//! `phone_e164(text, region)`: a phone number as people write it; null when it is none. The region is
//! the country of numbers without an international prefix; null or empty: there is none.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use throughline_core::phone;

use super::Function;
use super::input::{Arg, Inputs, text_column};

pub(super) fn all() -> Vec<Function> {
    vec![Function::new("phone_e164", &[Arg::Text, Arg::Text], DataType::Utf8, run).checked(1, |region| {
        match region.is_empty() || phone::region(region).is_some() {
            true => Ok(()),
            false => Err(format!("{region:?} is no country; write two letters such as RU or AE")),
        }
    })]
}

fn run(inputs: &Inputs) -> Result<ArrayRef> {
    let mut region = inputs.text(1)?.parsed(phone::region);
    let mut e164 = String::new();
    text_column(inputs, |row, text, out| {
        e164.clear();
        match phone::write_if_phone(&mut e164, text, region.get(row).copied()) {
            true => out.append_value(&e164),
            false => out.append_null(),
        }
    })
}
