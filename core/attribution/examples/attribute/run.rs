//! Runs over the shop, with what each step takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use throughline_attribution::{Before, Job, Outcome, Previous, Settings};
use throughline_core::canonical::TABLES;
use throughline_sql::{HELD_BYTES, LocalEngine, LocalOptions, SqlEngine, TableRef};

use crate::Done;
use crate::shop::DAY_US;

/// What runs share: the limits, and a runtime.
pub struct Rig {
    folder: PathBuf,
    memory_bytes: usize,
    threads: usize,
    runtime: tokio::runtime::Runtime,
}

impl Rig {
    pub fn new(folder: &Path, memory_mb: u64, threads: u64) -> Done<Self> {
        let threads = threads as usize;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
        Ok(Self { folder: folder.to_owned(), memory_bytes: (memory_mb << 20) as usize, threads, runtime })
    }

    fn engine(&self) -> Done<LocalEngine> {
        Ok(LocalEngine::new(LocalOptions {
            memory_bytes: self.memory_bytes,
            spill_dir: self.folder.join("spill"),
            threads: self.threads,
            // For tools/portable.py, which reads what the steps gave.
            held_bytes: if std::env::var_os("KEEP_STEPS").is_some() { 0 } else { HELD_BYTES },
        })?)
    }

    pub fn attribute(
        &self,
        work: &Path,
        canonical: &BTreeMap<&'static str, TableRef>,
        settings: &Settings,
        now_us: i64,
        before: Option<&Before>,
    ) -> Done<Outcome> {
        let _ = std::fs::remove_dir_all(work);
        let engine = self.engine()?;
        let clock = Mutex::new((Instant::now(), cpu_s(), String::from("(start)")));
        let tick = |step: &str| {
            let mut last = clock.lock().unwrap_or_else(PoisonError::into_inner);
            let (wall, cpu) = (last.0.elapsed().as_secs_f64(), cpu_s() - last.1);
            if wall > 0.02 {
                println!("{:>8.2} s {:>8.2} CPU s  {}", wall, cpu, last.2);
            }
            *last = (Instant::now(), cpu_s(), step.to_string());
        };
        let begun = (Instant::now(), cpu_s());
        let progress = |step: &str| {
            tick(step);
            Ok(())
        };
        let previous = before.map_or_else(Previous::default, |before| Previous {
            identity_map: before.tables.get("identity_map").cloned(),
            identity_merges: before.tables.get("identity_merges").cloned(),
            data_quality_daily: before.tables.get("data_quality_daily").cloned(),
        });
        let outcome = self.runtime.block_on(async {
            for (name, table) in canonical {
                engine.bind(&format!("in_{name}"), table).await?;
            }
            let job = Job {
                engine: &engine,
                settings,
                may_repeat: &[],
                work,
                now_us,
                canonical,
                previous: &previous,
                before: before.ok_or("this is the first run"),
                keep: true,
                progress: Some(&progress),
            };
            throughline_attribution::run(job).await
        })?;
        tick("");
        let rows: u64 = outcome.tables.iter().map(|t| t.written.rows).sum();
        for table in &outcome.tables {
            println!("{:>12} rows {}", table.written.rows, table.name);
        }
        println!(
            "{{\"wall_s\":{:.2},\"cpu_s\":{:.2},\"peak_mb\":{},\"rows\":{rows},\"books\":{},\"scope\":{}}}",
            begun.0.elapsed().as_secs_f64(),
            cpu_s() - begun.1,
            peak_mb(),
            outcome.books.len(),
            serde_json::to_string(&outcome.scope)?
        );
        Ok(outcome)
    }
}

/// The canonical tables of one or several folders.
pub fn tables(folders: &[&Path]) -> BTreeMap<&'static str, TableRef> {
    let files = |name: &str| {
        let mut files = Vec::new();
        for folder in folders {
            let found = std::fs::read_dir(folder.join(name).join("all")).into_iter().flatten().flatten();
            files.extend(found.map(|f| f.path()));
        }
        files.sort();
        files
    };
    TABLES
        .iter()
        .map(|spec| (spec.name, TableRef::Parquet { files: files(spec.name), schema: spec.schema() }))
        .collect()
}

/// The column by which a table's rows are old or new.
const TIMES: [(&str, &str); 5] = [
    ("visits", "started_at"),
    ("messages", "ts"),
    ("contacts", "created_at"),
    ("deals", "created_at"),
    ("costs", "day"),
];

/// Parts the shop by time into FOLDER/old and FOLDER/new.
pub fn split(folder: &Path, per_mille: u64) -> Done {
    let rig = Rig::new(folder, 1024, 2)?;
    let engine = rig.engine()?;
    let all = tables(&[&folder.join("canonical")]);
    rig.runtime.block_on(async {
        for (name, table) in &all {
            engine.bind(name, table).await?;
        }
        let new = engine.scalar_i64("SELECT count(*) FROM visits").await? * per_mille as i64 / 1000;
        let cut_us = engine
            .scalar_i64(&format!(
                "SELECT arrow_cast(min(started_at), 'Int64') FROM (SELECT started_at FROM visits \
                 ORDER BY started_at DESC LIMIT {new}) AS v"
            ))
            .await?;
        for (name, column) in TIMES {
            for (part, test) in [("old", "<"), ("new", ">=")] {
                let cut = format!(
                    "arrow_cast(arrow_cast({cut_us}, 'Timestamp(Microsecond, Some(\"UTC\"))'), 'Date32')"
                );
                let cut = match column {
                    "day" => cut,
                    _ => format!("arrow_cast({cut_us}, 'Timestamp(Microsecond, Some(\"UTC\"))')"),
                };
                let target = folder.join(part).join(name).join("all");
                let _ = std::fs::remove_dir_all(&target);
                let select = format!("SELECT * FROM {name} WHERE {column} {test} {cut}");
                let written = engine.write(name, &select, &[], &target).await?;
                println!("{:>12} {part} rows {name}", written.rows);
            }
        }
        std::fs::write(folder.join("cut"), cut_us.to_string())?;
        Ok(())
    })
}

/// Attributes what is old, then goes on from that with what is new.
pub fn again(folder: &Path, memory_mb: u64, threads: u64) -> Done {
    let rig = Rig::new(folder, memory_mb, threads)?;
    let cut_us: i64 = std::fs::read_to_string(folder.join("cut"))?.parse()?;
    let settings = Settings::default();
    let (old, new) = (folder.join("old"), folder.join("new"));
    let was = tables(&[&old]);
    let first = rig.attribute(&folder.join("first"), &was, &settings, cut_us, None)?;
    let kept = first.tables.iter().chain(&first.state);
    let before = Before {
        canonical: was.into_iter().map(|(name, table)| (name.to_owned(), table)).collect(),
        tables: kept.map(|t| (t.name.to_owned(), t.written.table())).collect(),
    };
    let is = tables(&[&old, &new]);
    rig.attribute(&folder.join("again"), &is, &settings, cut_us + DAY_US, Some(&before))?;
    Ok(())
}

/// Of this process so far, user and system. Linux.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or("");
    let field =
        |n: usize| after_name.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    (field(11) + field(12)) / 100.0
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}
