//! docs/plugins.md from its first command to its last, and a plugin in a pipeline.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::blocks;
use crate::command::{binary, expect, repository, run};

/// A shell in which `throughline` is this one, and plugins are installed into a folder of the test's.
fn shell(folder: &Path) -> Command {
    let path = format!(
        "{}:{}",
        Path::new(binary()).parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut command = Command::new("sh");
    command
        .current_dir(folder)
        .env("PATH", path)
        .env("NO_COLOR", "1")
        .env("THROUGHLINE_PLUGINS", folder.join("plugins"))
        // Kept from run to run: what is compiled is the same.
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-kit"));
    command
}

/// The commands of the page's blocks for the shell, in their order.
fn commands() -> String {
    let page = repository().join("docs/plugins.md");
    let all = blocks::of_page(&repository(), &page);
    let lines: Vec<String> = all.iter().filter(|b| b.language == "sh").map(|b| b.text.clone()).collect();
    lines.concat()
}

#[test]
fn the_page_takes_an_integrator_from_nothing_to_a_working_plugin() {
    let folder = tempfile::tempdir().unwrap();
    // The project builds into a folder that tests share; the page expects it beside the project. And the kit
    // takes the next release of arrow: a plugin may have another than the host.
    let script = commands().replace(
        "cargo build\n",
        "sed -i -E 's/(arrow-(array|schema) = .*version = )\"59\"/\\1\"60\"/' kit/sdk/Cargo.toml\n\
             grep -q '\"60\"' kit/sdk/Cargo.toml\ncargo build\nln -s \"$CARGO_TARGET_DIR\" target\n",
    );
    let output = shell(folder.path()).args(["-e", "-c", &script]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "--- {script}\n--- {out}\n--- {err}");
    for said in [
        "resumable      stopped at",
        "http_errors",
        "installed helpdesk 0.1.0 (source)",
        "it may run",
        "page_size",
        "installed abacus",
        "removed abacus",
    ] {
        assert!(out.contains(said), "{said:?} is not in\n{out}");
    }
    let lock = std::fs::read_to_string(folder.path().join("helpdesk/Cargo.lock")).unwrap();
    assert!(lock.contains("name = \"arrow-array\"\nversion = \"60."), "another arrow than the host's");
    // It never writes over what is there.
    assert!(
        String::from_utf8_lossy(&run(folder.path(), &["plugin", "new", "helpdesk"]).stderr)
            .contains("exists already")
    );
}

/// A plugin in C, installed in `folder`/plugins.
fn counter(folder: &Path) -> PathBuf {
    let script = "throughline plugin new counting --lang c && make -s -C counting && \
                  throughline plugin install counting/libcounting.so";
    let output = shell(folder).args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder.join("plugins")
}

fn throughline(folder: &Path, plugins: &Path, args: &[&str], code: i32) -> (String, String) {
    let mut command = crate::command::throughline(folder, args);
    let output = command.env("THROUGHLINE_PLUGINS", plugins).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n--- {out}\n--- {err}");
    (out.into_owned(), err.into_owned())
}

#[test]
fn a_plugin_is_a_connector_as_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let plugins = counter(folder);
    for isolation in ["thread", "process"] {
        let text = format!(
            "[[source]]\nname = \"numbers\"\nconnector = \"counting\"\nisolation = \"{isolation}\"\nlast = 1000\nbatch = 64\n\n\
             [[sink]]\nname = \"files\"\nconnector = \"csv\"\npath = \"out-{isolation}\"\n"
        );
        std::fs::write(folder.join("pipeline.toml"), text).unwrap();
        let (out, _) = throughline(folder, &plugins, &["check"], 0);
        assert!(out.contains("1000"), "{out}");
        let (out, _) = throughline(folder, &plugins, &["run", "--full-refresh", "--json"], 0);
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert!(report.to_string().contains("1000"), "{report:#}");
        let (out, _) = throughline(folder, &plugins, &["preview", "numbers.numbers", "-n", "2"], 0);
        assert!(out.contains("№ 2"), "{out}");
    }
    let (out, _) = throughline(folder, &plugins, &["connector", "list"], 0);
    assert!(out.contains("counting") && out.contains("Counts, in plain C"), "{out}");
    // A wrong option: the plugin's own check, at its line and column.
    let text = "[[source]]\nname = \"numbers\"\nconnector = \"counting\"\nlast = 1000\nbatch = 0\n\n\
                [[sink]]\nname = \"files\"\nconnector = \"csv\"\npath = \"out\"\n";
    std::fs::write(folder.join("pipeline.toml"), text).unwrap();
    let (_, err) = throughline(folder, &plugins, &["check", "--offline"], 2);
    assert!(err.contains("pipeline.toml:5:9") && err.contains("from 1 to 1000000"), "{err}");
    // A library that was changed after it was allowed.
    let library = std::fs::read_dir(plugins.join("counting")).unwrap().map(|e| e.unwrap().path());
    let library = library.into_iter().find(|p| p.extension().is_some_and(|e| e == "so")).unwrap();
    let bytes = std::fs::read(&library).unwrap();
    std::fs::write(&library, [bytes.as_slice(), b"!"].concat()).unwrap();
    std::fs::write(folder.join("pipeline.toml"), text.replace("batch = 0", "batch = 1")).unwrap();
    let (_, err) = throughline(folder, &plugins, &["check", "--offline"], 2);
    assert!(err.contains("its hash differs"), "{err}");
    let (out, _) = throughline(folder, &plugins, &["plugin", "verify"], 5);
    assert!(out.contains("counting"), "{out}");
}

#[test]
fn a_bad_trial_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    counter(folder);
    std::fs::write(folder.join("wrong.toml"), "[options]\nlast = \"ten\"\n").unwrap();
    let output = run(folder, &["plugin", "test", "counting/libcounting.so", "--with", "wrong.toml"]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && err.contains("expected integer"), "{err}");
    assert!(err.contains("wrong.toml:2:8"), "{err}");
    for (text, expected) in [
        ("option = 1\n", "did you mean \"options\"?"),
        ("from = 2026-03-02\nto = 2026-03-01\n", "`from` before `to`"),
        ("from = \"2026-03-02\"\n", "`from` and `to` belong together"),
    ] {
        std::fs::write(folder.join("wrong.toml"), text).unwrap();
        let output = run(folder, &["plugin", "test", "counting/libcounting.so", "--with", "wrong.toml"]);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && err.contains(expected), "{err}");
    }
    let out = expect(
        folder,
        &["plugin", "test", "counting/libcounting.so", "--with", "counting/plugin.test.toml", "--in-thread"],
        0,
    );
    assert!(out.contains("numbers"), "{out}");
}
