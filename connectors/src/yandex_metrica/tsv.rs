//! Parts of a log export: TabSeparated as ClickHouse writes it. Lists (`[1,2]`, `['a','b']`) become JSON.

use std::io::Read;

use throughline_core::Result;

use super::fields::{is_list, may_be_list};
use super::list;
use crate::tsv::Dialect;
pub use crate::tsv::Part;

const CLICKHOUSE: Dialect = Dialect {
    null: "\\N",
    escaped: true,
    list: |column| if is_list(column) || may_be_list(column) { Some(list::to_json) } else { None },
};

/// Reads the header of one part. Every row gets the `constants` as further columns.
///
/// # Errors
/// `Protocol` when there is no usable header, `Io`.
pub fn open<R: Read>(reader: R, name: impl Into<String>, constants: &[(&str, &str)]) -> Result<Part<R>> {
    Part::open(reader, name, CLICKHOUSE, constants)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};

    use super::*;

    fn rows(batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
        (0..batch.num_rows())
            .map(|r| {
                let cell = |c: &ArrayRef| {
                    let c = c.as_string::<i32>();
                    (!c.is_null(r)).then(|| c.value(r).to_owned())
                };
                batch.columns().iter().map(cell).collect()
            })
            .collect()
    }

    #[test]
    fn cells_come_back_as_they_were() {
        let text = "ym:s:startURL\tym:s:goalsID\tym:s:lastMessenger\n\
            a\\tb\\n\\\\c\\'\t[1,18446744073709551615]\t[,,telegram]\n\\N\t[]\twhatsapp\n";
        let mut part = open(text.as_bytes(), "part 0", &[("time_zone", "Europe/Moscow")]).unwrap();
        let batch = part.next_batch().unwrap().unwrap();
        assert!(part.next_batch().unwrap().is_none());
        let zone = Some("Europe/Moscow".to_owned());
        let some = |s: &str| Some(s.to_owned());
        assert_eq!(
            rows(&batch),
            [
                vec![
                    some("a\tb\n\\c'"),
                    some("[1,18446744073709551615]"),
                    some("[null,null,\"telegram\"]"),
                    zone.clone()
                ],
                vec![None, some("[]"), some("whatsapp"), zone],
            ]
        );
    }
}
