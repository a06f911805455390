//! The quickstart into PostgreSQL, as the sink's README says it, beside Parquet: the tables are the same.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray as _};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::blocks;
use crate::command::{copy_folder, repository, throughline};

#[path = "../../../sinks/tests/it/postgresql/cluster.rs"]
#[allow(dead_code)]
pub(crate) mod cluster;

const PASSWORD: &str = "the-warehouse's password";

fn block(readme: &Path, language: &str) -> String {
    let blocks = blocks::of_page(&repository(), readme);
    blocks.into_iter().find(|b| b.language == language).unwrap().text
}

#[test]
fn the_readmes_example_publishes_what_parquet_does() {
    let Some(cluster) = cluster::Cluster::start() else { return };
    let readme = repository().join("sinks/src/postgresql/README.md");
    // One by one: a database is made outside of transactions.
    for statement in block(&readme, "sql").split_inclusive(';').map(str::trim).filter(|s| !s.is_empty()) {
        cluster.query(&statement.replace("'...'", &format!("'{}'", PASSWORD.replace('\'', "''"))));
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    copy_folder(&repository().join("examples/quickstart"), folder);
    let _ = std::fs::remove_dir_all(folder.join("out"));
    let example: String = block(&readme, "toml")
        .lines()
        .filter(|line| !line.starts_with("tables = "))
        .map(|line| line.replace("port = 5432", &format!("port = {}", cluster.port)) + "\n")
        .collect();
    let pipeline = folder.join("pipeline.toml");
    let text = std::fs::read_to_string(&pipeline).unwrap();
    std::fs::write(&pipeline, text + "\n" + &example).unwrap();
    let mut command = throughline(folder, &["run"]);
    let output = command.env("WAREHOUSE_PASSWORD", PASSWORD).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("warehouse (postgresql)"), "{said}");
    assert!(!said.contains(PASSWORD));

    let mut tables = 0;
    let mut cells = 0;
    for entry in std::fs::read_dir(folder.join("out/current")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if !entry.file_type().unwrap().is_dir() {
            continue;
        }
        let expected = rows(&entry.path());
        let found = in_postgresql(&cluster, &name, &expected.columns);
        assert_eq!(found.len(), expected.rows.len(), "{name}");
        for (row, (found, expected)) in found.iter().zip(&expected.rows).enumerate() {
            assert_eq!(found, expected, "{name}, row {row}");
            cells += found.len();
        }
        tables += 1;
    }
    assert!(tables > 10 && cells > 10_000, "{tables} tables, {cells} cells");
    let wide = "SELECT count(*) FROM throughline.channel_daily_wide WHERE channel IS NOT NULL";
    assert_ne!(cluster.psql_in("bi", "dashboards", wide).unwrap()[0][0], "0");
}

struct Rows {
    columns: Vec<(String, DataType)>,
    rows: Vec<Vec<String>>,
}

/// A table's rows as texts, sorted.
fn rows(path: &Path) -> Rows {
    let mut found = Rows { columns: Vec::new(), rows: Vec::new() };
    let format = FormatOptions::default().with_null("∅");
    for file in std::fs::read_dir(path).unwrap() {
        let file = std::fs::File::open(file.unwrap().path()).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        found.columns =
            reader.schema().fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let formatters: Vec<ArrayFormatter> =
                batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &format).unwrap()).collect();
            for row in 0..batch.num_rows() {
                let cell = |(column, formatter): (&ArrayRef, &ArrayFormatter)| match column.data_type() {
                    _ if column.is_null(row) => "∅".to_owned(),
                    DataType::Timestamp(..) => {
                        column.as_primitive::<TimestampMicrosecondType>().value(row).to_string()
                    }
                    DataType::List(_) => {
                        let list = column.as_list::<i32>().value(row);
                        let texts: Vec<Option<&str>> = list.as_string::<i32>().iter().collect();
                        serde_json::to_string(&texts).unwrap()
                    }
                    // Numbers as numbers: 0.5 and 0.50 are one.
                    DataType::Float64 => {
                        format!("{:?}", formatter.value(row).to_string().parse::<f64>().unwrap())
                    }
                    _ => formatter.value(row).to_string(),
                };
                found.rows.push(batch.columns().iter().zip(&formatters).map(cell).collect());
            }
        }
    }
    found.rows.sort();
    found
}

fn in_postgresql(
    cluster: &cluster::Cluster,
    table: &str,
    columns: &[(String, DataType)],
) -> Vec<Vec<String>> {
    let list: Vec<String> = columns
        .iter()
        .map(|(name, kind)| match kind {
            DataType::Timestamp(..) => format!("(extract(epoch FROM \"{name}\") * 1000000)::bigint"),
            DataType::Boolean => format!("CASE \"{name}\" WHEN true THEN 'true' WHEN false THEN 'false' END"),
            _ => format!("\"{name}\""),
        })
        .collect();
    // As the role that dashboards get.
    let sql = format!("SELECT {} FROM throughline.\"{table}\"", list.join(", "));
    let mut rows = cluster.psql_in("bi", "dashboards", &sql).unwrap();
    for row in &mut rows {
        for (cell, (_, kind)) in row.iter_mut().zip(columns).filter(|(cell, _)| *cell != "∅") {
            match kind {
                DataType::Float64 => *cell = format!("{:?}", cell.parse::<f64>().unwrap()),
                DataType::List(_) => {
                    *cell = serde_json::from_str::<serde_json::Value>(cell).unwrap().to_string();
                }
                _ => {}
            }
        }
    }
    rows.sort();
    rows
}
