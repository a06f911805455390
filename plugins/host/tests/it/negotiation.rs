//! Plugins and hosts of other ages, and libraries built another way.

use serde_json::json;

use crate::support::{compile, connector, context, events, numbers, options, plugins, request, source};
use throughline_core::SourceConnector;

/// The counter, built against a changed header or code.
fn variant(name: &str, change: impl Fn(&str) -> String) -> std::path::PathBuf {
    let dir = tempfile::tempdir().unwrap();
    let code = std::fs::read_to_string(plugins().join("examples/counter_c/counter.c")).unwrap();
    let path = dir.path().join("counter.c");
    let changed = change(&code);
    assert_ne!(code, changed, "nothing was changed");
    std::fs::write(&path, changed).unwrap();
    compile(&path, name, &["-O1", "-fPIC", "-shared"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_of_the_next_minor_version_serves_this_host() {
    // Knows 1.1, whose table has one function more, and fills what fits.
    let library = variant("libnext.so", |code| {
        code.replace(
            "int32_t tl_plugin_init_v1(",
            "typedef struct { tl_plugin v1_0; int32_t (*more)(void); } tl_plugin_1_1;\n\
             static int32_t more(void) { return 0; }\n\nint32_t tl_plugin_init_v1(",
        )
        .replace(
            "  out->manifest = manifest;",
            "  if (host_abi >= 1001000u && out->struct_size >= sizeof(tl_plugin_1_1)) {\n    \
             out->struct_size = sizeof(tl_plugin_1_1);\n    out->abi = 1001000u;\n    \
             ((tl_plugin_1_1 *)(void *)out)->more = more;\n  }\n  out->manifest = manifest;",
        )
    });
    for isolation in ["thread", "process"] {
        let source = source(&library, isolation, json!({ "last": 3 }));
        let (events, error) = events(&source, &context(), request("numbers", None)).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(numbers(&events, "n"), [1, 2, 3]);
    }
}

#[test]
fn a_plugin_of_another_major_version_is_refused() {
    let library =
        variant("libmajor.so", |code| code.replace("host_abi / 1000000 != 1", "host_abi / 1000000 != 2"));
    let error = throughline_plugin_host::PluginSource::of_file(&library, &crate::support::runner())
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(error.contains("takes none of the interface versions 1.0"), "{error}");
}

#[test]
fn a_table_that_makes_no_sense_is_refused() {
    for (name, from, to, expected) in [
        (
            "libsize.so",
            "out->struct_size = sizeof(tl_plugin);",
            "out->struct_size = 8;",
            "its table has 8 bytes",
        ),
        ("libabi.so", "out->abi = TL_ABI_1_0;", "out->abi = 3000000u;", "it says 3.0"),
        ("libnull.so", "  out->open = open_;\n", "  (void)open_;\n", "must not be NULL"),
    ] {
        let library = variant(name, |code| code.replace(from, to));
        let error = throughline_plugin_host::PluginSource::of_file(&library, &crate::support::runner())
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_a_plugin_does_not_offer_is_not_asked_for() {
    // No catalog: it is no source that can be used, and says so at its place.
    let library =
        variant("libless.so", |code| code.replace("  out->catalog = catalog;\n", "  (void)catalog;\n"));
    let errors = connector(&library).build(&options(json!({}))).map(|_| ()).unwrap_err();
    assert!(errors[0].to_string().contains("the plugin has no catalog"), "{errors:?}");
}
