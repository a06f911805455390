#!/bin/sh
# A Singer tap read by us into our Parquet sink, beside the same tap piped into target-parquet, in one run.
#   ROWS=1000000 sh tools/bench-singer.sh
# The tap prints a prepared file as fast as cat does: what is measured is what comes behind it.
set -eu
cd "$(dirname "$0")/.."
venv=target/bench-target-parquet
# The target is of 2019, and pins libraries that today's Python cannot build. It gets today's, which are faster.
if ! "$venv/bin/python" -c 'import target_parquet' 2>/dev/null; then
    { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet 'setuptools<81' wheel \
        pandas pyarrow simplejson python-dateutil pytz backoff pendulum ciso8601 strict-rfc3339 &&
        "$venv/bin/pip" install --quiet --no-deps --no-build-isolation \
            jsonschema==2.6.0 singer-python==2.1.4 target-parquet==0.0.1; } >&2 ||
        echo "target-parquet cannot be installed here: nothing is compared with it" >&2
fi
# With what the other measurements build, so that nothing is built with two sets of features.
cargo build --release --locked --bins --examples -p throughline -p throughline-sinks
BIN="$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)" exec python3 tools/bench_singer.py "$venv/bin/python"
