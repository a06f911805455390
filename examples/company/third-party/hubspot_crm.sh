#!/usr/bin/env bash
# HubSpot's own Python client reads the company's HubSpot: hubspot-api-client from PyPI, unchanged. It lists, searches
# to the ceiling and behind it, reads batches with history, and associations; what it read must be what the company knows.
#
#   examples/company/third-party/hubspot_crm.sh [visits]
#
# Needs python3 with pip and an index to install from; without them it says SKIPPED and ends well.
set -euo pipefail

visits="${1:-2000}"
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
venv="${COMPANY_HUBSPOT_VENV:-${TMPDIR:-/tmp}/company-hubspot-venv}"
package="hubspot-api-client==12.0.0"
work="$(mktemp -d)"
server=""
cleanup() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT

skip() {
    echo "SKIPPED: hubspot_crm: $1" >&2
    exit 0
}

command -v python3 >/dev/null || skip "no python3"
if ! "$venv/bin/python" -c 'import hubspot' 2>/dev/null; then
    python3 -m venv "$venv" 2>"$work/venv.log" || skip "cannot make a virtual environment"
    "$venv/bin/pip" install -q "$package" >"$work/pip.log" 2>&1 || skip "pip cannot install $package"
fi

if [ -n "${COMPANY_BIN:-}" ]; then
    company=("$COMPANY_BIN")
else
    (cd "$root" && cargo build -q -p company)
    company=("${CARGO_TARGET_DIR:-$root/target}/debug/company")
fi

"${company[@]}" serve --visits "$visits" --history 10300 --hubspot-per-10s 0 --hubspot-searches 0 \
    >"$work/company.json" &
server=$!
for _ in $(seq 100); do
    [ -s "$work/company.json" ] && break
    sleep 0.1
done
"$venv/bin/python" "$here/hubspot_crm.py" "$work"
