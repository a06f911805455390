//! What became of a value, out of a list of its changes in JSON.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::error::Result;
use throughline_core::instant::{self, Zone};
use throughline_core::json_path::JsonPath;

use super::Function;
use super::input::{Arg, Inputs};

pub(super) fn all() -> Vec<Function> {
    let texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let path = |text: &str| JsonPath::parse(text).map(drop);
    vec![
        Function::new("json_by_time", &[Arg::Text; 3], texts, by_time).checked(1, path),
        Function::new("held_since", &[Arg::Text; 5], moment, held_since).checked(1, path),
    ]
}

fn parse(path: &str) -> Option<JsonPath> {
    JsonPath::parse(path).ok()
}

struct Entry<'a> {
    at: Option<i64>,
    text: Cow<'a, str>,
}

/// Oldest first, those without an instant last; of one instant by their text, so that the vendor's order of them
/// does not matter.
fn ordered<'a>(json: &'a str, list: &JsonPath, at: &JsonPath, entries: &mut Vec<Entry<'a>>) -> bool {
    entries.clear();
    let utc = Zone::parse("UTC");
    let read = list.each(json, &mut |text| {
        let stamp = at.first(&text).ok().flatten();
        let at = stamp.and_then(|stamp| instant::parse(&stamp, utc));
        entries.push(Entry { at, text });
    });
    entries.sort_by(|a, b| {
        let late = |e: &Entry| e.at.unwrap_or(i64::MAX);
        late(a).cmp(&late(b)).then_with(|| a.text.cmp(&b.text))
    });
    read.is_ok()
}

fn by_time(inputs: &Inputs) -> Result<ArrayRef> {
    let json = inputs.text(0)?;
    let (mut list, mut at) = (inputs.text(1)?.parsed(parse), inputs.text(2)?.parsed(parse));
    let mut out = ListBuilder::with_capacity(StringBuilder::new(), inputs.rows);
    let mut entries = Vec::new();
    for row in 0..inputs.rows {
        let given = json.get(row).zip(list.get(row)).zip(at.get(row));
        let whole = given.is_some_and(|((json, list), at)| ordered(json, list, at, &mut entries));
        if whole {
            for entry in &entries {
                out.values().append_value(&entry.text);
            }
        }
        out.append(whole);
    }
    Ok(Arc::new(out.finish()))
}

/// The last entry that brought the value in place of another one.
fn held_since(inputs: &Inputs) -> Result<ArrayRef> {
    let json = inputs.text(0)?;
    let (mut list, mut at) = (inputs.text(1)?.parsed(parse), inputs.text(2)?.parsed(parse));
    let (mut of, wanted) = (inputs.text(3)?.parsed(parse), inputs.text(4)?);
    let mut out = TimestampMicrosecondBuilder::with_capacity(inputs.rows).with_timezone("UTC");
    let mut entries = Vec::new();
    for row in 0..inputs.rows {
        let given = json.get(row).zip(list.get(row)).zip(at.get(row)).zip(of.get(row)).zip(wanted.get(row));
        out.append_option(given.and_then(|((((json, list), at), of), wanted)| {
            if !ordered(json, list, at, &mut entries) {
                return None;
            }
            let (mut before, mut since) = (false, None);
            for entry in &entries {
                let now = of.first(&entry.text).ok().flatten().is_some_and(|value| value == wanted);
                if now && !before {
                    since = entry.at;
                }
                before = now;
            }
            since
        }));
    }
    Ok(Arc::new(out.finish()))
}
