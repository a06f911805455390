#!/bin/sh
# Measures, never judges: prints figures of this machine, in one go. docs/performance.md says what they mean.
#   LEADS=1000000 VISITS=200000 sh tools/bench.sh [columns] [land] [land-all] [attribution] [markov]
set -eu
cd "$(dirname "$0")/.."
cargo build --release --locked -p throughline -p company
cargo build --release --locked -p throughline-connectors --example bench_records
cargo build --release --locked -p throughline-attribution --example markov
. tools/python.sh
# What tools/markov.py compares with.
"$PYTHON" -c 'import ChannelAttribution' >/dev/null 2>&1 ||
    "$PYTHON" -m pip install --quiet 'ChannelAttribution==2.2.5' matplotlib pandas numpy >&2 ||
    echo "ChannelAttribution cannot be installed here: Markov is not compared with it" >&2
exec "$PYTHON" tools/bench.py "$@"
