//! Rows as numbers, to be compared and looked up: column by column, without a copy of any value.

use arrow::array::ArrayRef;
use datafusion::common::hash_utils::{QualityRandomState, create_hashes};
use throughline_core::{Error, Result};

/// What a null counts as, and what a list begins with.
const NULL: u64 = 0x9e37_79b9_7f4a_7c15;
const EMPTY: u64 = 0xc2b2_ae3d_27d4_eb4f;
const ODD: u64 = 0xd6e8_feb8_6659_fd93;

/// A number for each row that is equal where all values are (`0.0` and `-0.0` are), and else differs but for one
/// chance in 2^64. The columns must be as long as each other, and of the same types wherever numbers are compared.
pub fn row_hashes(columns: &[ArrayRef]) -> Result<Vec<u64>> {
    seeded(columns, 0)
}

/// The same in twice as many bits: no two rows share one by chance.
pub fn wide_row_hashes(columns: &[ArrayRef]) -> Result<Vec<u128>> {
    let (high, low) = (seeded(columns, 0)?, seeded(columns, ODD)?);
    Ok(high.into_iter().zip(low).map(|(high, low)| u128::from(high) << 64 | u128::from(low)).collect())
}

fn seeded(columns: &[ArrayRef], seed: u64) -> Result<Vec<u64>> {
    let rows = columns.first().map_or(0, |c| c.len());
    let mut all = vec![seed; rows];
    let mut one = vec![0; rows];
    for (number, column) in columns.iter().enumerate() {
        one.fill(EMPTY);
        // A seed for each column: a value is not the same in the next one.
        let state = QualityRandomState::with_seed(seed.wrapping_add(number as u64));
        create_hashes([column], &state, &mut one).map_err(|e| Error::bug(format!("hash a column: {e}")))?;
        // The library leaves nulls as they were, and so it does lists without items.
        if let Some(nulls) = column.nulls().filter(|n| n.null_count() > 0) {
            (0..rows).filter(|row| nulls.is_null(*row)).for_each(|row| one[row] = NULL);
        }
        for (all, one) in all.iter_mut().zip(&one) {
            *all = (all.rotate_left(29) ^ one).wrapping_mul(ODD);
        }
    }
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use arrow::array::{Int64Array, ListBuilder, StringArray, StringBuilder};

    use super::*;

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn rows_are_equal_where_all_values_are() {
        let a = texts(&[Some("a"), None, Some("a"), None, Some(""), Some("a")]);
        let b = texts(&[None, Some("a"), Some("a"), None, None, None]);
        let hashes = wide_row_hashes(&[a.clone(), b.clone()]).unwrap();
        assert_eq!(hashes[0], hashes[5]);
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), 5);
        assert_eq!(row_hashes(&[a, b]).unwrap()[3], (hashes[3] >> 64) as u64);
    }

    #[test]
    fn a_slice_and_a_list_hash_as_what_they_show() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        let all = wide_row_hashes(&[numbers.clone(), numbers.clone()]).unwrap();
        let some = wide_row_hashes(&[numbers.slice(500, 10), numbers.slice(500, 10)]).unwrap();
        assert_eq!(all[500..510], some);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 1000);

        let mut lists = ListBuilder::new(StringBuilder::new());
        for list in [&["vip", "new"][..], &["vip"], &["vip"], &[]] {
            list.iter().for_each(|text| lists.values().append_value(text));
            lists.append(true);
        }
        lists.append(false);
        let lists: ArrayRef = Arc::new(lists.finish());
        let hashes = wide_row_hashes(&[lists]).unwrap();
        assert_eq!(hashes[1], hashes[2]);
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), 4);
    }
}
