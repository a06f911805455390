#!/bin/sh
# Runs the example on the real data and checks its numbers against a computation of its own (check.py).
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."

if [ "${SKIP_SIMPLE_SHOP:-}" = 1 ]; then
    echo "SKIPPED: examples/prepared-data: SKIP_SIMPLE_SHOP is set"
    exit 0
fi
fetched=0
sh "$here/fetch.sh" || fetched=$?
if [ "$fetched" -eq 3 ]; then
    echo "SKIPPED: examples/prepared-data: the package registry cannot be reached, so there are no data"
    exit 0
fi
[ "$fetched" -eq 0 ]

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cp "$here/pipeline.toml" "$scratch/"
ln -s "$here/data" "$scratch/data"
throughline() { cargo run -q -p throughline -- "$@"; }

throughline check --offline "$scratch/pipeline.toml"
throughline test "$scratch/pipeline.toml"
throughline run "$scratch/pipeline.toml"
published="$(readlink "$scratch/out/csv/current")"
rows="$(throughline query -p "$scratch/pipeline.toml" --format csv "SELECT count(*) AS n FROM attribution" | tail -n 1)"

# Nothing is new: the second run leaves readers the same epoch.
throughline run "$scratch/pipeline.toml"
if [ "$published" != "$(readlink "$scratch/out/csv/current")" ]; then
    echo "FAIL  a second run over the same file published again"
    exit 1
fi

python3 "$here/check.py" "$here/data/simple_shop.csv" "$scratch/out/csv/current" "$rows"
