"""Singer: rows a second from a tap to typed Parquet, ours beside target-parquet's. See bench-singer.sh."""

import json
import os
import sys
import tempfile
from pathlib import Path

from measure import machine, run, throughline

ROWS = int(os.environ.get("ROWS", 1_000_000))
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "day": {"type": "string", "format": "date"},
        "campaign_id": {"type": "string"},
        "campaign": {"type": ["string", "null"]},
        "impressions": {"type": "integer"},
        "clicks": {"type": "integer"},
        "cost": {"type": "number"},
        "updated_at": {"type": "string", "format": "date-time"},
    },
}

PIPELINE = """
[pipeline]
name = "bench"
[attribution]
reporting_currency = "RUB"
[[sink]]
name = "lake"
connector = "parquet"
path = "out"
"""

SPEND = """
[[source]]
name = "ads"
connector = "singer"
command = "./tap.sh"
catalog = "catalog.json"
[[source.mappings]]
into = "costs"
from = ["spend"]
sql = '''
SELECT 'ads' AS system, CAST(day AS DATE) AS day, campaign_id, campaign, impressions, clicks,
       minor_units(cost, 'RUB') AS cost_minor, 'RUB' AS currency
FROM spend
'''
"""

# What it misses since Python 3.10; nothing else of it is changed.
START = (
    "import collections, collections.abc; collections.MutableMapping = collections.abc.MutableMapping; "
    "import target_parquet; target_parquet.main()"
)


def prepare(folder, rows):
    """A tap of so many rows, 270 bytes each: what campaigns cost by day."""
    with open(folder / "rows.singer", "w") as file:
        print(json.dumps({"type": "SCHEMA", "stream": "spend", "schema": SCHEMA, "key_properties": ["id"]}), file=file)
        for i in range(rows):
            record = {
                "id": i,
                "day": f"2026-{1 + i % 9:02}-{1 + i % 28:02}",
                "campaign_id": str(i % 500),
                "campaign": f"Кампания {i % 500}",
                "impressions": i % 9000,
                "clicks": i % 70,
                "cost": i % 9999 / 100,
                "updated_at": "2026-09-30T08:00:00Z",
            }
            message = {"type": "RECORD", "stream": "spend", "record": record, "time_extracted": "2026-09-30T08:00:00Z"}
            print(json.dumps(message, ensure_ascii=False), file=file)
        print(json.dumps({"type": "STATE", "value": {"bookmarks": {"spend": {"id": rows}}}}), file=file)
    catalog = {"streams": [{"tap_stream_id": "spend", "stream": "spend", "schema": SCHEMA, "key_properties": ["id"]}]}
    (folder / "catalog.json").write_text(json.dumps(catalog))
    tap = folder / "tap.sh"
    tap.write_text(f"#!/bin/sh\nexec cat {folder}/rows.singer\n")
    tap.chmod(0o755)
    (folder / "target.json").write_text(json.dumps({"disable_collection": True, "destination_path": "target"}))
    (folder / "target").mkdir()


def main(target):
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder, ROWS)
        (folder / "pipeline.toml").write_text(PIPELINE + SPEND)
        report, ours = throughline(folder, "run", "pipeline.toml")
        stream = report["streams"][0]
        landed, landing_s = stream["rows"], stream["elapsed_ms"] / 1000
        if landed != ROWS:
            raise SystemExit(f"{landed} rows landed, of {ROWS}")
        print(f"tap to typed, durable Parquet: {landed / landing_s:,.0f} rows/s ({landing_s:.2f} s)")
        print(
            f"the whole run, with mapping, attribution, all tables published: {ROWS / ours.all.wall_s:,.0f} rows/s "
            f"({ours.all.wall_s:.2f} s, {ours.all.cpu_s:.2f} CPU s, {ours.all.peak_mb:.0f} MB)"
        )
        if not target.exists():
            return
        command = f'./tap.sh | "{target}" -c "{START}" --config target.json'
        theirs = run(["sh", "-c", command], folder)
        written = list((folder / "target").iterdir())
        if theirs.code != 0 or len(written) != 1 or '"id": ' not in theirs.stdout:
            raise SystemExit(f"target-parquet: exit code {theirs.code}\n{theirs.stderr[-2000:]}")
        print(
            f"tap | target-parquet: {ROWS / theirs.all.wall_s:,.0f} rows/s "
            f"({theirs.all.wall_s:.2f} s, {theirs.all.cpu_s:.2f} CPU s, {theirs.all.peak_mb:.0f} MB)"
        )
        print(
            f"ours, to Parquet: {theirs.all.wall_s / landing_s:.1f} times its rows a second; "
            f"the whole run: {theirs.all.wall_s / ours.all.wall_s:.1f} times"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
