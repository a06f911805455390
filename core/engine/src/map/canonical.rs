//! The canonical tables of a run: every mapping's rows, checked and without repeats.

use std::path::{Path, PathBuf};

use throughline_core::canonical::{CanonicalTable, TABLES};
use throughline_core::{ColumnType, Error, ErrorKind, Mapping, Notice, Result};
use throughline_sql::{SqlEngine, TableRef};

use super::contract::quoted;
use super::letters::MapLetters;

/// A canonical table as a run made it.
pub struct CanonicalInput {
    pub table: &'static CanonicalTable,
    pub rows: TableRef,
    pub count: u64,
}

/// One mapping with the engine session that holds its source's streams.
pub struct SourceMapping<'a> {
    pub source: &'a str,
    pub mapping: &'a Mapping,
    pub engine: &'a dyn SqlEngine,
}

/// Runs all mappings and gives every canonical table, the empty ones too.
pub async fn canonical_tables(
    mappings: &[SourceMapping<'_>],
    engine: &dyn SqlEngine,
    work: &Path,
    letters: &mut MapLetters,
    notices: &mut Vec<Notice>,
) -> Result<Vec<CanonicalInput>> {
    for mapping in mappings {
        if throughline_core::canonical::table(&mapping.mapping.into).is_none() {
            return Err(Error::config(format!(
                "{} of source {:?} fills {:?}, which is no canonical table",
                mapping.mapping.origin, mapping.source, mapping.mapping.into
            )));
        }
    }
    let mut inputs = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        let mut files: Vec<PathBuf> = Vec::new();
        let mut count = 0;
        for (i, mapping) in mappings.iter().filter(|m| m.mapping.into == table.name).enumerate() {
            let folder = work.join(table.name).join(format!("{i}.{}", mapping.source));
            let (mut written, rows) = run_mapping(mapping, table, &folder, letters).await?;
            files.append(&mut written);
            count += rows;
        }
        let mut rows = TableRef::Parquet { files, schema: nullable(table) };
        if count > 0 && !table.key.is_empty() {
            let kept = without_repeats(engine, table, &rows, count, work).await?;
            if let Some((unique, left)) = kept {
                notices.push(Notice {
                    code: "repeats_dropped".into(),
                    message: format!(
                        "{}: {} rows with a key seen before were dropped",
                        table.name,
                        count - left
                    ),
                });
                (rows, count) = (unique, left);
            }
        }
        inputs.push(CanonicalInput { table, rows, count });
    }
    Ok(inputs)
}

/// Parquet has its own idea of nullability per file; the required columns are checked by us.
fn nullable(table: &CanonicalTable) -> arrow::datatypes::SchemaRef {
    use arrow::datatypes::{Field, Schema};
    let fields: Vec<Field> = table.columns.iter().map(|c| Field::new(c.name, c.kind.arrow(), true)).collect();
    std::sync::Arc::new(Schema::new(fields))
}

async fn run_mapping(
    job: &SourceMapping<'_>,
    table: &'static CanonicalTable,
    folder: &Path,
    letters: &mut MapLetters,
) -> Result<(Vec<PathBuf>, u64)> {
    let mapping = job.mapping;
    let at = |e: Error| e.with("mapping", &mapping.origin).with("source", job.source);
    let given = job.engine.describe(&mapping.sql, &mapping.params).await.map_err(at)?;
    for field in given.fields() {
        if table.column(field.name()).is_none() {
            let names: Vec<&str> = table.columns.iter().map(|c| c.name).collect();
            return Err(at(Error::new(
                ErrorKind::Config,
                format!("{} has no column {:?}", table.name, field.name()),
            )
            .hint(format!("its columns are {}", names.join(", ")))));
        }
    }
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|c| {
            let name = quoted(c.name);
            if given.field_with_name(c.name).is_ok() {
                format!("arrow_cast(m.{name}, '{}') AS {name}", c.kind.arrow())
            } else {
                format!("arrow_cast(NULL, '{}') AS {name}", c.kind.arrow())
            }
        })
        .collect();
    let mapped = format!("{}.{}", job.source, table.name);
    let view = format!("_mapped_{}", table.name);
    job.engine
        .bind_view(&view, &format!("SELECT {} FROM ({}) m", columns.join(", "), mapping.sql), &mapping.params)
        .await
        .map_err(at)?;
    let written = job
        .engine
        .write(&mapped, &format!("SELECT * FROM {view}"), &[], folder)
        .await
        .map_err(|e| at(cast_hint(e)))?;
    let required: Vec<&str> = table.columns.iter().filter(|c| c.required).map(|c| c.name).collect();
    if required.is_empty() {
        return Ok((written.files, written.rows));
    }

    // Asked of the files, which hold the numbers of their nulls: a mapping may sort and join all that landed.
    let all = format!("_written_{}", table.name);
    job.engine.bind(&all, &written.table()).await.map_err(at)?;
    let lacking: Vec<String> = required.iter().map(|c| format!("{} IS NULL", quoted(c))).collect();
    let lacking = lacking.join(" OR ");
    let broken =
        job.engine.scalar_i64(&format!("SELECT count(*) FROM {all} WHERE {lacking}")).await.map_err(at)?
            as u64;
    if broken == 0 {
        return Ok((written.files, written.rows));
    }
    let cases: String = required
        .iter()
        .map(|c| format!(" WHEN {} IS NULL THEN '{} of {} is missing'", quoted(c), c, table.name))
        .collect();
    let stream = mapping.from.first().map_or("", String::as_str);
    let select = format!("SELECT CASE{cases} END AS _tl_reason, * FROM {all} WHERE {lacking}");
    let found = letters.collect(job.engine, &select, job.source, stream).await.map_err(at)?;
    let whole = job
        .engine
        .write(&mapped, &format!("SELECT * FROM {all} WHERE NOT ({lacking})"), &[], &folder.join("whole"))
        .await
        .map_err(at)?;
    if found != broken || whole.rows + found != written.rows {
        return Err(at(Error::bug(format!(
            "{mapped}: {} rows mapped, {} written and {found} of {broken} rejected",
            written.rows, whole.rows
        ))));
    }
    for file in &written.files {
        std::fs::remove_file(file).map_err(|e| Error::io("remove mapped rows", file.display(), e))?;
    }
    Ok((whole.files, whole.rows))
}

/// A CAST in a mapping stops at the first value that does not fit; there are gentler ways.
fn cast_hint(error: Error) -> Error {
    if error.hint_text().is_some() || !error.message().contains("cast") {
        return error;
    }
    error.hint(
        "give the column a type in the source (`columns` of a file source): then rows that do not fit go to the \
         dead letters, each alone; or use try_cast, which makes them null",
    )
}

/// One row per key, or `None` when there are no repeats. Of several, the greatest by all columns
/// stays: any rule would do, but it must not depend on the order in which rows were read.
async fn without_repeats(
    engine: &dyn SqlEngine,
    table: &'static CanonicalTable,
    rows: &TableRef,
    count: u64,
    work: &Path,
) -> Result<Option<(TableRef, u64)>> {
    let name = format!("_all_{}", table.name);
    engine.bind(&name, rows).await?;
    let keys: Vec<String> = table.key.iter().map(|k| quoted(k)).collect();
    let keys = keys.join(", ");
    let distinct = engine
        .scalar_i64(&format!("SELECT count(*) FROM (SELECT {keys} FROM {name} GROUP BY {keys})"))
        .await?;
    if distinct as u64 == count {
        return Ok(None);
    }
    let columns: Vec<String> = table.columns.iter().map(|c| quoted(c.name)).collect();
    let order: Vec<String> = table
        .columns
        .iter()
        .filter(|c| c.kind != ColumnType::TextList)
        .map(|c| format!("{} DESC NULLS LAST", quoted(c.name)))
        .collect();
    let list = columns.join(", ");
    let select = format!(
        "SELECT {list} FROM (SELECT {list}, row_number() OVER (PARTITION BY {keys} ORDER BY {}) AS _n \
         FROM {name}) WHERE _n = 1",
        order.join(", ")
    );
    let written = engine.write(table.name, &select, &[], &work.join(table.name).join("unique")).await?;
    Ok(Some((written.table(), written.rows)))
}
