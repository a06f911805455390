//! Rows as text that can be compared, whatever arrow types a batch came in.

use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use throughline_core::{Result, StreamSpec};

/// Characters of a row that a message shows.
const SHOWN: usize = 160;

#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// `None`: every part of the key is null, or the stream has none.
    pub key: Option<String>,
    /// Of the whole row.
    pub print: u64,
    /// The row's beginning, for messages.
    pub shown: String,
    /// Of streams that restate: the text in the day column.
    pub day: Option<String>,
}

/// The rows of a batch. Null and absent columns are the same; so are `12`, `12.0` and a decimal 12, since
/// types may differ from batch to batch.
pub(crate) fn rows(batch: &RecordBatch, spec: &StreamSpec) -> Result<Vec<Row>> {
    let options = FormatOptions::default();
    let schema = batch.schema();
    let mut columns: Vec<(&str, &dyn Array, ArrayFormatter<'_>)> = Vec::new();
    for (column, field) in batch.columns().iter().zip(schema.fields()) {
        if column.data_type() != &DataType::Null {
            let format = ArrayFormatter::try_new(column, &options)?;
            columns.push((field.name(), column.as_ref(), format));
        }
    }
    columns.sort_by_key(|(name, ..)| *name);
    let mut rows = Vec::with_capacity(batch.num_rows());
    for i in 0..batch.num_rows() {
        let mut hasher = DefaultHasher::new();
        let mut shown = String::from("{");
        let mut key: Vec<Option<String>> = vec![None; spec.key.len()];
        let mut day = None;
        for (name, column, format) in &columns {
            if column.is_null(i) {
                continue;
            }
            let text = plain(column.data_type(), format.value(i).try_to_string()?);
            (*name, &text).hash(&mut hasher);
            for (part, wanted) in key.iter_mut().zip(&spec.key) {
                if wanted == name {
                    *part = Some(text.clone());
                }
            }
            if spec.restates.as_ref().is_some_and(|r| r.day_column == *name) {
                day = Some(text.clone());
            }
            if shown.len() < SHOWN {
                let comma = if shown.len() > 1 { ", " } else { "" };
                shown.push_str(&format!("{comma}{name}: {}", text.chars().take(40).collect::<String>()));
            }
        }
        shown.push_str(if shown.len() < SHOWN { "}" } else { ", …}" });
        let key = key
            .iter()
            .any(Option::is_some)
            .then(|| key.iter().map(|part| part.as_deref().unwrap_or("∅")).collect::<Vec<_>>().join(" / "));
        rows.push(Row { key, print: hasher.finish(), shown, day });
    }
    Ok(rows)
}

fn plain(kind: &DataType, text: String) -> String {
    let number = matches!(
        kind,
        DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Float32 | DataType::Float64
    );
    if !number || !text.contains('.') || text.contains('e') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Int64Array, NullArray, StringArray};
    use throughline_core::Capabilities;

    use super::*;

    fn spec() -> StreamSpec {
        StreamSpec {
            name: "a".into(),
            doc: String::new(),
            key: vec!["id".into()],
            columns: Vec::new(),
            restates: None,
            capabilities: Capabilities::default(),
        }
    }

    #[test]
    fn types_and_null_columns_make_no_difference() {
        let one = |columns: Vec<(&str, ArrayRef)>| {
            rows(
                &RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
                    .unwrap(),
                &spec(),
            )
            .unwrap()
            .remove(0)
        };
        let id: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        let whole = one(vec![("id", id.clone()), ("n", Arc::new(Int64Array::from(vec![1200])))]);
        let decimal = Decimal128Array::from(vec![1_200_000_000_000]).with_precision_and_scale(38, 9).unwrap();
        let wide =
            one(vec![("n", Arc::new(decimal)), ("x", Arc::new(NullArray::new(1))), ("id", id.clone())]);
        assert_eq!((whole.print, &whole.key), (wide.print, &wide.key));
        let text = one(vec![
            ("id", Arc::new(StringArray::from(vec!["7"]))),
            ("n", Arc::new(StringArray::from(vec!["1200"]))),
        ]);
        assert_eq!(whole.print, text.print);
        let other = one(vec![("id", id), ("n", Arc::new(Int64Array::from(vec![12])))]);
        assert_ne!(whole.print, other.print);
        let keyless = one(vec![("id", Arc::new(Int64Array::from(vec![None])))]);
        assert_eq!(keyless.key, None);
    }
}
