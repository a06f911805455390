#!/bin/sh
# Measures, never judges: prints figures of this machine, in one go. docs/performance.md says what they mean.
#   LEADS=1000000 VISITS=200000 sh tools/bench.sh [columns] [land] [land-all] [attribution]
set -eu
cd "$(dirname "$0")/.."
cargo build --release --locked -p throughline -p company
cargo build --release --locked -p throughline-connectors --example bench_records
. tools/python.sh
exec "$PYTHON" tools/bench.py "$@"
