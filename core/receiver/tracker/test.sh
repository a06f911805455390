#!/bin/sh
# The tracker's size, and its behaviour in a real Chromium. Installs what it needs: Debian's chromium, and
# playwright-core and jsqr in a folder of their own; where neither can be had (no network) it says SKIPPED.
#
#   core/receiver/tracker/test.sh [part of a test's name]
set -eu
here="$(cd "$(dirname "$0")" && pwd)"

size="$(gzip -9 -c "$here/tracker.js" | wc -c)"
echo "tracker.js: $size bytes gzipped"
if [ "$size" -ge 6144 ]; then
    echo "FAIL  tracker.js must stay under 6144 bytes gzipped"
    exit 1
fi

skip() {
    echo "SKIPPED: tracker in Chromium: $1" >&2
    exit 0
}
# The first line of a log that says why, so that a reader of CI need not look for it.
why() {
    grep -m 1 -i -E 'err|unable|could not|cannot' "$1" || echo "see the log above"
}

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
if [ -z "${CHROMIUM:-}" ]; then
    CHROMIUM="$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)"
    if [ -z "$CHROMIUM" ]; then
        command -v apt-get >/dev/null || skip "no Chromium, and no apt to install it; set CHROMIUM to its path"
        [ "$(id -u)" -eq 0 ] || skip "no Chromium, and only root can install it: apt-get install chromium"
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } \
            >"$work/apt.log" 2>&1 || skip "apt cannot install chromium: $(why "$work/apt.log")"
        CHROMIUM="$(command -v chromium)"
    fi
fi
export CHROMIUM
command -v node >/dev/null || skip "no node"
command -v npm >/dev/null || skip "no npm"
modules="${TRACKER_NODE_MODULES:-${TMPDIR:-/tmp}/throughline-tracker-$(id -u)}"
if [ ! -d "$modules/node_modules/playwright-core" ] || [ ! -d "$modules/node_modules/jsqr" ]; then
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$modules" playwright-core@1.65.1 jsqr@1.4.0 \
        >"$work/npm.log" 2>&1 || skip "npm cannot install playwright-core and jsqr: $(why "$work/npm.log")"
fi

# A printed link, for a reader of QR codes to read.
(cd "$here/../../.." && cargo run -q -p throughline -- link --messenger whatsapp --account 79990001122 \
    --campaign poster --text 'Здравствуйте! مرحبا' --links "$work/links.csv" --qr "$work/poster.svg" --json) >"$work/link.json"
PRINTED="$work" MODULES_FROM="$modules/" node "$here/tests/browser.mjs" "$@"

# The whole way: the program itself receives, on another origin than the site's. Cargo has just built it.
if [ $# -eq 0 ]; then
    THROUGHLINE="$here/../../../target/debug/throughline" MODULES_FROM="$modules/" node "$here/tests/real.mjs"
fi
