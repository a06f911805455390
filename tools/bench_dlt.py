"""Nested CRM deals from a REST server into Parquet: ours beside the PyPI package dlt, one server, one run."""

import json
import os
import tempfile
import urllib.request
from pathlib import Path

from bench_studio import CRM, PIPELINE, unthrottled, keys, says
from measure import ROOT, company, run, throughline

DEALS = int(os.environ.get("DEALS", 400_000))
PYTHON = ROOT / "target" / "bench-dlt" / "bin" / "python"
WAYS = {
    "tables": "as dlt comes: a table for each list in a deal",
    "columns": "dlt at its fastest: lists stay columns of JSON (max_table_nesting 0), as with us; writes of 50,000 rows",
}
# Nothing but loopback is asked, and nothing of the user's own settings is read.
QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
FAST = {"DATA_WRITER__BUFFER_MAX_ITEMS": "50000"}


def sent(line):
    with urllib.request.urlopen(line["url"] + "/_company/stats") as stats:
        return json.load(stats)["body_bytes"]


def ours(folder, line):
    unthrottled(folder, "amocrm")
    text = PIPELINE.format(memory="100MB", keep="false") + CRM.format(url=line["url"], streams='streams = ["leads"]')
    (folder / "pipeline.toml").write_text(text)
    tables = folder / ".throughline" / "bench" / "tables"
    landed = {"landed": lambda: tables.is_dir() and any(tables.iterdir())}
    report, ran = throughline(folder, "run", marks=landed, env=keys(line))
    # Each deal once, as dlt counts: those that lie on the edge of two questions are asked for twice.
    deals = next(table["rows"] for table in report["canonical"] if table["table"] == "deals")
    return deals, ran.marks["landed"], ran.all


def theirs(folder, line, way):
    folder.mkdir()
    env = {**QUIET, **(FAST if way == "columns" else {}), "TOKEN": keys(line)["AMO"], "HOME": str(folder)}
    ran = run([PYTHON, ROOT / "tools" / "dlt_pull.py", line["url"], folder, way], folder, env)
    if ran.code != 0:
        raise SystemExit(f"dlt: exit code {ran.code}\n{ran.stdout[-2000:]}{ran.stderr[-4000:]}")
    return json.loads(ran.stdout.strip().splitlines()[-1]), ran.all


def dlt():
    says(f"== {DEALS} nested amoCRM deals over HTTP into Parquet, ours and dlt's, from one server")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Few visits: nearly all deals are history, and everybody reads all of them.
        with company(folder, "--visits", "200", "--history", str(DEALS)) as (line, _):
            rows, landed, whole = ours(folder, line)
            pace = rows / landed.cpu_s
            says(f"ours, to typed and durable Parquet: {pace:,.0f} rows per CPU-second ({rows} rows of"
                 f" {sent(line) / rows:.0f} bytes, {landed.cpu_s:.2f} CPU s, {landed.wall_s:.1f} s, {landed.peak_mb:.0f} MB)")
            says(f"ours, the whole run with mapping, attribution and all tables published:"
                 f" {rows / whole.cpu_s:,.0f} rows per CPU-second")
            if not PYTHON.exists():
                says("dlt is not installed: nothing is compared with it")
                return
            for way, told in WAYS.items():
                came, spent = theirs(folder / way, line, way)
                if came["rows"] != rows:
                    raise SystemExit(f"dlt read {came['rows']} deals, we read {rows}")
                their_pace = rows / spent.cpu_s
                says(f"{told}: {their_pace:,.0f} rows per CPU-second ({came['tables']} tables, {came['all_rows']} rows in all,"
                     f" {spent.cpu_s:.1f} CPU s, {spent.wall_s:.1f} s, {spent.peak_mb:.0f} MB);"
                     f" ours is {pace / their_pace:.0f} times that, our whole run {rows / whole.cpu_s / their_pace:.1f} times")
