# Sourced: makes $PYTHON, a Python that has DuckDB where it can be installed, else one without.
venv=target/bench-venv
if ! "$venv/bin/python" -c 'import duckdb' 2>/dev/null; then
    { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet 'duckdb==2.0.0'; } >&2 ||
        echo "DuckDB cannot be installed here: what compares with it is skipped" >&2
fi
PYTHON="$venv/bin/python"
[ -x "$PYTHON" ] || PYTHON=python3
