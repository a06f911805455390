//! The header and its twin say the same, and the header is good C and good C++.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;

use throughline_plugin_abi as abi;

fn include() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include")
}

/// Where cargo keeps what tests of this package write.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn compile(compiler: &str, flags: &[&str], source: &Path, out: &Path) {
    let done = Command::new(compiler)
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(flags)
        .arg("-I")
        .arg(include())
        .arg(source)
        .arg("-o")
        .arg(out)
        .output()
        .unwrap_or_else(|e| panic!("{compiler} is needed (Debian: build-essential): {e}"));
    assert!(done.status.success(), "{compiler}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_header_is_c11_and_cpp17() {
    let folder = scratch("header");
    let c = folder.join("header.c");
    std::fs::write(&c, "#include \"throughline_plugin.h\"\n#include \"throughline_plugin.h\"\nint main(void) { return 0; }\n").unwrap();
    compile("gcc", &["-std=c11"], &c, &folder.join("c"));
    let cpp = folder.join("header.cpp");
    std::fs::write(&cpp, "#include \"throughline_plugin.h\"\nint main() { tl_error e{}; return e.code; }\n")
        .unwrap();
    compile("g++", &["-std=c++17"], &cpp, &folder.join("cpp"));
}

/// Struct and field with size and offset, of the twin: what the C compiler must print too.
macro_rules! layout {
    ($($name:ident { $($field:ident $(as $rust:ident)?),* })*) => {{
        let mut lines: Vec<(String, usize)> = Vec::new();
        $(
            lines.push((format!("sizeof({})", c_name(stringify!($name))), size_of::<abi::$name>()));
            $(
                #[allow(unused_variables)]
                let at = layout!(@offset $name $field $($rust)?);
                lines.push((format!("offsetof({}, {})", c_name(stringify!($name)), stringify!($field)), at));
            )*
        )*
        lines
    }};
    (@offset $name:ident $field:ident) => { offset_of!(abi::$name, $field) };
    (@offset $name:ident $field:ident $rust:ident) => { offset_of!(abi::$name, $rust) };
}

fn c_name(rust: &str) -> String {
    if rust.starts_with("Arrow") { format!("struct {rust}") } else { rust.to_owned() }
}

#[test]
fn sizes_and_offsets_are_equal() {
    let lines = layout! {
        tl_str { ptr, len }
        tl_buf { ptr, len, owner, release }
        tl_error { struct_size, code, http_status, flags, retry_after_ms, message, hint, config_pointer }
        ArrowSchema { format, name, metadata, flags, n_children, children, dictionary, release, private_data }
        ArrowArray { length, null_count, offset, n_buffers, n_children, buffers, children, dictionary, release, private_data }
        tl_host { struct_size, abi, ctx, log, metric, cancelled, sleep_ms, now_ms, secret, http }
        tl_event { struct_size, kind, array, schema, json }
        tl_plugin {
            struct_size, abi, priv as priv_, manifest, open, check, catalog, discover, mappings, read_open, read_next,
            read_close, committed, write_open, write_batch, write_prepare, write_close, commit, abort, cancel, close
        }
    };
    let mut program =
        String::from("#include \"throughline_plugin.h\"\n#include <stdio.h>\nint main(void) {\n");
    for (what, _) in &lines {
        program += &format!("  printf(\"%zu\\n\", {what});\n");
    }
    program += "  return 0;\n}\n";
    let folder = scratch("layout");
    let source = folder.join("layout.c");
    std::fs::write(&source, program).unwrap();
    compile("gcc", &["-std=c11"], &source, &folder.join("layout"));
    let printed = Command::new(folder.join("layout")).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let found: Vec<usize> = printed.lines().map(|l| l.parse().unwrap()).collect();
    assert_eq!(found.len(), lines.len());
    for ((what, ours), theirs) in lines.iter().zip(found) {
        assert_eq!(*ours, theirs, "{what}");
    }
}

#[test]
fn every_field_and_number_of_the_header_is_in_the_twin() {
    let twin = include_str!("../../src/lib.rs");
    let mut constants = 0;
    for line in abi::HEADER.lines() {
        // `TL_DATA = 6,` and the values of one-line enums.
        for word in line.split(',') {
            let Some((name, value)) = word.split_once(" = ") else { continue };
            let Some(name) = name.split_whitespace().last().filter(|n| n.starts_with("TL_")) else {
                continue;
            };
            let value: String = value.chars().take_while(char::is_ascii_digit).collect();
            // Levels and kinds of metrics are the plugin's to write, not the host's to match on.
            if value.is_empty()
                || ["TL_TRACE", "TL_DEBUG", "TL_INFO", "TL_WARN", "TL_ERROR_LEVEL", "TL_COUNTER", "TL_GAUGE"]
                    .contains(&name)
            {
                continue;
            }
            constants += 1;
            assert!(twin.contains(&format!("pub const {name}: i32 = {value};")), "{name} = {value}");
        }
    }
    assert_eq!(constants, 22, "statuses and kinds of events");
    let pointers = abi::HEADER
        .lines()
        .filter(|l| l.contains("(*") && !l.trim_start().starts_with("void (*release)"))
        .count();
    let fields = twin.matches("unsafe extern \"C\" fn(").count();
    // Three `release`s and the init symbol's type are in the twin besides.
    assert_eq!(pointers, fields - 4, "functions");
}
