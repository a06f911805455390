//! Runs the binary in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_throughline")
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// `throughline` with `args` in `folder`, without secrets of the machine's own environment.
pub fn throughline(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).current_dir(folder).env_remove("THROUGHLINE_FAILPOINT").env("NO_COLOR", "1");
    command
}

pub fn run(folder: &Path, args: &[&str]) -> Output {
    throughline(folder, args).output().unwrap()
}

/// Its standard output; everything it said when the exit code is another.
pub fn expect(folder: &Path, args: &[&str], code: i32) -> String {
    let output = run(folder, args);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        output.status.code(),
        Some(code),
        "throughline {args:?}\n--- stdout\n{out}\n--- stderr\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    out
}

pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        // `out/current` of a run in place points to a folder of the epoch.
        if entry.file_type().unwrap().is_symlink() {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            if entry.file_name() != ".throughline" {
                copy_folder(&entry.path(), &target);
            }
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
