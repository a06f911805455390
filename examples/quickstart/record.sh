#!/bin/sh
# Makes the quickstart's recording anew: a simulated studio of 2,000 visits answers, two runs are recorded
# (the second finds nothing new) and what a dry run asks besides, and its addresses are written as the vendors'.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root"
cargo build -q -p throughline -p company
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/record-twice.sh" <<'INNER'
set -eu
cd "$1"
mkdir -p inbox
for month in 2026-07 2026-08 2026-09; do
    if ls studio/inbox/$month-*.jsonl >/dev/null 2>&1; then
        cat studio/inbox/$month-*.jsonl | zstd -q -19 -f -o inbox/$month.jsonl.zst
    fi
done
cp studio/costs.csv studio/rates.csv .
for n in 0 1 2; do
    dry=
    [ $n -eq 0 ] && dry=--dry-run
    sed -e "s|^replay = .*|record = \"$n.jsonl\"\nclock = \"2026-09-30T09:00:00Z\"|" \
        -e "s|^counter = .*|&\npoll_after_s = 0\nbase_url = \"$COMPANY_METRIKA_BASE_URL\"|" \
        -e "s|^subdomain = .*|&\nbase_url = \"$COMPANY_AMOCRM_BASE_URL\"|" "$2/pipeline.toml" >pipeline.toml
    cp "$2/whatsapp-app-secret.txt" .
    METRICA_TOKEN=$COMPANY_METRIKA_TOKEN AMOCRM_TOKEN=$COMPANY_AMOCRM_LONG_LIVED_TOKEN \
        "$3" run pipeline.toml $dry
done
INNER
target/debug/company record --visits 2000 --crm-rps 0 --metrika-rps 0 --polls 1 --no-truth --out "$work/studio" -- \
    sh "$work/record-twice.sh" "$work" "$here" "$root/target/debug/throughline"
python3 - "$work" <<'PY'
import json, re, sys
work = sys.argv[1]
def vendor(match):
    path = match.group(1)
    crm = path.startswith("/api") or path.startswith("/oauth2")
    return ("https://studio.amocrm.ru" if crm else "https://api-metrika.yandex.net") + path
def asked(record):
    return record["method"], record["url"], record.get("request_body")
out, seq, answered = open(f"{work}/cassette.jsonl", "w"), 0, set()
for n in (1, 2, 0):
    for i, line in enumerate(open(f"{work}/{n}.jsonl")):
        line = re.sub(r"http://127\.0\.0\.1:\d+(/[a-z0-9]+)", vendor, line)
        record = json.loads(line)
        if i == 0:
            if n == 1:
                out.write(line)
            continue
        # What a dry run asks as a run does has its answer already.
        if n == 0 and asked(record) in answered:
            continue
        if n != 0:
            answered.add(asked(record))
        seq += 1
        record["seq"] = seq
        out.write(json.dumps(record, ensure_ascii=False) + "\n")
PY
rm -rf "$here/inbox"
zstd -q -19 -f "$work/cassette.jsonl" -o "$here/cassette.jsonl.zst"
cp -r "$work/inbox" "$work/costs.csv" "$work/rates.csv" "$here/"
ls -l "$here"
