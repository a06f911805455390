//! Rows exchanged in files, against the same done to rows in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::Int64Type;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use throughline_sql::{HELD_BYTES, LocalEngine, LocalOptions, TableRef};

use super::difference::{Versions, within};
use super::exchange::Exchange;
use super::replace;
use crate::runner::Runner;
use crate::tables::{Kind, OutputColumn, OutputSpec};

const fn column(name: &'static str, kind: Kind) -> OutputColumn {
    OutputColumn { name, kind, doc: "" }
}

const SPEC: OutputSpec = OutputSpec {
    name: "guests",
    doc: "",
    key: &["id", "kind"],
    partition_by: None,
    columns: &[
        column("kind", Kind::Text),
        column("id", Kind::Int),
        column("name", Kind::Text),
        column("visits", Kind::Int),
        column("tags", Kind::TextList),
    ],
};

/// Name, visits and tags by kind and id.
type Row = (Option<String>, Option<i64>, Option<Vec<String>>);
type Rows = BTreeMap<(String, i64), Row>;

fn batch(rows: &[(&(String, i64), &Row)]) -> RecordBatch {
    let mut tags = ListBuilder::new(StringBuilder::new());
    for (_, row) in rows {
        match &row.2 {
            Some(all) => {
                all.iter().for_each(|tag| tags.values().append_value(tag));
                tags.append(true);
            }
            None => tags.append(false),
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, _)| &key.0))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(key, _)| key.1))),
        Arc::new(StringArray::from_iter(rows.iter().map(|(_, row)| row.0.as_deref()))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|(_, row)| row.1))),
        Arc::new(tags.finish()),
    ];
    RecordBatch::try_new(SPEC.schema(2), columns).unwrap()
}

fn write(path: &Path, rows: &[(&(String, i64), &Row)]) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3)).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, SPEC.schema(2), Some(properties)).unwrap();
    writer.write(&batch(rows)).unwrap();
    writer.close().unwrap();
}

/// Every row; a key that is there twice fails.
fn read(files: &[std::path::PathBuf]) -> Rows {
    let mut all = Rows::new();
    for path in files {
        let file = std::fs::File::open(path).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let (kinds, names) = (batch.column(0).as_string::<i32>(), batch.column(2).as_string::<i32>());
            let ids = batch.column(1).as_primitive::<Int64Type>();
            let visits = batch.column(3).as_primitive::<Int64Type>();
            let tags = batch.column(4).as_list::<i32>();
            for n in 0..batch.num_rows() {
                let words = tags.is_valid(n).then(|| {
                    let words = tags.value(n);
                    words.as_string::<i32>().iter().flatten().map(str::to_string).collect()
                });
                let row = (
                    names.is_valid(n).then(|| names.value(n).to_string()),
                    visits.is_valid(n).then(|| visits.value(n)),
                    words,
                );
                let twice = all.insert((kinds.value(n).to_string(), ids.value(n)), row);
                assert!(twice.is_none(), "row {n} of {} is there twice", path.display());
            }
        }
    }
    all
}

fn key() -> impl Strategy<Value = (String, i64)> {
    (any::<bool>(), 0..40_i64).prop_map(|(first, id)| (if first { "a" } else { "b" }.to_string(), id))
}

fn rows() -> impl Strategy<Value = Rows> {
    let word = || prop::sample::select(vec!["", "x", "Ольга", "ليلى"]).prop_map(str::to_string);
    let row = (
        prop::option::of(word()),
        prop::option::of(0..9_i64),
        prop::option::of(prop::collection::vec(word(), 0..3)),
    );
    prop::collection::btree_map(key(), row, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn files_hold_what_is_there_now(was in rows(), changed in rows(), gone in prop::collection::btree_set(key(), 0..30), cut in 1..20_usize) {
        let folder = tempfile::tempdir().unwrap();
        let all: Vec<_> = was.iter().collect();
        // Up to sixty files: many small ones become one.
        let mut files = Vec::new();
        for (n, part) in all.chunks(cut).enumerate() {
            let path = folder.path().join(format!("was-{n}.parquet"));
            write(&path, part);
            files.push(path);
        }
        if files.is_empty() {
            write(&folder.path().join("none"), &[]);
            files.push(folder.path().join("none"));
        }
        let mut now = was.clone();
        now.extend(changed);
        now.retain(|key, _| !gone.contains(key));
        let out: Vec<_> = was.iter().filter(|(key, row)| now.get(*key) != Some(*row)).collect();
        let new: Vec<_> = now.iter().filter(|(key, row)| was.get(*key) != Some(*row)).collect();

        let exchange = Exchange::of(&SPEC, &batch(&out), batch(&new)).unwrap();
        let table = TableRef::Parquet { files: files.clone(), schema: SPEC.schema(2) };
        let target = folder.path().join("now");
        let written = replace::write(&target, &SPEC, SPEC.schema(2), &table, &exchange).unwrap().unwrap();
        prop_assert_eq!(read(&written.files), now.clone());
        prop_assert_eq!(written.rows as usize, now.len());
        prop_assert!(written.files.len() <= files.len().min(9) + 1);

        // What is to go and is not there, or is there twice, is told.
        if let Some(first) = out.first() {
            let twice = Exchange::of(&SPEC, &batch(&[*first, *first]), batch(&[])).unwrap();
            prop_assert!(replace::write(&folder.path().join("twice"), &SPEC, SPEC.schema(2), &table, &twice).unwrap().is_none());
            files.push(files[0].clone());
            let table = TableRef::Parquet { files, schema: SPEC.schema(2) };
            let of_first = Exchange::of(&SPEC, &batch(&all[..1]), batch(&[])).unwrap();
            prop_assert!(replace::write(&folder.path().join("double"), &SPEC, SPEC.schema(2), &table, &of_first).unwrap().is_none());
        }
    }
}

/// Rows that one side holds more often or less often than the other.
fn unlike(rows: &[(&(String, i64), &Row)], others: &[(&(String, i64), &Row)]) -> Vec<((String, i64), Row)> {
    let times = |row, of: &[_]| of.iter().filter(|other| **other == row).count();
    let mut found: Vec<_> = rows
        .iter()
        .filter(|row| times(**row, rows) != times(**row, others))
        .map(|(key, row)| ((*key).clone(), (*row).clone()))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// What rows batches hold; keys may repeat.
fn shown(folder: &Path, batches: &[RecordBatch]) -> Vec<((String, i64), Row)> {
    let mut all = Vec::new();
    for batch in batches {
        for n in 0..batch.num_rows() {
            let path = folder.join("one.parquet");
            let file = std::fs::File::create(&path).unwrap();
            let mut writer = ArrowWriter::try_new(file, SPEC.schema(2), None).unwrap();
            let row = RecordBatch::try_new(SPEC.schema(2), batch.slice(n, 1).columns().to_vec()).unwrap();
            writer.write(&row).unwrap();
            writer.close().unwrap();
            all.extend(read(&[path]));
        }
    }
    all.sort();
    all.dedup();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn what_differs_is_found_however_the_rows_lie(was in rows(), now in rows(), cuts in (1..9_usize, 1..9_usize), twice in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let mut old: Vec<_> = was.iter().collect();
        // Half of what was stays, in another order.
        let mut new: Vec<_> = was.iter().skip(was.len() / 2).chain(now.iter()).rev().collect();
        if twice {
            old.extend(was.iter().take(2));
            new.extend(now.iter().take(2));
        }
        let table = |name: &str, rows: &[(&(String, i64), &Row)], cut: usize| {
            let mut files = Vec::new();
            for (n, part) in rows.chunks(cut).enumerate() {
                let path = folder.path().join(format!("{name}-{n}.parquet"));
                write(&path, part);
                files.push(path);
            }
            TableRef::Parquet { files, schema: SPEC.schema(2) }
        };
        let in_files = (table("old", &old, cuts.0), table("new", &new, cuts.1));
        let held = |rows| TableRef::Rows { schema: SPEC.schema(2), batches: vec![batch(rows)] };
        let engine = LocalEngine::new(LocalOptions {
            memory_bytes: 64 << 20,
            spill_dir: folder.path().join("spill"),
            threads: 2,
            held_bytes: HELD_BYTES,
        })
        .unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for (n, (old_table, new_table)) in [in_files, (held(&old), held(&new))].iter().enumerate() {
            let mut runner = Runner::new(&engine, folder.path().join(n.to_string()), None);
            let found = runtime.block_on(within(&mut runner, &Versions::of(old_table, new_table).unwrap()));
            let found = found.unwrap().unwrap();
            prop_assert_eq!(shown(folder.path(), &found.gone), unlike(&old, &new));
            prop_assert_eq!(shown(folder.path(), &found.new), unlike(&new, &old));
        }
    }
}
