//! The whole pipeline as a child process, killed at random moments and at every failpoint of the commit
//! protocol: what is exported in the end is what an undisturbed run exports, row for row, and a reader who
//! looks all the time never sees half an epoch.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::studio::{PipelineShape, Studio, Tables};

/// Kills in all; each moment is drawn from the whole length of a run.
const KILLS: u32 = 50;
/// Kills on one state folder before its run may come to the end.
const KILLS_PER_CHAIN: u32 = 10;

fn studio() -> Studio {
    Studio::start(120, |config, _| config.days = 12)
}

fn undisturbed(studio: &Studio) -> (Tables, Duration) {
    let folder = studio.folder().join("undisturbed");
    studio.write_pipeline_in(&folder, &PipelineShape::default());
    let begun = Instant::now();
    studio.expect_in(&folder, &["run"], 0);
    let took = begun.elapsed();
    let tables = studio.tables(&folder);
    assert!(tables.values().map(Vec::len).sum::<usize>() > 500, "there is something to compare");
    (tables, took)
}

fn assert_equal(found: &Tables, expected: &Tables, what: &str) {
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>(),
        "{what}: the tables differ"
    );
    for (table, rows) in expected {
        let other = &found[table];
        let missing = rows.iter().find(|r| other.binary_search(r).is_err());
        let extra = other.iter().find(|r| rows.binary_search(r).is_err());
        assert!(
            other == rows,
            "{what}: {table} has {} rows in place of {}\nmissing: {missing:?}\nextra: {extra:?}",
            other.len(),
            rows.len()
        );
    }
}

fn assert_nothing_staged(folder: &Path, what: &str) {
    let left: Vec<PathBuf> = std::fs::read_dir(folder.join("out/staging"))
        .map(|entries| entries.map(|e| e.unwrap().path()).collect())
        .unwrap_or_default();
    assert!(left.is_empty(), "{what}: staging holds {left:?}");
    let state = folder.join(".throughline/shop");
    assert!(!state.join("scratch").exists(), "{what}: scratch was left");
    let tables = std::fs::read_dir(state.join("tables")).unwrap().count();
    assert_eq!(tables, 1, "{what}: tables of one epoch only");
    for stream in std::fs::read_dir(state.join("raw")).unwrap() {
        for file in std::fs::read_dir(stream.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(path.extension().unwrap(), "parquet", "{what}: {path:?} was left");
        }
    }
}

/// Looks at `out/current` until told to stop; gives how many whole epochs it saw.
struct Reader {
    stop: Arc<AtomicBool>,
    seen: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Reader {
    fn watch(folder: PathBuf) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (stop.clone(), seen.clone());
        let thread = std::thread::spawn(move || {
            let current = folder.join("out/current");
            while !stopped.load(Ordering::SeqCst) {
                let Ok(epoch) = current.canonicalize() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                if look(&epoch) {
                    count.fetch_add(1, Ordering::SeqCst);
                } else {
                    // Two epochs later the one we had open may go: then it must not be the current one.
                    assert_ne!(current.canonicalize().unwrap(), epoch, "the current epoch is not whole");
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { stop, seen, thread }
    }

    fn finish(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.seen.load(Ordering::SeqCst)
    }
}

/// Whether every table of the manifest is there with all its rows.
fn look(epoch: &Path) -> bool {
    let Ok(manifest) = std::fs::read(epoch.join("_manifest.json")) else { return false };
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let tables = manifest["tables"].as_array().unwrap();
    assert!(tables.len() > 10, "{manifest}");
    tables.iter().all(|table| {
        let files = table["files"].as_array().unwrap();
        let rows: Option<i64> = files
            .iter()
            .map(|file| {
                let path = epoch.join(file["path"].as_str().or(file["file"].as_str()).unwrap());
                let reader = parquet::file::serialized_reader::SerializedFileReader::new(
                    std::fs::File::open(path).ok()?,
                );
                use parquet::file::reader::FileReader;
                Some(reader.unwrap().metadata().file_metadata().num_rows())
            })
            .sum();
        rows.is_some_and(|rows| {
            assert_eq!(rows, table["rows"].as_i64().unwrap(), "{}", table["name"]);
            true
        })
    })
}

#[test]
fn killed_at_random_moments_the_end_is_the_same() {
    let studio = studio();
    let (expected, took) = undisturbed(&studio);
    // Moments differ from machine to machine and from run to run: say which, so that one can be tried again.
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let mut random = seed;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as f64 / f64::from(1u32 << 31)
    };
    let mut kills = 0;
    let mut chain = 0;
    let mut whole_epochs = 0;
    while kills < KILLS {
        chain += 1;
        let folder = studio.folder().join(format!("chain{chain}"));
        studio.write_pipeline_in(&folder, &PipelineShape::default());
        let reader = Reader::watch(folder.clone());
        let mut moments = Vec::new();
        while moments.len() < KILLS_PER_CHAIN as usize {
            let moment = took.mul_f64(next());
            let mut child = studio
                .command_in(&folder, &["run", "--recompute"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(moment);
            child.kill().unwrap();
            // A run that was done before its moment counts too: the next one begins from its epoch.
            let _ = child.wait().unwrap();
            moments.push(moment);
            kills += 1;
        }
        let what = format!("seed {seed}, chain {chain}, killed after {moments:?}");
        studio.expect_in(&folder, &["run", "--recompute"], 0);
        whole_epochs += reader.finish();
        assert_equal(&studio.tables(&folder), &expected, &what);
        assert_nothing_staged(&folder, &what);
        std::fs::remove_dir_all(&folder).unwrap();
    }
    assert!(whole_epochs > 0, "the reader saw no epoch at all");
}

#[test]
fn ended_at_every_failpoint_the_end_is_the_same() {
    let studio = studio();
    let (expected, _) = undisturbed(&studio);
    for name in throughline_engine::failpoint::NAMES {
        // A run passes those of landing once a segment: the second time is another stream's.
        for pass in 1..=if name.starts_with("land.") { 2 } else { 1 } {
            let folder = studio.folder().join(format!("{name}-{pass}"));
            studio.write_pipeline_in(&folder, &PipelineShape::default());
            let failpoint = format!("{name}:{pass}");
            let output = studio
                .command_in(&folder, &["run"])
                .env("THROUGHLINE_FAILPOINT", &failpoint)
                .output()
                .unwrap();
            let hit = output.status.signal() == Some(6);
            assert!(hit, "no run passes {failpoint}: {}", String::from_utf8_lossy(&output.stderr));
            let reader = Reader::watch(folder.clone());
            studio.expect_in(&folder, &["run"], 0);
            reader.finish();
            assert_equal(&studio.tables(&folder), &expected, &failpoint);
            // One more run may still have to sweep what only the end of a run sweeps.
            assert_nothing_staged(&folder, &failpoint);
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }
}
