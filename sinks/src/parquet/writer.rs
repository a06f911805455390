//! One table as Parquet files: `part-00000.parquet` and so on, in the order the rows come, or one such
//! series per day.

use std::collections::BTreeMap;

use arrow::array::{AsArray as _, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Date32Type, Schema, SchemaRef};
use arrow::temporal_conversions::date32_to_datetime;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use throughline_core::{Error, ErrorKind, Result, Table};

use crate::files::{FileEntry, TableFile, TableFiles};
use crate::staging::TableWriter;

/// Sizes; tests make them small.
#[derive(Clone)]
pub(super) struct Layout {
    pub codec: Compression,
    pub row_group_rows: usize,
    /// A file that has grown beyond it is followed by another.
    pub file_bytes: usize,
    /// What open row groups hold together at most, roughly.
    pub memory_bytes: usize,
    /// What files that are sent in parts keep of their parts together at most.
    pub parts_bytes: usize,
    /// Days that are written to at the same time; the one used least recently is closed.
    pub open_days: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            codec: Compression::UNCOMPRESSED,
            row_group_rows: 1_000_000,
            file_bytes: 1 << 30,
            memory_bytes: 128 << 20,
            parts_bytes: 64 << 20,
            open_days: 128,
        }
    }
}

/// Days since the epoch; `None` for rows without a date, and for tables that are not partitioned.
type Day = Option<i32>;

pub(super) struct ParquetTable {
    files: Box<dyn TableFiles>,
    /// Without the column that went into the folder names.
    schema: SchemaRef,
    /// Index and name of that column.
    partition: Option<(usize, String)>,
    properties: WriterProperties,
    layout: Layout,
    open: BTreeMap<Day, Part>,
    /// How many files each day has so far.
    parts: BTreeMap<Day, u32>,
    /// Counts up; orders [`Part::used`].
    turn: u64,
    done: Vec<FileEntry>,
}

struct Part {
    /// Relative to the table's folder.
    name: String,
    writer: ArrowWriter<Box<dyn TableFile>>,
    rows: u64,
    used: u64,
}

impl ParquetTable {
    pub(super) fn open(
        files: Box<dyn TableFiles>,
        schema: &SchemaRef,
        about: &Table,
        partition_by: Option<&str>,
        layout: Layout,
    ) -> Result<Self> {
        let partition = partition_by.map(|name| partition_column(schema, name)).transpose()?;
        let properties = WriterProperties::builder()
            .set_compression(layout.codec)
            .set_created_by(concat!("throughline ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_max_row_group_row_count(Some(layout.row_group_rows))
            .set_max_row_group_bytes(Some(layout.memory_bytes))
            .set_dictionary_enabled(true)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_key_value_metadata(Some(about_file(about)))
            .build();
        let schema = match &partition {
            None => schema.clone(),
            Some((index, _)) => {
                let kept: Vec<usize> = (0..schema.fields().len()).filter(|i| i != index).collect();
                let schema: Schema = schema.project(&kept)?;
                schema.into()
            }
        };
        let (open, parts) = (BTreeMap::new(), BTreeMap::new());
        let mut table =
            Self { files, schema, partition, properties, layout, open, parts, turn: 0, done: vec![] };
        if table.partition.is_none() {
            // A table without rows is a file without rows: readers learn its columns from it.
            table.part(None)?;
        }
        Ok(table)
    }

    fn write_day(&mut self, day: Day, batch: &RecordBatch) -> Result<()> {
        let file_bytes = self.layout.file_bytes;
        let part = self.part(day)?;
        part.writer.write(batch).map_err(|e| failed(&part.name, e))?;
        part.rows += batch.num_rows() as u64;
        if part.writer.bytes_written() >= file_bytes {
            self.close(day)?;
        }
        Ok(())
    }

    /// The open file of a day, made when there is none.
    fn part(&mut self, day: Day) -> Result<&mut Part> {
        if !self.open.contains_key(&day) {
            if self.open.len() >= self.layout.open_days {
                let oldest = self.open.iter().min_by_key(|(_, part)| part.used).map(|(day, _)| *day);
                if let Some(oldest) = oldest {
                    self.close(oldest)?;
                }
            }
            let number = self.parts.entry(day).or_insert(0);
            let file = format!("part-{number:05}.parquet");
            *number += 1;
            let name = match &self.partition {
                Some((_, column)) => format!("{column}={}/{file}", day_text(day)),
                None => file,
            };
            let out = self.files.create(&name)?;
            let writer = ArrowWriter::try_new(out, self.schema.clone(), Some(self.properties.clone()))
                .map_err(|e| failed(&name, e))?;
            self.open.insert(day, Part { name, writer, rows: 0, used: 0 });
        }
        self.turn += 1;
        let turn = self.turn;
        let part = self
            .open
            .get_mut(&day)
            .ok_or_else(|| Error::bug("a Parquet file was opened and is not there"))?;
        part.used = turn;
        Ok(part)
    }

    fn close(&mut self, day: Day) -> Result<()> {
        if let Some(part) = self.open.remove(&day) {
            let file = part.writer.into_inner().map_err(|e| failed(&part.name, e))?;
            self.done.push(file.finish(part.name, part.rows)?);
        }
        Ok(())
    }

    /// Writes out the largest open row groups until the rest is well below the limit.
    fn relieve(&mut self) -> Result<()> {
        let mut held: usize = self.open.values().map(|part| part.writer.memory_size()).sum();
        if held <= self.layout.memory_bytes {
            return self.relieve_parts();
        }
        let mut parts: Vec<&mut Part> = self.open.values_mut().collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.writer.memory_size()));
        for part in parts {
            if held <= self.layout.memory_bytes / 2 {
                break;
            }
            held = held.saturating_sub(part.writer.memory_size());
            part.writer.flush().map_err(|e| failed(&part.name, e))?;
        }
        self.relieve_parts()
    }

    /// Ends the files that keep the most until the rest is well below the limit: a part in the middle of a file
    /// cannot be sent short.
    fn relieve_parts(&mut self) -> Result<()> {
        let mut held: Vec<(usize, Day)> =
            self.open.iter().map(|(day, part)| (part.writer.inner().held(), *day)).collect();
        let mut sum: usize = held.iter().map(|(bytes, _)| bytes).sum();
        if sum <= self.layout.parts_bytes {
            return Ok(());
        }
        held.sort();
        while let Some((bytes, day)) = held.pop().filter(|_| sum > self.layout.parts_bytes / 2) {
            self.close(day)?;
            sum -= bytes;
        }
        Ok(())
    }
}

impl TableWriter for ParquetTable {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self.partition.as_ref().map(|(index, _)| *index) {
            None => self.write_day(None, batch)?,
            Some(index) => {
                let days = cast(batch.column(index), &DataType::Date32)?;
                let days = days.as_primitive::<Date32Type>();
                let mut rows: BTreeMap<Day, Vec<u32>> = BTreeMap::new();
                for (row, day) in (0_u32..).zip(days.iter()) {
                    rows.entry(day).or_default().push(row);
                }
                let mut rest = batch.clone();
                rest.remove_column(index);
                for (day, rows) in rows {
                    if rows.len() == rest.num_rows() {
                        self.write_day(day, &rest)?;
                    } else {
                        self.write_day(day, &take_record_batch(&rest, &UInt32Array::from(rows))?)?;
                    }
                }
            }
        }
        self.relieve()
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<FileEntry>> {
        let days: Vec<Day> = self.open.keys().copied().collect();
        for day in days {
            self.close(day)?;
        }
        if self.done.is_empty() {
            // Partitioned and without rows: readers learn the columns all the same.
            self.part(None)?;
            self.close(None)?;
        }
        self.done.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(self.done)
    }
}

fn partition_column(schema: &SchemaRef, name: &str) -> Result<(usize, String)> {
    let (index, field) = schema
        .column_with_name(name)
        .ok_or_else(|| Error::bug(format!("there is no column {name:?} to partition by")))?;
    match field.data_type() {
        DataType::Date32 | DataType::Date64 if schema.fields().len() > 1 => Ok((index, name.to_owned())),
        other => Err(Error::unsupported(format!(
            "cannot partition by column {name:?} of type {other}: it must be a date, and not the only column"
        ))),
    }
}

/// What people read about the table in any Parquet tool.
fn about_file(table: &Table) -> Vec<KeyValue> {
    let docs: serde_json::Map<String, serde_json::Value> = table
        .schema
        .fields()
        .iter()
        .filter_map(|f| Some((f.name().clone(), f.metadata().get("doc")?.as_str().into())))
        .collect();
    let mut about = vec![KeyValue::new("throughline.table".into(), table.name.clone())];
    let mut add = |key: &str, value: String| about.push(KeyValue::new(key.into(), value));
    if !table.doc.is_empty() {
        add("throughline.doc", table.doc.clone());
    }
    if !table.key.is_empty() {
        add("throughline.key", table.key.join(", "));
    }
    if !docs.is_empty() {
        add("throughline.column_docs", serde_json::Value::Object(docs).to_string());
    }
    about
}

/// As Hive writes it.
fn day_text(day: Day) -> String {
    match day {
        None => "__HIVE_DEFAULT_PARTITION__".into(),
        Some(day) => date32_to_datetime(day).map_or_else(|| format!("day{day}"), |t| t.date().to_string()),
    }
}

fn failed(file: &str, e: ParquetError) -> Error {
    let kind = match &e {
        ParquetError::External(inner) if inner.is::<std::io::Error>() => ErrorKind::Io,
        _ => ErrorKind::Data,
    };
    Error::new(kind, format!("write {file}: {e}")).caused_by(e)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::Arc;

    use arrow::array::{Date32Array, Int64Array};
    use arrow::datatypes::Field;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    /// 20,000 rows that compress badly, on ten days in turn, under small limits; the files and their rows.
    fn written(layout: Layout, partition_by: Option<&str>) -> Vec<(String, Vec<i64>, usize)> {
        let folder = tempfile::tempdir().unwrap();
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("date", DataType::Date32, false),
        ]));
        let (name, doc) = ("t".to_owned(), String::new());
        let about = Table { name, schema: schema.clone(), key: vec![], partition_by: None, doc };
        let mut table = ParquetTable::open(
            crate::files::LocalFiles::at(folder.path()),
            &schema,
            &about,
            partition_by,
            layout,
        )
        .unwrap();
        for from in (0..20_000).step_by(1000) {
            let ids = Int64Array::from_iter_values(
                (from..from + 1000).map(|i: i64| i.wrapping_mul(0x9E37_79B9_7F4A)),
            );
            let days = Date32Array::from_iter_values((0..1000).map(|i| i % 10));
            table
                .write(&RecordBatch::try_new(schema.clone(), vec![Arc::new(ids), Arc::new(days)]).unwrap())
                .unwrap();
        }
        let files = Box::new(table).finish().unwrap();
        let read = |file: &FileEntry| {
            let open = std::fs::File::open(folder.path().join(&file.path)).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(open).unwrap();
            let groups = reader.metadata().num_row_groups();
            let ids: Vec<i64> = reader
                .build()
                .unwrap()
                .flat_map(|b| {
                    b.unwrap().column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
                })
                .collect();
            assert_eq!(ids.len() as u64, file.rows);
            (file.path.clone(), ids, groups)
        };
        files.iter().map(read).collect()
    }

    fn ids(files: &[(String, Vec<i64>, usize)]) -> Vec<i64> {
        files.iter().flat_map(|f| f.1.clone()).collect()
    }

    #[test]
    fn a_large_table_becomes_several_files_in_order() {
        let layout = Layout { row_group_rows: 1000, file_bytes: 40_000, ..Layout::default() };
        let files = written(layout, None);
        assert!(files.len() > 2, "{}", files.len());
        assert_eq!(files[1].0, "part-00001.parquet");
        assert!(ids(&files).into_iter().eq((0..20_000).map(|i: i64| i.wrapping_mul(0x9E37_79B9_7F4A))));
    }

    #[test]
    fn memory_is_bounded_by_more_row_groups_and_open_days_by_more_files() {
        let layout = Layout { memory_bytes: 60_000, ..Layout::default() };
        let files = written(layout, Some("date"));
        assert_eq!(files.len(), 10);
        assert!(files.iter().any(|f| f.2 > 1), "row groups were written out early");

        let few = written(Layout { open_days: 4, ..Layout::default() }, Some("date"));
        assert!(few.len() > 10);
        let (mut a, mut b) = (ids(&files), ids(&few));
        a.sort_unstable();
        b.sort_unstable();
        a.dedup();
        assert_eq!((a.len(), &a), (20_000, &b));
    }
}
