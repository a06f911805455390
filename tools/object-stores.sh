#!/bin/sh
# Installs stores for the tests of buckets where that can be done: moto (S3) from PyPI, Azurite (Azure) from npm. The
# tests say that they skip what is not there.
set -eu
cd "$(dirname "$0")/.."
moto=target/moto-venv
if ! "$moto/bin/python" -c 'import moto.server' 2>/dev/null; then
    { python3 -m venv "$moto" && "$moto/bin/pip" install --quiet 'moto[server]==5.2.5'; } >&2 ||
        echo "moto cannot be installed here: the tests of S3 will be skipped" >&2
fi
# DuckDB reads what the README says how to read.
"$moto/bin/python" -c 'import duckdb_extension_httpfs' 2>/dev/null ||
    "$moto/bin/pip" install --quiet 'duckdb==1.5.5' 'duckdb-extension-httpfs==1.5.5' >&2 ||
    echo "DuckDB's httpfs cannot be installed here: reading a bucket with it will be skipped" >&2
azurite=target/azurite
if ! [ -x "$azurite/node_modules/.bin/azurite-blob" ]; then
    { mkdir -p "$azurite" && npm install --prefix "$azurite" --no-audit --no-fund --silent azurite@3.35.0; } >&2 ||
        echo "Azurite cannot be installed here: the tests of Azure will be skipped" >&2
fi
