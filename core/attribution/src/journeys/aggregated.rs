//! Paths that come counted already, in the canonical table `aggregated_paths`.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, ListArray, RecordBatch, StringArray};
use futures::TryStreamExt;
use throughline_core::{Error, Notice, Result};

use super::collect::{Collector, Outcome};
use crate::channels::{Channels, OTHER};
use crate::host::ints;
use crate::models::Names;
use crate::runner::Runner;

const PATHS: &str = "SELECT path, conversions, coalesce(nulls, CAST(0 AS BIGINT)) AS nulls, \
     coalesce(value_minor, CAST(0 AS BIGINT)) AS value_minor FROM c_aggregated_paths";

/// Above, a count is no longer exact in a float.
const LARGEST: i64 = 1 << 53;

pub(super) async fn is_given(runner: &Runner<'_>) -> Result<bool> {
    Ok(runner.number("SELECT count(*) FROM c_aggregated_paths").await? > 0)
}

/// The channels these paths name, sorted.
pub(crate) async fn channel_names(runner: &Runner<'_>) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut rows = runner.read(PATHS).await?;
    while let Some(batch) = rows.try_next().await? {
        let paths = paths_of(&batch)?;
        for row in 0..paths.len() {
            for name in channels(paths, row)?.iter().flatten().map(str::trim) {
                if !names.contains(name) && !name.is_empty() {
                    names.insert(name.to_string());
                }
            }
        }
    }
    Ok(names)
}

/// Counts every path as one of conversion type `type_n`.
pub(super) async fn add(
    runner: &Runner<'_>,
    names: &Names,
    type_n: u32,
    into: &mut Collector<'_>,
    notices: &mut Vec<Notice>,
) -> Result<()> {
    let mut rows = runner.read(PATHS).await?;
    let (mut path, mut nameless) = (Vec::new(), 0_u64);
    while let Some(batch) = rows.try_next().await? {
        let paths = paths_of(&batch)?;
        let (conversions, nulls) = (ints(&batch, "conversions")?, ints(&batch, "nulls")?);
        let values = ints(&batch, "value_minor")?;
        for row in 0..batch.num_rows() {
            let listed = channels(paths, row)?;
            path.clear();
            let mut is_nameless = false;
            for name in listed.iter().map(|n| n.unwrap_or_default().trim()) {
                is_nameless |= name.is_empty();
                let name = if name.is_empty() { OTHER } else { name };
                path.push(names.get(name).unwrap_or(Channels::OTHER as u32));
            }
            nameless += u64::from(is_nameless);
            let (c, u, value) = (conversions.value(row), nulls.value(row), values.value(row));
            check(&listed, c, u, value)?;
            into.add(type_n, &mut path, Outcome { conversions: c, nulls: u, gross: value, net: value })?;
        }
    }
    if nameless > 0 {
        notices.push(Notice {
            code: "path_without_channel".into(),
            message: format!(
                "{nameless} aggregated paths hold a touch without a channel; it counts as {OTHER}"
            ),
        });
    }
    Ok(())
}

fn check(path: &StringArray, conversions: i64, nulls: i64, value: i64) -> Result<()> {
    let wrong = |what: String| {
        let channels: Vec<&str> = path.iter().map(Option::unwrap_or_default).take(20).collect();
        Err(Error::data(format!("aggregated_paths: the path `{}` has {what}", channels.join(" > "))))
    };
    for (name, number) in [("conversions", conversions), ("nulls", nulls), ("value_minor", value)] {
        if !(0..=LARGEST).contains(&number) {
            return wrong(format!("{name} = {number}, which is no count of people or money brought"));
        }
    }
    if conversions == 0 && value != 0 {
        return wrong(format!("value_minor = {value}, but no conversion that brought it"));
    }
    Ok(())
}

fn paths_of(batch: &RecordBatch) -> Result<&ListArray> {
    batch
        .column_by_name("path")
        .and_then(|c| c.as_list_opt::<i32>())
        .ok_or_else(|| Error::bug("aggregated paths are lists"))
}

/// A path that is null is one without a touch.
fn channels(paths: &ListArray, row: usize) -> Result<StringArray> {
    if paths.is_null(row) {
        return Ok(StringArray::from(Vec::<String>::new()));
    }
    let values = paths.value(row);
    values.as_string_opt::<i32>().cloned().ok_or_else(|| Error::bug("aggregated paths are lists of text"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn counts_that_are_none_are_refused_with_their_path() {
        let path = StringArray::from(vec![Some("a"), None, Some("b")]);
        assert!(check(&path, 1, 0, 5).is_ok());
        assert!(check(&path, 0, LARGEST, 0).is_ok());
        for (conversions, nulls, value, part) in [
            (-1, 0, 0, "conversions = -1"),
            (1, -7, 0, "nulls = -7"),
            (1, 0, -5, "value_minor = -5"),
            (i64::MAX, 0, 0, "conversions = 9223372036854775807"),
            (0, 3, 5, "no conversion that brought it"),
        ] {
            let error = check(&path, conversions, nulls, value).unwrap_err().to_string();
            assert!(error.contains("the path `a >  > b` has") && error.contains(part), "{error}");
        }
    }
}
