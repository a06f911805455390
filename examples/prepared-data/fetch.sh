#!/bin/sh
# Fetches the simple_shop clickstream into data/, once. Nothing of the package is run or installed.
#
# The data come inside the PyPI package retentioneering up to 3.3.0, under that package's own licence
# ("Retentioneering Software Non-Exclusive License": academic, research and internal business use), which is
# why they are fetched and not part of this repository.
set -eu
cd "$(dirname "$0")"
version=3.3.0
member=retentioneering/datasets/data/simple-onlineshop.csv
sha256=3b7f78721020612367176a1f6464e4802485204e4518ecab5c936a3375ad3ec6
target=data/simple_shop.csv

# Exit codes: 0 the data are there; 3 the registry cannot be reached; 1 anything else.
is_it() {
    python3 - "$1" "$sha256" <<'PYTHON'
import hashlib, sys
sys.exit(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest() != sys.argv[2])
PYTHON
}
if [ -f "$target" ] && is_it "$target"; then
    echo "$target is there already"
    exit 0
fi

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
if ! python3 -m pip download "retentioneering==$version" --no-deps --only-binary :all: --quiet \
    --disable-pip-version-check --retries 2 --timeout 20 -d "$scratch" 2> "$scratch/log"; then
    cat "$scratch/log" >&2
    exit 3
fi
python3 - "$scratch" "$member" "$scratch/data.csv" <<'PYTHON'
import glob, sys, zipfile
wheel, = glob.glob(sys.argv[1] + "/*.whl")
with zipfile.ZipFile(wheel) as z, open(sys.argv[3], "wb") as out:
    out.write(z.read(sys.argv[2]))
PYTHON
if ! is_it "$scratch/data.csv"; then
    echo "$member of retentioneering $version is not the file this example was written for (SHA-256)" >&2
    exit 1
fi
mkdir -p data
# Renamed when it is whole: a run never sees half of it.
cp "$scratch/data.csv" "$target.part"
mv "$target.part" "$target"
echo "$target: simple_shop, from retentioneering $version, under that package's own licence"
