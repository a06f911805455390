#!/bin/sh
# The PostgreSQL sink against psql's \copy of the same rows, in one run, on a private server.
#   ROWS=1000000 sh tools/bench-postgresql.sh
set -eu
cd "$(dirname "$0")/.."
sh tools/postgresql.sh
# With the program itself, so that nothing is built with two sets of features.
cargo build --release --locked --bins --examples -p throughline -p throughline-sinks
exec "${CARGO_TARGET_DIR:-target}/release/examples/postgresql_load"
