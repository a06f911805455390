#!/bin/sh
# Measures, never judges: prints figures of this machine, in one go. docs/performance.md says what they mean.
#   LEADS=1000000 VISITS=200000 sh tools/bench.sh [columns] [land] [land-all] [attribution] [scale] [markov] [receive]
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
exec "$PYTHON" tools/bench.py "$@"
