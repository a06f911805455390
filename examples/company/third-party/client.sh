# Sourced by the scripts beside it: a public Python client from PyPI in a virtual environment, and a company for it.
#
#   client NAME MODULE PACKAGE   installs the client into "$venv", and says where its scripts are in "$here"
#   company ARGUMENTS            serves a company; its facts are in "$work/company.json"
#
# Needs python3 with pip and an index to install from; without them the script says SKIPPED and ends well.

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
work="$(mktemp -d)"
server=""
cleanup() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT

client() {
    local name="$1" module="$2" package="$3"
    skip() {
        echo "SKIPPED: $name: $1" >&2
        exit 0
    }
    venv="${TMPDIR:-/tmp}/company-$name-venv"
    command -v python3 >/dev/null || skip "no python3"
    if ! "$venv/bin/python" -c "import $module" 2>/dev/null; then
        python3 -m venv "$venv" 2>"$work/venv.log" || skip "cannot make a virtual environment"
        "$venv/bin/pip" install -q "$package" >"$work/pip.log" 2>&1 || skip "pip cannot install $package"
    fi
}

company() {
    local program="${COMPANY_BIN:-}"
    if [ -z "$program" ]; then
        (cd "$root" && cargo build -q -p company)
        program="${CARGO_TARGET_DIR:-$root/target}/debug/company"
    fi
    "$program" serve "$@" >"$work/company.json" &
    server=$!
    for _ in $(seq 100); do
        if [ -s "$work/company.json" ]; then return 0; fi
        sleep 0.1
    done
    echo "the company did not start: $program serve $*" >&2
    exit 1
}
