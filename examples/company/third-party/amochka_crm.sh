#!/usr/bin/env bash
# A third party's client reads the company's CRM: amochka 0.7.0 from PyPI, unchanged but for its refusal of
# hosts other than amoCRM's own. It pages, filters, rotates its token in the middle and survives limits; what
# it read must be what the company knows.
#
#   examples/company/third-party/amochka_crm.sh [visits]
#
# Needs python3 with pip and an index to install from; without them it says SKIPPED and ends well.
set -euo pipefail

visits="${1:-3000}"
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
venv="${COMPANY_AMOCHKA_VENV:-${TMPDIR:-/tmp}/company-amochka-venv}"
package="amochka==0.7.0"
work="$(mktemp -d)"
server=""
cleanup() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT

skip() {
    echo "SKIPPED: amochka_crm: $1" >&2
    exit 0
}

command -v python3 >/dev/null || skip "no python3"
if ! "$venv/bin/python" -c 'import amochka' 2>/dev/null; then
    python3 -m venv "$venv" 2>"$work/venv.log" || skip "cannot make a virtual environment"
    "$venv/bin/pip" install -q "$package" >"$work/pip.log" 2>&1 || skip "pip cannot install $package"
fi

if [ -n "${COMPANY_BIN:-}" ]; then
    company=("$COMPANY_BIN")
else
    (cd "$root" && cargo build -q -p company)
    company=("${CARGO_TARGET_DIR:-$root/target}/debug/company")
fi

"${company[@]}" serve --visits "$visits" --history 500 --crm-rps 7 \
    --fault 429:at=4,path=/api/v4/leads --fault 429:at=6,retry_after=1,path=/api/v4/ \
    --fault 503:at=9,path=/api/v4/ --fault expire_token:at=3,path=/api/v4/contacts \
    --fault next_when_full >"$work/company.json" &
server=$!
for _ in $(seq 100); do
    [ -s "$work/company.json" ] && break
    sleep 0.1
done
"$venv/bin/python" "$here/amochka_crm.py" "$work"
