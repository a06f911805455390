//! Installing, allowing, and refusing what is not what was allowed.

use std::path::{Path, PathBuf};

use throughline_plugin_host::{Folder, Kind};

use crate::support::{counter, runner, rust_plugin};

fn folder() -> (tempfile::TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder(dir.path().join("plugins"));
    (dir, folder)
}

fn installed(folder: &Folder, name: &str) -> throughline_plugin_host::Installed {
    let (list, problems) = folder.list();
    assert!(problems.is_empty(), "{problems:?}");
    list.into_iter().find(|p| p.manifest.name == name).unwrap()
}

#[test]
fn an_installed_plugin_may_run_until_anything_of_it_changes() {
    let (_dir, folder) = folder();
    let plugin = folder.install(counter(), &runner(), &[]).unwrap();
    assert_eq!((plugin.manifest.name.as_str(), plugin.manifest.kind), ("counter", Kind::Source));
    assert_eq!((plugin.manifest.abi.as_str(), plugin.manifest.license.as_str()), ("1.0", "Apache-2.0"));
    assert_eq!(plugin.manifest.sha256.len(), 64);
    plugin.verify().unwrap();
    // Another content under the same name.
    let library = installed(&folder, "counter").library();
    let good = std::fs::read(&library).unwrap();
    std::fs::write(&library, [good.as_slice(), b"!"].concat()).unwrap();
    let error = installed(&folder, "counter").verify().unwrap_err().to_string();
    assert!(error.contains("its hash differs"), "{error}");
    std::fs::write(&library, &good).unwrap();
    installed(&folder, "counter").verify().unwrap();
    // Another hash in the list, and no list.
    let allow = folder.0.join("allow.toml");
    let list = std::fs::read_to_string(&allow).unwrap();
    std::fs::write(&allow, list.replace("sha256:", "sha256:0")).unwrap();
    let error = installed(&folder, "counter").verify().unwrap_err().to_string();
    assert!(error.contains("another hash") && error.contains("throughline plugin install"), "{error}");
    std::fs::remove_file(&allow).unwrap();
    let error = installed(&folder, "counter").verify().unwrap_err().to_string();
    assert!(error.contains("not allowed to run"), "{error}");
}

#[test]
fn a_plugin_is_replaced_by_its_next_version_and_the_old_file_stays_for_who_has_it_open() {
    let (_dir, folder) = folder();
    let first = folder.install(counter(), &runner(), &[]).unwrap();
    // The same code, another file.
    let next = tempfile::Builder::new().suffix(".so").tempfile().unwrap();
    std::fs::write(next.path(), [std::fs::read(counter()).unwrap().as_slice(), b"\0"].concat()).unwrap();
    let second = folder.install(next.path(), &runner(), &[]).unwrap();
    assert_ne!(first.library(), second.library());
    assert!(first.library().is_file());
    assert_eq!(folder.list().0.len(), 1);
    second.verify().unwrap();
}

#[test]
fn what_is_no_plugin_is_not_installed() {
    let (dir, folder) = folder();
    let text = dir.path().join("text.so");
    std::fs::write(&text, "hello").unwrap();
    let missing = dir.path().join("missing.so");
    // A library that exports no symbol of ours.
    let library: PathBuf = crate::support::compile(&source(dir.path()), "libplain.so", &["-fPIC", "-shared"]);
    for (file, expected) in
        [(&text, "cannot load the plugin"), (&missing, "missing.so"), (&library, "tl_plugin_init_v1")]
    {
        let error = folder.install(file, &runner(), &[]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = folder.install(counter(), &runner(), &["counter"]).unwrap_err().to_string();
    assert!(error.contains("as a built-in connector is"), "{error}");
    assert!(folder.list().0.is_empty());
}

fn source(dir: &Path) -> PathBuf {
    let path = dir.join("plain.c");
    std::fs::write(&path, "int answer(void);\nint answer(void) { return 42; }\n").unwrap();
    path
}

#[test]
fn a_broken_folder_is_told_and_hides_no_other() {
    let (_dir, folder) = folder();
    folder.install(&rust_plugin("tickets"), &runner(), &[]).unwrap();
    for (name, text) in [("half", "name = "), ("other_name", "name = \"x\"\n")] {
        std::fs::create_dir_all(folder.0.join(name)).unwrap();
        std::fs::write(folder.0.join(name).join("plugin.toml"), text).unwrap();
    }
    let escape = folder.0.join("escape");
    std::fs::create_dir_all(&escape).unwrap();
    let manifest = std::fs::read_to_string(folder.0.join("tickets/plugin.toml")).unwrap();
    let library = manifest.lines().find(|l| l.starts_with("library")).unwrap();
    let text =
        manifest.replace(library, "library = \"../tickets/x.so\"").replace("\"tickets\"", "\"escape\"");
    std::fs::write(escape.join("plugin.toml"), text).unwrap();
    let (list, problems) = folder.list();
    assert_eq!(list.len(), 1);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(
        problems.iter().any(|p| p.to_string().contains("must be a file beside this one")),
        "{problems:?}"
    );
}
