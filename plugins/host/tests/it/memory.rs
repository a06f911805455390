//! The example in C under AddressSanitizer: every byte it gives away comes back, and none is touched after.

use std::process::Command;

use crate::support::{compile, plugins};

#[test]
fn c_leaks_nothing_and_touches_nothing_that_is_gone() {
    let flags = ["-O1", "-fPIC", "-shared", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let library = compile(&plugins().join("examples/counter_c/counter.c"), "libcounter-asan.so", &flags);
    let driver = compile(
        &plugins().join("host/tests/plugins/driver.c"),
        "driver-asan",
        &["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    );
    let output = Command::new(driver).arg(library).env("ASAN_OPTIONS", "detect_leaks=1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "10 rows, 3 checkpoints, 2 errors\n", "{said}");
}
