#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::datatypes::{DataType, Field, Schema};
use throughline_core::{ErrorKind, Table};

use super::*;
use crate::files::HashedFile;

const STEPS: [&str; 6] = ["begun", "manifest", "moved", "linked", "switched", "pruned"];

fn owner() -> Owner {
    Owner { connector: "parquet".into(), sink: "склад".into() }
}

struct Sinks(tempfile::TempDir);

impl Sinks {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn root(&self) -> PathBuf {
        self.0.path().join("out")
    }
    /// As a fresh process would see it.
    fn open(&self) -> EpochFolder {
        EpochFolder::new(self.root(), owner(), 2)
    }
    /// That dies before the given step.
    fn dying(&self, at: &'static str) -> EpochFolder {
        self.open().with_steps(Arc::new(move |step| {
            if step == at { Err(Error::bug(format!("crash at {step}"))) } else { Ok(()) }
        }))
    }
    /// What a reader finds in `current`.
    fn read(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        if let Ok(epoch) = fs::canonicalize(self.root().join(CURRENT)) {
            for entry in fs::read_dir(epoch).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if name != MANIFEST {
                    out.insert(name, fs::read_to_string(path).unwrap());
                }
            }
        }
        out
    }
    fn epochs(&self) -> Vec<String> {
        let mut names: Vec<String> = list(&self.root().join("epochs"))
            .unwrap()
            .iter()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
    fn assert_tidy(&self) {
        assert_eq!(list(&self.root().join("staging")).unwrap().len(), 0, "staging is empty");
        let mut names: Vec<String> = list(&self.root())
            .unwrap()
            .iter()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, [".throughline-lock", "_throughline.json", "current", "epochs", "staging"]);
    }
}

fn txn(name: &str) -> TxnId {
    TxnId(name.into())
}

fn table(name: &str) -> Table {
    Table {
        name: name.into(),
        schema: Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, false)])),
        key: vec!["a".into()],
        partition_by: None,
        doc: String::new(),
    }
}

fn stage_one(folder: &EpochFolder, id: &TxnId, name: &str, text: &str) -> Committable {
    let item = format!("{name}.txt");
    let draft = folder.draft(id, name, &item).unwrap();
    let mut file = HashedFile::create(&draft.path()).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let entry = file.finish(String::new(), 1).unwrap();
    folder.stage(draft).unwrap();
    StagedTable::new(&table(name), item, vec![entry]).into_committable().unwrap()
}

fn stage(folder: &EpochFolder, id: &TxnId) -> Vec<Committable> {
    ["visits", "заявки"]
        .iter()
        .map(|name| stage_one(folder, id, name, &format!("{name} of {}", id.0)))
        .collect()
}

fn content(id: &str) -> BTreeMap<String, String> {
    ["visits", "заявки"].iter().map(|name| (format!("{name}.txt"), format!("{name} of {id}"))).collect()
}

#[test]
fn whatever_step_a_crash_follows_committing_again_ends_well() {
    for at in STEPS {
        let sinks = Sinks::new();
        let first = stage(&sinks.open(), &txn("t1"));
        sinks.open().commit(&txn("t1"), &first, 0).unwrap();
        let staged = stage(&sinks.open(), &txn("t2"));
        assert_eq!(sinks.read(), content("t1"), "staging is invisible");

        let error = sinks.dying(at).commit(&txn("t2"), &staged, 1).unwrap_err();
        assert!(error.to_string().contains(at), "{error}");
        let after = sinks.read();
        let switched = matches!(at, "switched" | "pruned");
        assert_eq!(after, content(if switched { "t2" } else { "t1" }), "{at}: one whole epoch");

        let receipt = sinks.open().commit(&txn("t2"), &staged, 2).unwrap();
        assert_eq!(receipt.rows, 2);
        assert_eq!(sinks.read(), content("t2"), "{at}");
        sinks.assert_tidy();
        // Done is done; an older epoch committed again takes nothing back.
        assert_eq!(sinks.open().commit(&txn("t2"), &staged, 3).unwrap(), receipt, "{at}");
        sinks.open().commit(&txn("t1"), &first, 4).unwrap();
        sinks.open().abort(&txn("t2")).unwrap();
        assert_eq!(sinks.read(), content("t2"), "{at}");
        sinks.assert_tidy();
    }
}

#[test]
fn a_crash_at_every_step_one_after_the_other() {
    let sinks = Sinks::new();
    let staged = stage(&sinks.open(), &txn("t1"));
    for at in STEPS {
        // A step that an earlier try has done is not passed again; then there is no crash either.
        let _ = sinks.dying(at).commit(&txn("t1"), &staged, 1);
    }
    sinks.open().commit(&txn("t1"), &staged, 2).unwrap();
    assert_eq!(sinks.read(), content("t1"));
    sinks.assert_tidy();
}

#[test]
fn a_crash_before_preparing_leaves_nothing_after_the_abort() {
    let sinks = Sinks::new();
    sinks.open().abort(&txn("t0")).unwrap();
    assert!(!sinks.root().exists(), "an abort makes no folder");
    stage(&sinks.open(), &txn("t0"));
    // Dies while writing a table.
    let draft = sinks.open().draft(&txn("t0"), "costs", "costs.txt").unwrap();
    fs::write(draft.path(), "half").unwrap();
    drop(draft);
    assert_eq!(sinks.read(), BTreeMap::new());
    sinks.open().abort(&txn("t0")).unwrap();
    sinks.open().abort(&txn("t0")).unwrap();
    assert_eq!(list(&sinks.root().join("staging")).unwrap().len(), 0);
}

#[test]
fn staging_again_replaces_and_what_is_not_committed_goes() {
    let sinks = Sinks::new();
    let id = txn("t1");
    stage_one(&sinks.open(), &id, "visits", "first try, longer");
    stage_one(&sinks.open(), &id, "left", "with other options");
    let staged = vec![stage_one(&sinks.open(), &id, "visits", "second")];
    let draft = sinks.open().draft(&id, "half", "half.txt").unwrap();
    fs::write(draft.path(), "half").unwrap();
    drop(draft);
    sinks.open().commit(&id, &staged, 0).unwrap();
    assert_eq!(sinks.read(), BTreeMap::from([("visits.txt".to_owned(), "second".to_owned())]));
    sinks.assert_tidy();
    // Staged once more after it was committed: the epoch stays what it was.
    let again = vec![stage_one(&sinks.open(), &id, "visits", "other")];
    sinks.open().commit(&id, &again, 0).unwrap();
    assert_eq!(sinks.read()["visits.txt"], "second");
    sinks.assert_tidy();
}

#[test]
fn an_epoch_without_tables_is_an_epoch() {
    let sinks = Sinks::new();
    let receipt = sinks.open().commit(&txn("t1"), &[], 0).unwrap();
    assert_eq!(receipt.rows, 0);
    assert!(sinks.root().join(CURRENT).join(MANIFEST).is_file());
    sinks.assert_tidy();
}

#[test]
fn staged_files_that_are_gone_or_short_are_not_committed() {
    let sinks = Sinks::new();
    let good = stage(&sinks.open(), &txn("t1"));
    sinks.open().commit(&txn("t1"), &good, 0).unwrap();
    let staged = stage(&sinks.open(), &txn("t2"));
    let file = sinks.root().join("staging/t2/visits.txt");
    fs::write(&file, "cut").unwrap();
    let error = sinks.open().commit(&txn("t2"), &staged, 0).unwrap_err();
    assert!(error.to_string().contains("visits.txt was staged with 12 bytes"), "{error}");
    fs::remove_file(&file).unwrap();
    assert_eq!(sinks.open().commit(&txn("t2"), &staged, 0).unwrap_err().kind(), ErrorKind::Data);
    assert_eq!(sinks.read(), content("t1"));
}

#[test]
fn old_epochs_go_but_never_the_one_before() {
    let sinks = Sinks::new();
    for i in 1..=4 {
        let id = txn(&format!("t{i}"));
        let staged = stage(&sinks.open(), &id);
        sinks.open().commit(&id, &staged, 0).unwrap();
    }
    assert_eq!(sinks.epochs(), ["t3", "t4"]);

    // t5 was moved and never shown; t6 replaces t4 in the eyes of readers.
    let staged = stage(&sinks.open(), &txn("t5"));
    sinks.dying("moved").commit(&txn("t5"), &staged, 0).unwrap_err();
    let staged = stage(&sinks.open(), &txn("t6"));
    sinks.open().commit(&txn("t6"), &staged, 0).unwrap();
    assert_eq!(sinks.epochs(), ["t4", "t5", "t6"]);
    // What is not ours among the epochs is left alone.
    fs::create_dir(sinks.root().join("epochs/mine")).unwrap();
    let staged = stage(&sinks.open(), &txn("t7"));
    sinks.open().commit(&txn("t7"), &staged, 0).unwrap();
    assert_eq!(sinks.epochs(), ["mine", "t6", "t7"]);
}

#[test]
fn a_folder_of_others_is_refused_and_left_as_it_is() {
    let sinks = Sinks::new();
    fs::create_dir_all(sinks.root().join("photos")).unwrap();
    let error = sinks.open().draft(&txn("t"), "visits", "visits.txt").map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("holds files of others: photos"), "{error}");
    assert!(sinks.open().check().is_err());
    assert!(sinks.open().commit(&txn("t"), &[], 0).is_err());
    assert_eq!(list(&sinks.root()).unwrap().len(), 1);
    fs::remove_dir(sinks.root().join("photos")).unwrap();
    fs::write(sinks.root().join(".DS_Store"), "").unwrap();
    sinks.open().commit(&txn("t"), &[], 0).unwrap();

    let other = Owner { sink: "other".into(), ..owner() };
    let error = EpochFolder::new(sinks.root(), other, 2).commit(&txn("t2"), &[], 0).unwrap_err();
    assert!(error.to_string().contains("belongs to the parquet sink \"склад\""), "{error}");

    let sinks = Sinks::new();
    fs::write(sinks.root(), "a file").unwrap();
    assert!(sinks.open().check().unwrap_err().to_string().contains("is no folder"));
}

#[test]
fn current_that_is_no_link_is_told() {
    let sinks = Sinks::new();
    let staged = stage(&sinks.open(), &txn("t1"));
    fs::create_dir(sinks.root().join(CURRENT)).unwrap();
    let error = sinks.open().commit(&txn("t1"), &staged, 0).unwrap_err();
    assert!(error.to_string().contains("no symbolic link"), "{error}");
    // A link into nowhere is only a deleted epoch.
    fs::remove_dir(sinks.root().join(CURRENT)).unwrap();
    symlink(Path::new("epochs/gone"), &sinks.root().join(CURRENT)).unwrap();
    sinks.open().commit(&txn("t1"), &staged, 0).unwrap();
    assert_eq!(sinks.read(), content("t1"));
}

#[test]
fn names_cannot_leave_the_folder() {
    let sinks = Sinks::new();
    for bad in ["", "..", "../x", "a/b", ".hidden", "да"] {
        assert_eq!(sinks.open().abort(&txn(bad)).unwrap_err().kind(), ErrorKind::Bug, "{bad}");
        assert!(sinks.open().draft(&txn(bad), "t", "t").is_err());
    }
    for bad in ["", "..", "../x", "a/b", "_manifest.json", ".t", "a\nb", &"я".repeat(60)] {
        let error = sinks.open().draft(&txn("t1"), bad, bad).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
    }
    assert!(!sinks.root().exists());
}

#[test]
fn tables_may_be_staged_at_once_in_a_fresh_folder() {
    let sinks = Sinks::new();
    let folder = sinks.open();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (folder, done) = (&folder, &done);
            scope.spawn(move || {
                stage_one(folder, &txn("t1"), &format!("table{i}"), "x");
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(done.load(Ordering::SeqCst), 8);
    assert_eq!(list(&sinks.root().join("staging/t1")).unwrap().len(), 8);
}
