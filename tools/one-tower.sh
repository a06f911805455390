#!/bin/sh
# One arrow, one DataFusion, one object_store in the tree; and the features of shared dependencies are
# the same whichever package is built, so that cargo never builds DataFusion twice.
set -eu
cd "$(dirname "$0")/.."
fail=0
for crate in arrow-array datafusion object_store parquet; do
    n=$(grep -c "^name = \"$crate\"\$" Cargo.lock || true)
    if [ "$n" -ne 1 ]; then
        echo "$n versions of $crate in Cargo.lock; there must be one" >&2
        fail=1
    fi
done
features() {
    cargo tree --locked -e normal,build "$@" -f '{p} [{f}]' --prefix none | sed 's/ (\*)//' | sort -u
}
whole=$(mktemp)
one=$(mktemp)
trap 'rm -f "$whole" "$one"' EXIT
features --workspace >"$whole"
for package in throughline throughline-sql throughline-attribution throughline-engine; do
    features -p "$package" >"$one"
    other=$(comm -13 "$whole" "$one")
    if [ -n "$other" ]; then
        printf '%s is built with other features than the workspace (see core/features/Cargo.toml):\n%s\n' \
            "$package" "$other" >&2
        fail=1
    fi
done
exit "$fail"
