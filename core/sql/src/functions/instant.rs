//! Instants: from seconds, from text, to microseconds.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::error::Result;
use throughline_core::instant::{self, Zone};

use super::Function;
use super::input::{Arg, Inputs};

pub(super) fn all() -> Vec<Function> {
    let instant = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    vec![
        Function::new("unix_to_instant", &[Arg::Int], instant(), unix),
        Function::new("unix_ms_to_instant", &[Arg::Int], instant(), unix_ms),
        Function::new("parse_instant", &[Arg::Text, Arg::Text], instant(), parse).checked(1, |zone| {
            Zone::parse(zone).map(drop).ok_or_else(|| {
                format!("{zone:?} is no time zone; write an IANA name such as Europe/Moscow, or +03:00")
            })
        }),
        Function::new("instant_us", &[Arg::Instant], DataType::Int64, microseconds),
    ]
}

fn unix(inputs: &Inputs) -> Result<ArrayRef> {
    let seconds = inputs.primitive::<Int64Type>(0)?;
    let mut out = TimestampMicrosecondBuilder::with_capacity(inputs.rows).with_timezone("UTC");
    for row in 0..inputs.rows {
        out.append_option(seconds(row).and_then(instant::from_unix_seconds));
    }
    Ok(Arc::new(out.finish()))
}

fn unix_ms(inputs: &Inputs) -> Result<ArrayRef> {
    let milliseconds = inputs.primitive::<Int64Type>(0)?;
    let mut out = TimestampMicrosecondBuilder::with_capacity(inputs.rows).with_timezone("UTC");
    for row in 0..inputs.rows {
        out.append_option(milliseconds(row).and_then(instant::from_unix_milliseconds));
    }
    Ok(Arc::new(out.finish()))
}

/// A null zone: only texts with an offset of their own have an instant.
fn parse(inputs: &Inputs) -> Result<ArrayRef> {
    let text = inputs.text(0)?;
    let mut zone = inputs.text(1)?.parsed(Zone::parse);
    let mut out = TimestampMicrosecondBuilder::with_capacity(inputs.rows).with_timezone("UTC");
    for row in 0..inputs.rows {
        let zone = zone.get(row).copied();
        out.append_option(text.get(row).and_then(|text| instant::parse(text, zone)));
    }
    Ok(Arc::new(out.finish()))
}

fn microseconds(inputs: &Inputs) -> Result<ArrayRef> {
    let at = inputs.primitive::<TimestampMicrosecondType>(0)?;
    let mut out = Int64Builder::with_capacity(inputs.rows);
    for row in 0..inputs.rows {
        out.append_option(at(row));
    }
    Ok(Arc::new(out.finish()))
}
