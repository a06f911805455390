#!/bin/sh
# Other people's connectors, as their users install them: two Singer taps, an Airbyte source and two Singer targets
# (targets.sh) from PyPI.
# `make test-foreign` runs it; no other test needs Python's package index.
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../../.."
venvs="$PWD/target/foreign"

# One environment each: taps pin what others cannot have.
environment() { # package, version, program
    [ -x "$venvs/$1/bin/$3" ] && return
    python3 -m venv "$venvs/$1" && "$venvs/$1/bin/pip" install --quiet "$1==$2"
}
if ! environment tap-jsonl 0.3.1 tap-jsonl || ! environment tap-rest-api-msdk 1.4.2 tap-rest-api-msdk ||
    ! environment airbyte-source-faker 7.2.1 source-faker; then
    echo "SKIPPED: connectors/tests/foreign: the package index cannot be reached"
    exit 0
fi
cargo build --quiet -p throughline
scratch="$(mktemp -d)"
server=
trap 'rm -rf "$scratch"; [ -z "$server" ] || kill "$server"' EXIT
mkdir "$scratch/jsonl" "$scratch/rest" "$scratch/faker"
throughline() { "${CARGO_TARGET_DIR:-target}/debug/throughline" "$@"; }

# 1,200 rows of a file. The tap cannot go on from its states in the middle, and says so in them.
python3 - "$scratch/jsonl" <<'PY'
import json, sys
folder = sys.argv[1]
with open(f"{folder}/rows.jsonl", "w") as f:
    for i in range(1200):
        f.write(json.dumps({"id": i, "name": f"Клиент {i}"}, ensure_ascii=False) + "\n")
json.dump({"path": f"{folder}/rows.jsonl", "stream_name": "clients", "primary_keys": ["id"]}, open(f"{folder}/config.json", "w"))
PY
"$venvs/tap-jsonl/bin/tap-jsonl" --config "$scratch/jsonl/config.json" --discover > "$scratch/jsonl/catalog.json"
cat > "$scratch/jsonl/pipeline.toml" <<TOML
[[source]]
name = "file"
connector = "singer"
command = "$venvs/tap-jsonl/bin/tap-jsonl"
catalog = "catalog.json"
[source.config]
path = "$scratch/jsonl/rows.jsonl"
stream_name = "clients"
primary_keys = ["id"]
[[source.mappings]]
into = "contacts"
from = ["clients"]
sql = "SELECT 'client:' || CAST(id AS VARCHAR) AS contact_id, name FROM clients"
[[sink]]
name = "files"
connector = "csv"
path = "out"
TOML

# 250 orders over HTTP, one page refused at first.
python3 "$here/server.py" > "$scratch/port" &
server=$!
while [ ! -s "$scratch/port" ]; do sleep 0.1; done
cat > "$scratch/rest/config.json" <<JSON
{"api_url": "http://127.0.0.1:$(cat "$scratch/port")", "next_page_token_path": "\$.next",
 "pagination_request_style": "jsonpath_paginator", "pagination_next_page_param": "page",
 "streams": [{"name": "orders", "path": "/", "records_path": "\$.orders[*]", "primary_keys": ["id"], "num_inference_records": 50}]}
JSON
"$venvs/tap-rest-api-msdk/bin/tap-rest-api-msdk" --config "$scratch/rest/config.json" --discover > "$scratch/rest/catalog.json"
python3 - "$scratch/rest" "$venvs/tap-rest-api-msdk/bin/tap-rest-api-msdk" <<'PY'
import json, sys
folder, program = sys.argv[1:]
config = json.load(open(f"{folder}/config.json"))
def toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {toml(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)
lines = ["[[source]]", 'name = "api"', 'connector = "singer"', f'command = "{program}"', 'catalog = "catalog.json"', "[source.config]"]
for key, value in config.items():
    if key == "streams":
        lines.append("streams = [" + ", ".join(toml(v) for v in value) + "]")
    else:
        lines.append(f"{key} = {toml(value)}")
lines += ["[[source.mappings]]", 'into = "contacts"', 'from = ["orders"]',
          "sql = \"SELECT 'order:' || CAST(id AS VARCHAR) AS contact_id, name FROM orders\"",
          "[[sink]]", 'name = "files"', 'connector = "csv"', 'path = "out"']
open(f"{folder}/pipeline.toml", "w").write("\n".join(lines) + "\n")
PY

# 200 people, 200 purchases and 100 products, made up by Airbyte's own source for tests.
faker="$venvs/airbyte-source-faker/bin/source-faker"
echo '{"count": 200, "seed": 42, "parallelism": 1, "records_per_slice": 100, "always_updated": false}' > "$scratch/faker/config.json"
"$faker" discover --config "$scratch/faker/config.json" > "$scratch/faker/catalog.json"
cat > "$scratch/faker/pipeline.toml" <<TOML
[[source]]
name = "shop"
connector = "airbyte"
command = "$faker"
catalog = "catalog.json"
config = { count = 200, seed = 42, parallelism = 1, records_per_slice = 100, always_updated = false }
[[source.mappings]]
into = "contacts"
from = ["users", "purchases", "products"]
sql = """
SELECT 'user:' || CAST(id AS VARCHAR) AS contact_id, name FROM users
UNION ALL SELECT 'purchase:' || CAST(id AS VARCHAR) AS contact_id, NULL AS name FROM purchases
UNION ALL SELECT 'product:' || CAST(id AS VARCHAR) AS contact_id, NULL AS name FROM products
"""
[[sink]]
name = "files"
connector = "csv"
path = "out"
TOML

expect() {
    found="$(throughline query -p "$1/pipeline.toml" --format csv "SELECT count(*) AS n, count(DISTINCT contact_id) AS d FROM in_contacts" | tail -n 1)"
    if [ "$found" != "$2,$2" ]; then
        echo "FAIL  $1: $found contacts, expected $2"
        exit 1
    fi
    echo "ok $(basename "$1"): $2 rows, each once"
}
for source in jsonl rest faker; do
    throughline check "$scratch/$source/pipeline.toml" > /dev/null
    # The second run reads again, and nothing is there twice.
    for _ in 1 2; do
        throughline run "$scratch/$source/pipeline.toml" > "$scratch/said" 2>&1 || { cat "$scratch/said"; exit 1; }
    done
done
expect "$scratch/jsonl" 1200
expect "$scratch/rest" 250
expect "$scratch/faker" 500
# Airbyte's source goes on from its states: the second run had nothing to read, and both were counted.
throughline runs -p "$scratch/faker/pipeline.toml" --json > "$scratch/runs.json"
python3 - "$scratch/runs.json" <<'PY'
import json, sys
runs = sorted(json.load(open(sys.argv[1])), key=lambda run: run["run"])
rows = [run["report"]["rows"] for run in runs]
whole = all(s["completeness"] == "complete" and s["counts"] for run in runs for s in run["report"]["streams"])
if rows != [500, 0] or not whole:
    sys.exit(f"FAIL  airbyte: rows {rows}, complete: {whole}")
print("ok faker: 500 rows, then none, all counted")
PY
sh connectors/tests/foreign/targets.sh
