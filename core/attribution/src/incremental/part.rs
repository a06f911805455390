//! The records of the touched groups, as they were and as they are.

use std::collections::BTreeMap;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use throughline_core::canonical::TABLES;
use throughline_core::{Error, Result};
use throughline_sql::TableRef;

use super::difference::{is_empty, schema_of};
use super::groups::{Groups, Place};
use super::nodes::{GROUPED, Records};
use super::seeds::Touched;
use super::{Before, Perhaps, files, scratch, whole};
use crate::canon;
use crate::host::HostTable;
use crate::runner::Runner;

/// When so many of a hundred records are touched, computing all of them is quicker: the others are not computed
/// twice, and nothing has to be put together.
const MOST_PERCENT: usize = 30;
/// Fewer than these are no matter either way.
const FEW: usize = 10_000;
/// Rows that are exchanged are held: of more records than these memory would tell.
const MOST: usize = 1_000_000;
/// Records kept in memory; more go into a file.
const HELD_BYTES: usize = 16 << 20;

pub(super) struct Part {
    before: BTreeMap<&'static str, Vec<TableRef>>,
    now: BTreeMap<&'static str, Vec<TableRef>>,
    pub differing: usize,
    /// Records of the touched groups now.
    pub records: usize,
}

impl Part {
    /// Finds the groups, and picks their records.
    pub async fn of(runner: &mut Runner<'_>, touched: Touched) -> Result<Perhaps<Self>> {
        let Touched { mut groups, versions, differing } = touched;
        runner.begin("groups")?;
        let mut all = 0;
        let mut nodes = Vec::new();
        let folder = runner.folder("places");
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("make the folder", folder.display(), e))?;
        let mut written = scratch::Writer::create(folder.join("all"))?;
        for (table, columns) in GROUPED {
            let Some(versions) = versions.get(table) else { continue };
            for part in [&versions.common, &versions.before, &versions.now] {
                let mut tie =
                    |batch: &RecordBatch, mut written: Option<&mut scratch::Writer>| -> Result<()> {
                        all += batch.num_rows();
                        let records = Records::of(table, columns, batch)?;
                        for row in 0..batch.num_rows() {
                            records.nodes(row, &mut nodes);
                            let Place(place) = groups.tie(&nodes);
                            if let Some(written) = &mut written {
                                written.write(place.to_ne_bytes())?;
                            }
                        }
                        Ok(())
                    };
                match files::readable(part)? {
                    Some(files) => {
                        for file in files {
                            for batch in files::columns(file, columns)? {
                                tie(&batch?, Some(&mut written))?;
                            }
                        }
                    }
                    None => {
                        let mut rows = open(runner, part, &columns.join(", ")).await?;
                        while let Some(batch) = rows.try_next().await? {
                            tie(&batch, None)?;
                        }
                    }
                }
            }
        }
        groups.close();
        runner.begin("records of groups")?;
        let places = written.finish()?;
        let mut picking = Picking { groups, places: scratch::Reader::open(&places)? };
        let mut part = Self { before: BTreeMap::new(), now: BTreeMap::new(), differing, records: 0 };
        for (table, columns) in GROUPED {
            let Some(versions) = versions.get(table) else { continue };
            let (common, n) = picking.picked(runner, table, columns, &versions.common).await?;
            let (before, _) = picking.picked(runner, table, columns, &versions.before).await?;
            let (now, m) = picking.picked(runner, table, columns, &versions.now).await?;
            part.records += n + m;
            part.before.insert(table, vec![common.clone(), before]);
            part.now.insert(table, vec![common, now]);
            if part.records > FEW && part.records * 100 > all * MOST_PERCENT {
                return whole("what is new touches too many of the records");
            }
            if part.records > MOST {
                return whole("what is new touches more than a million records");
            }
        }
        std::fs::remove_dir_all(&folder).map_err(|e| Error::io("remove", folder.display(), e))?;
        Ok(Ok(part))
    }

    /// Binds the canonical tables as the epoch before saw those of the touched groups.
    pub async fn bind_before(&self, runner: &mut Runner<'_>, before: &Before) -> Result<()> {
        for table in TABLES {
            let name = format!("part_{}", table.name);
            match (self.before.get(table.name), before.canonical.get(table.name)) {
                (Some(parts), _) => bind(runner, &name, parts).await?,
                (None, Some(all)) => runner.bind(&name, all).await?,
                (None, None) => {
                    let none = TableRef::Rows { schema: table.schema(), batches: Vec::new() };
                    runner.bind(&name, &none).await?;
                }
            }
        }
        canon::bind_views_of(runner, "part").await
    }

    /// The same as they are now.
    pub async fn bind_now(
        &self,
        runner: &mut Runner<'_>,
        now: &BTreeMap<&'static str, TableRef>,
    ) -> Result<()> {
        for table in TABLES {
            let name = format!("part_{}", table.name);
            match (self.now.get(table.name), now.get(table.name)) {
                (Some(parts), _) => bind(runner, &name, parts).await?,
                (None, Some(all)) => runner.bind(&name, all).await?,
                (None, None) => {}
            }
        }
        canon::bind_views_of(runner, "part").await
    }
}

/// Two tables under one name.
async fn bind(runner: &mut Runner<'_>, name: &str, parts: &[TableRef]) -> Result<()> {
    let mut selects = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let own = format!("{name}_{n}");
        runner.bind(&own, part).await?;
        if n == 0 || !is_empty(part) {
            selects.push(format!("SELECT * FROM {own}"));
        }
    }
    runner.view(name, &selects.join(" UNION ALL ")).await
}

async fn open(runner: &Runner<'_>, table: &TableRef, columns: &str) -> Result<throughline_core::BatchStream> {
    runner.bind("i_records", table).await?;
    runner.read(&format!("SELECT {columns} FROM i_records")).await
}

/// Goes over all records once more, in the order in which they were tied.
struct Picking<'a> {
    groups: Groups,
    places: scratch::Reader<'a>,
}

impl Picking<'_> {
    /// The records of touched groups, and how many they are.
    async fn picked(
        &mut self,
        runner: &mut Runner<'_>,
        table: &'static str,
        columns: &[&str],
        from: &TableRef,
    ) -> Result<(TableRef, usize)> {
        let mut kept = Kept { schema: schema_of(from), held: Vec::new(), bytes: 0, file: None, rows: 0 };
        if is_empty(from) {
            return kept.finish();
        }
        let folder = runner.folder(table);
        if let Some(files) = files::readable(from)? {
            for file in files {
                let mut keep = Vec::new();
                for _ in 0..files::count(std::slice::from_ref(file))? {
                    let place = Place(u64::from_ne_bytes(self.places.next()?));
                    keep.push(self.groups.is_touched_at(place));
                }
                if keep.contains(&true) {
                    for batch in files::rows(file, &[BooleanArray::from(keep)])? {
                        kept.add(batch?, &folder)?;
                    }
                }
            }
            return kept.finish();
        }
        // The engine gives rows in another order every time.
        let mut rows = open(runner, from, "*").await?;
        let mut nodes = Vec::new();
        while let Some(batch) = rows.try_next().await? {
            let records = Records::of(table, columns, &batch)?;
            let mut touched = |row| {
                records.nodes(row, &mut nodes);
                Some(self.groups.is_touched(&nodes))
            };
            let keep: BooleanArray = (0..batch.num_rows()).map(&mut touched).collect();
            if keep.true_count() > 0 {
                kept.add(filter_record_batch(&batch, &keep)?, &folder)?;
            }
        }
        kept.finish()
    }
}

struct Kept {
    schema: SchemaRef,
    held: Vec<RecordBatch>,
    bytes: usize,
    file: Option<HostTable>,
    rows: usize,
}

impl Kept {
    fn add(&mut self, batch: RecordBatch, folder: &std::path::Path) -> Result<()> {
        self.rows += batch.num_rows();
        if let Some(file) = &mut self.file {
            return file.write(batch.columns().to_vec());
        }
        self.bytes += batch.get_array_memory_size();
        // As the batches have it, which may be without the table's `not null`.
        self.schema = batch.schema();
        self.held.push(batch);
        if self.bytes > HELD_BYTES {
            let mut file = HostTable::create(folder, self.schema.clone())?;
            for batch in self.held.drain(..) {
                file.write(batch.columns().to_vec())?;
            }
            self.file = Some(file);
        }
        Ok(())
    }

    fn finish(self) -> Result<(TableRef, usize)> {
        let table = match self.file {
            Some(file) => file.finish()?.table(),
            None => TableRef::Rows { schema: self.schema, batches: self.held },
        };
        Ok((table, self.rows))
    }
}
