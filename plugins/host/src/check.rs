//! Whether a batch that a plugin made is Arrow data: arrow's own full check, with a faster eye for text, since
//! text is most of what comes and every byte of it is looked at.

use arrow::array::ArrayData;
use arrow::datatypes::{ArrowNativeType, DataType};

/// # Errors
/// What is wrong with it, for people.
pub(crate) fn check(table: &ArrayData) -> Result<(), String> {
    // Of lengths and buffers, children included.
    table.validate().map_err(|e| e.to_string())?;
    for (i, column) in table.child_data().iter().enumerate() {
        check_column(column).map_err(|what| match table.data_type() {
            DataType::Struct(fields) => format!("column {}: {what}", fields[i].name()),
            _ => what,
        })?;
    }
    // Null counts of the table itself, and fields that may have none.
    table.validate_nulls().map_err(|e| e.to_string())
}

fn check_column(column: &ArrayData) -> Result<(), String> {
    match column.data_type() {
        DataType::Utf8 => {
            text::<i32>(column)?;
            column.validate_nulls().map_err(|e| e.to_string())
        }
        DataType::LargeUtf8 => {
            text::<i64>(column)?;
            column.validate_nulls().map_err(|e| e.to_string())
        }
        _ => column.validate_full().map_err(|e| e.to_string()),
    }
}

/// Offsets that go up and stay inside, text that is UTF-8 as a whole and cut between characters.
fn text<O: ArrowNativeType + PartialOrd>(column: &ArrayData) -> Result<(), String> {
    if column.is_empty() {
        return Ok(());
    }
    let offsets = &column.buffers()[0].typed_data::<O>()[column.offset()..=column.offset() + column.len()];
    let bytes = column.buffers()[1].as_slice();
    let (first, last) = (offsets[0].as_usize(), offsets[column.len()].as_usize());
    if offsets[0] < O::default() || !offsets.is_sorted() || last > bytes.len() {
        return Err("offsets that lead out of the text".into());
    }
    let bytes = &bytes[first..last];
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| "text that is no UTF-8".to_owned())?;
    let cut = offsets.iter().all(|offset| text.is_char_boundary(offset.as_usize() - first));
    if cut { Ok(()) } else { Err("text that is cut inside of a character".into()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{Array, ArrayRef, Int64Array, LargeStringArray, StringArray, StructArray};
    use arrow::buffer::Buffer;
    use arrow::datatypes::Field;

    use super::*;

    /// A table of one text column with these offsets and bytes, unchecked.
    fn table(offsets: &[i32], bytes: &[u8], offset: usize) -> ArrayData {
        let length = offsets.len() - 1 - offset;
        let column = ArrayData::builder(DataType::Utf8)
            .len(length)
            .offset(offset)
            .add_buffer(Buffer::from_slice_ref(offsets))
            .add_buffer(Buffer::from_slice_ref(bytes));
        // SAFETY: none: what is wrong with it is to be found.
        let column = unsafe { column.build_unchecked() };
        let fields = vec![Field::new("t", DataType::Utf8, true)].into();
        let table = ArrayData::builder(DataType::Struct(fields)).len(length).add_child_data(column);
        // SAFETY: as above.
        unsafe { table.build_unchecked() }
    }

    #[test]
    fn good_text_is_let_through() {
        check(&table(&[0, 2, 4], "яя".as_bytes(), 0)).unwrap();
        check(&table(&[0, 2, 4], "яя".as_bytes(), 1)).unwrap();
        check(&table(&[0], b"", 0)).unwrap();
        check(&table(&[1, 1, 3], "aяb".as_bytes(), 0)).unwrap();
        let columns: Vec<(Arc<Field>, ArrayRef)> = vec![
            (
                Arc::new(Field::new("n", DataType::Int64, true)),
                Arc::new(Int64Array::from(vec![Some(1), None])),
            ),
            (
                Arc::new(Field::new("t", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec![None, Some("é")])),
            ),
            (
                Arc::new(Field::new("l", DataType::LargeUtf8, true)),
                Arc::new(LargeStringArray::from(vec!["", "é"])),
            ),
        ];
        check(&StructArray::from(columns).into_data()).unwrap();
    }

    #[test]
    fn rubbish_is_named() {
        for (offsets, bytes, expected) in [
            (&[0, 1, 4][..], "яя".as_bytes(), "cut inside of a character"),
            (&[0, 2, 3][..], &[0xd1, 0x8f, 0xff][..], "no UTF-8"),
            (&[0, 4, 2][..], "яя".as_bytes(), "t: "),
            (&[-1, 1, 2][..], b"abc", ""),
            (&[0, 1, 9][..], b"abc", ""),
        ] {
            let error = check(&table(offsets, bytes, 0)).unwrap_err();
            assert!(error.contains(expected), "{offsets:?}: {error}");
        }
    }
}
