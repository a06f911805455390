#!/bin/sh
# Singer targets from PyPI as sinks: one that writes files, and one that loads a database by key and by versions.
# Run by test.sh, after it built the program.
set -eu
cd "$(dirname "$0")/../../.."
venvs="$PWD/target/foreign"

environment() { # package, version, program
    [ -x "$venvs/$1/bin/$3" ] && return
    python3 -m venv "$venvs/$1" && "$venvs/$1/bin/pip" install --quiet "$1==$2"
}
if ! environment target-jsonl 0.1.4 target-jsonl || ! environment meltanolabs-target-postgres 0.8.1 target-postgres; then
    echo "SKIPPED: connectors/tests/foreign/targets.sh: the package index cannot be reached"
    exit 0
fi
program="${THROUGHLINE:-${CARGO_TARGET_DIR:-target}/debug/throughline}"
throughline() { "$program" "$@"; }
scratch="$(mktemp -d)"
server=
bin=
as() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else "$@"; fi; }
# shellcheck disable=SC2329
finish() {
    [ -z "$server" ] || as "$bin/pg_ctl" -D "$scratch/pg/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$scratch"
}
trap finish EXIT
mkdir "$scratch/pipelines"
rows() { # from, to: what so many campaigns cost, their kopecks by the first argument
    python3 - "$scratch/pipelines/rows.csv" "$1" "$2" <<'PY'
import sys
with open(sys.argv[1], "w") as f:
    f.write("id,name,cost\n")
    for i in range(int(sys.argv[2]), int(sys.argv[3])):
        f.write(f"{i},Реклама {i},{i}.{sys.argv[2][:2]}\n")
PY
}
pipeline() { # the sink's lines on standard input
    { cat <<'TOML'
[[source]]
name = "file"
connector = "file"
path = "rows.csv"
into = "costs"
mapping = """
SELECT 'ads' AS system, DATE '2026-09-01' AS day, CAST(id AS VARCHAR) AS campaign_id, name AS campaign,
       minor_units(cost, 'RUB') AS cost_minor, 'RUB' AS currency
FROM file
"""
[[sink]]
name = "out"
connector = "singer"
tables = ["costs", "dim_campaign"]
TOML
      cat; } > "$scratch/pipelines/$1.toml"
}
run() {
    throughline check "$scratch/pipelines/$1.toml" > "$scratch/said" 2>&1 || { cat "$scratch/said"; exit 1; }
    throughline run "$scratch/pipelines/$1.toml" > "$scratch/said" 2>&1 || { cat "$scratch/said"; exit 1; }
}
same() { # what, found, expected
    [ "$2" = "$3" ] || { echo "FAIL  $1: $2, expected $3"; exit 1; }
    echo "ok $1: $2"
}

# Files: every epoch is added; the same epoch is not loaded twice.
mkdir "$scratch/pipelines/files"
pipeline jsonl <<TOML
path = "spool-jsonl"
command = "$venvs/target-jsonl/bin/target-jsonl"
mode = "append"
config = { destination_path = "files", do_timestamp_file = false }
TOML
rows 0 300
run jsonl
run jsonl
same "target-jsonl: rows after two runs over the same" "$(grep -c _throughline_txn "$scratch/pipelines/files/costs.jsonl")" 300
rows 0 301
run jsonl
same "target-jsonl: rows after another epoch" "$(wc -l < "$scratch/pipelines/files/costs.jsonl" | tr -d ' ')" 601

for found in /usr/lib/postgresql/*/bin; do [ -x "$found/initdb" ] && bin="$found"; done
if [ -z "$bin" ]; then
    echo "SKIPPED: target-postgres: PostgreSQL is not installed (tools/postgresql.sh)"
    exit 0
fi
mkdir "$scratch/pg"
chmod 755 "$scratch"
if [ "$(id -u)" -eq 0 ]; then chown postgres "$scratch/pg"; fi
(cd "$scratch/pg" && as "$bin/initdb" -D "$scratch/pg/data" -U bi --auth=trust --encoding=UTF8 > /dev/null)
port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
(cd "$scratch/pg" && as "$bin/pg_ctl" -D "$scratch/pg/data" -w -l "$scratch/pg/log" \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off" start > /dev/null)
server=yes
ask() { "$bin/psql" -h 127.0.0.1 -p "$port" -U bi -d postgres -At -c "$1"; }

for mode in upsert replace; do
    pipeline "$mode" <<TOML
path = "spool-$mode"
command = "$venvs/meltanolabs-target-postgres/bin/target-postgres"
mode = "$mode"
[sink.config]
host = "127.0.0.1"
port = $port
user = "bi"
password = "unused"
database = "postgres"
default_target_schema = "$mode"
hard_delete = true
TOML
    rows 0 300
    run "$mode"
    same "target-postgres, $mode: rows and campaigns" "$(ask "SELECT count(*), count(DISTINCT campaign_key) FROM $mode.costs")" "300|300"
    rows 100 310
    run "$mode"
    # By key what is gone stays, by version it goes; nothing is there twice.
    [ "$mode" = upsert ] && expected="310|310" || expected="210|210"
    same "target-postgres, $mode: after 100 went and 10 came" "$(ask "SELECT count(*), count(DISTINCT campaign_key) FROM $mode.costs")" "$expected"
    same "target-postgres, $mode: rows with the new cost" "$(ask "SELECT count(*) FROM $mode.costs WHERE cost::numeric % 1 = 0.10")" 210
done
