use std::io::{BufRead as _, BufReader};

use throughline_store::{LockAttempt, STATE_FILE, Store};

use crate::{Folder, child, child_folder};

#[test]
fn a_second_run_is_told_who_has_the_pipeline() {
    let folder = Folder::new();
    let (store, again) = (folder.open(), folder.open());
    let lock = store.lock_pipeline("магазин", 1_758_000_000_000_000).unwrap();
    let error = again.lock_pipeline("магазин", 5).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("process {}, since 2025-09-16 05:20:00 UTC", std::process::id())),
        "{text}"
    );
    assert!(error.is_temporary());
    let _other = again.lock_pipeline("../магазин", 5).unwrap();
    drop(lock);
    let _now_ours = again.lock_pipeline("магазин", 5).unwrap();
}

#[test]
fn a_killed_run_lets_go_of_its_pipeline() {
    let folder = Folder::new();
    let store = folder.open();
    let mut other = child("locks::child_that_holds", folder.path()).spawn().unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("locked") {}
    match store.try_lock_pipeline("shop", 1).unwrap() {
        LockAttempt::HeldBy(holder) => {
            assert_eq!((holder.pid, holder.since_us), (Some(other.id()), Some(77)))
        }
        LockAttempt::Ours(_) => panic!("two hold the lock"),
    }
    other.kill().unwrap();
    other.wait().unwrap();
    let _ours = store.lock_pipeline("shop", 1).unwrap();
}

#[test]
fn child_that_holds() {
    let Some(folder) = child_folder() else { return };
    let store = Store::open(folder.join(STATE_FILE)).unwrap();
    let _lock = store.lock_pipeline("shop", 77).unwrap();
    println!("locked");
    // Until the parent kills us, or dies and closes our input.
    let _ = std::io::stdin().lines().next();
}
