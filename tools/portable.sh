#!/bin/sh
# Do the attribution steps mean the same to another engine? Runs a small company, then every portable step again on
# DuckDB, and fails when a row, an amount or a text differs.
set -eu
cd "$(dirname "$0")/.."
cargo build --quiet -p throughline -p company
. tools/python.sh
BIN="${BIN:-$PWD/target/debug}" VISITS="${VISITS:-2000}" exec "$PYTHON" tools/bench.py attribution
