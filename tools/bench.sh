#!/bin/sh
# Measures, never judges: prints figures of this machine, in one go. docs/performance.md says what they mean.
#   LEADS=1000000 VISITS=200000 sh tools/bench.sh [part...]        the parts are named there
set -eu
cd "$(dirname "$0")/.."
# In one go, so that nothing is built with two sets of features.
cargo build --release --locked --bins --examples \
    -p throughline -p company -p throughline-connectors -p throughline-attribution -p throughline-receiver
. tools/python.sh
# What tools/markov.py compares with.
"$PYTHON" -c 'import ChannelAttribution' >/dev/null 2>&1 ||
    "$PYTHON" -m pip install --quiet 'ChannelAttribution==2.2.5' matplotlib pandas numpy >&2 ||
    echo "ChannelAttribution cannot be installed here: Markov is not compared with it" >&2
# What the part dlt compares with, in an environment of its own.
dlt=target/bench-dlt
if ! "$dlt/bin/python" -c 'import dlt' 2>/dev/null; then
    { python3 -m venv "$dlt" && "$dlt/bin/pip" install --quiet 'dlt[filesystem,parquet]==1.31.0'; } >&2 ||
        echo "dlt cannot be installed here: nothing is compared with it" >&2
fi
# Of the part memory.
sh tools/postgresql.sh
BIN="$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)"
export BIN PYTHONDONTWRITEBYTECODE=1
exec "$PYTHON" tools/bench.py "$@"
