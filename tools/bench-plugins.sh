#!/bin/sh
# What it costs to be a plugin: one source built in, as a thread plugin and as a process plugin.
# PAGES: batches of 8,192 rows to read, 200 unless told.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --quiet -p throughline-plugin-host --examples --bins
"${CARGO_TARGET_DIR:-target}/release/examples/overhead" "${PAGES:-200}"
