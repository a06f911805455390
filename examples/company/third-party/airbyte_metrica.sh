#!/usr/bin/env bash
# A third party's client reads the company: airbyte-source-yandex-metrica 1.0.44 from PyPI, unchanged but for
# the host, which it keeps in a class attribute. Its count of visits and hits must be the company's.
#
#   examples/company/third-party/airbyte_metrica.sh [visits]
#
# Needs python3 with pip and an index to install from; without them it says SKIPPED and ends well.
set -euo pipefail

visits="${1:-2000}"
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
venv="${COMPANY_AIRBYTE_VENV:-${TMPDIR:-/tmp}/company-airbyte-venv}"
package="airbyte-source-yandex-metrica==1.0.44"
work="$(mktemp -d)"
server=""
cleanup() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT

skip() {
    echo "SKIPPED: airbyte_metrica: $1" >&2
    exit 0
}

command -v python3 >/dev/null || skip "no python3"
if ! "$venv/bin/python" -c 'import source_yandex_metrica' 2>/dev/null; then
    python3 -m venv "$venv" 2>"$work/venv.log" || skip "cannot make a virtual environment"
    "$venv/bin/pip" install -q "$package" >"$work/pip.log" 2>&1 || skip "pip cannot install $package"
fi

if [ -n "${COMPANY_BIN:-}" ]; then
    company=("$COMPANY_BIN")
else
    (cd "$root" && cargo build -q -p company)
    company=("${CARGO_TARGET_DIR:-$root/target}/debug/company")
fi

# The connector refuses days that are not over by the real clock, so this company lives in the past. It sleeps
# a minute between polls, so exports are ready at the first.
"${company[@]}" serve --visits "$visits" --start 2024-03-01 --days 20 --polls 1 --part-visits 700 \
    >"$work/company.json" &
server=$!
for _ in $(seq 100); do
    [ -s "$work/company.json" ] && break
    sleep 0.1
done

# The one change: where the service is.
mkdir "$work/patch"
cat >"$work/patch/sitecustomize.py" <<'PY'
import os

import source_yandex_metrica.streams as streams

streams.YandexMetricaStream.url_base = os.environ["COMPANY_URL"] + "/management/v1/counter/"
PY

COMPANY_URL="$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["url"])' "$work/company.json")"
export COMPANY_URL
PYTHONPATH="$work/patch" "$venv/bin/python" "$here/airbyte_metrica.py" "$work" "$venv/bin/source-yandex-metrica"
