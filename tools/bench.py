"""`make bench`: what docs/performance.md describes, measured now, in one run, on this machine."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import bench_daemon
import bench_dlt
import bench_memory
from bench_studio import CRM, PIPELINE, STUDIO, unthrottled, keys, says
from measure import RELEASE, ROOT, company, machine, run, throughline

LEADS = int(os.environ.get("LEADS", 1_000_000))
VISITS = int(os.environ.get("VISITS", 200_000))
MEMORY = os.environ.get("MEMORY", "100MB")
SCALES = [int(n) for n in os.environ.get("SCALES", "1000000,10000000").split(",")]

def columns():
    says("== JSON to columns (connectors/examples/bench_records.rs)")
    says(subprocess.run([RELEASE / "examples" / "bench_records"], check=True, capture_output=True, text=True).stdout.strip())


def land(streams, title):
    says(f"== {title}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unthrottled(folder, "amocrm")
        with company(folder, "--visits", "200", "--history", str(LEADS)) as (line, _):
            text = PIPELINE.format(memory=MEMORY, keep="false") + CRM.format(url=line["url"], streams=streams)
            (folder / "pipeline.toml").write_text(text)
            tables = folder / ".throughline" / "bench" / "tables"
            report, ran = throughline(
                folder, "run", marks={"landed": lambda: tables.is_dir() and any(tables.iterdir())}, env=keys(line)
            )
            with urllib.request.urlopen(line["url"] + "/_company/stats") as stats:
                sent = json.load(stats)["body_bytes"]
        rows, landed = report["rows"], ran.marks["landed"]
        for stream in report["streams"]:
            if stream["rows"]:
                says(
                    f"{stream['stream']}: {stream['rows']} rows, {stream['bytes'] / 1e6:.0f} MB of Parquet,"
                    f" {stream['elapsed_ms'] / 1000:.1f} s"
                )
        then = ran.all.cpu_s - landed.cpu_s
        says(f"to typed Parquet: {rows / landed.cpu_s:.0f} rows per CPU-second ({rows} rows,"
             f" {sent / 1e6:.0f} MB of JSON, {landed.cpu_s:.2f} CPU s, {landed.wall_s:.1f} s)")
        says(f"  peak memory while landing: {landed.peak_mb:.0f} MB")
        says(f"then mapping, attribution, publishing: {then:.2f} CPU s, {ran.all.wall_s - landed.wall_s:.1f} s")
        if os.environ.get("KEEP"):
            shutil.copytree(folder, os.environ["KEEP"], dirs_exist_ok=True)
        says(f"  peak memory of the whole run: {ran.all.peak_mb:.0f} MB with memory = \"{MEMORY}\"")


def attribution():
    says(f"== {VISITS} visits: everything, then attribution alone")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unthrottled(folder, "amocrm")
        with company(folder, "--visits", str(VISITS), "--polls", "0", "--part-visits", "20000", "--out", "studio") as (line, _):
            text = PIPELINE.format(memory="512MB", keep="true") + CRM.format(url=line["url"], streams="") + STUDIO.format(url=line["url"])
            (folder / "pipeline.toml").write_text(text)
            epochs = folder / ".throughline" / "bench" / "tables"
            report, ran = throughline(
                folder, "run", marks={"landed": lambda: epochs.is_dir() and any(epochs.iterdir())}, env=keys(line)
            )
            landed = ran.marks["landed"]
            mapped = sum(t["rows"] for t in report["canonical"])
            says(f"read {report['rows']} rows: {landed.wall_s:.1f} s, {landed.cpu_s:.1f} CPU s, peak {landed.peak_mb:.0f} MB")
            says(f"map, attribute, publish: {ran.all.wall_s - landed.wall_s:.1f} s, {ran.all.cpu_s - landed.cpu_s:.1f} CPU s, peak of all {ran.all.peak_mb:.0f} MB")
        [epoch] = [e for e in epochs.iterdir() if e.is_dir()]
        spans = step_seconds(epoch)
        whole = sum(s for _, s in spans)
        says(f"attribution of {mapped} canonical rows: {whole:.2f} s, {mapped / whole:.0f} rows per second, {len(spans)} steps")
        slowest = sorted(spans, key=lambda s: -s[1])[:5]
        says("  slowest: " + ", ".join(f"{n} {s:.2f} s" for n, s in slowest))
        compare = run([sys.executable, ROOT / "tools" / "portable.py", epoch], folder)
        says((compare.stdout + compare.stderr).strip())
        if compare.code != 0:
            raise SystemExit(compare.code)


def step_seconds(epoch):
    """Seconds of each step, told by when the last file of each was finished."""
    def finished(folder):
        return max((f.stat().st_mtime for f in folder.rglob("*.parquet")), default=None)

    before = max(filter(None, (finished(f) for f in (epoch / "canonical").iterdir() if f.is_dir())))
    spans = []
    for folder in sorted((epoch / "attribution").iterdir()):
        if at := finished(folder):
            spans.append((folder.name[4:], at - before))
            before = at
    return spans


# As the program sets it for itself (cli/src/allocator.rs); the example is a program of its own.
ALLOCATOR = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": str(256 << 10), "MALLOC_TRIM_THRESHOLD_": str(1 << 20)}


def scale():
    """Each number of visits by a fresh process; DuckDB's steps read what ours kept."""
    attribute = RELEASE / "examples" / "attribute"
    models = ["first_touch", "last_touch", "last_non_direct", "linear", "position_based", "time_decay", "markov", "shapley"]
    for visits in SCALES:
        says(f"== {visits} generated visits (core/attribution/examples/attribute), 1 GiB")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            settings = folder / "settings.json"
            settings.write_text(json.dumps({"models": models}))
            subprocess.run([attribute, "generate", folder, str(visits)], check=True, capture_output=True)
            for title, arguments in ("six rule models", []), ("with markov and shapley", [settings]):
                says(f"{title}: {attributed([attribute, 'run', folder, '1024', '2', *arguments], folder, visits)}")
            kept = run([attribute, "run", folder, "1024", "2"], folder, env={**ALLOCATOR, "KEEP_STEPS": "1"})
            if kept.code != 0:
                raise SystemExit(kept.stderr)
            going_on(attribute, folder)
            # The instant of examples/attribute: the 200th day.
            now_us = 1_782_864_000_000_000 + 200 * 86_400_000_000
            compare = run([sys.executable, ROOT / "tools" / "portable.py", folder, str(now_us)], folder)
            says((compare.stdout + compare.stderr).strip())
            if compare.code != 0:
                raise SystemExit(compare.code)


def going_on(attribute, folder):
    """A run with one visit in a hundred new, beside the run before it that computed everything."""
    subprocess.run([attribute, "split", folder, "10"], check=True, capture_output=True)
    ran = run([attribute, "again", folder, "1024", "2"], folder, env=ALLOCATOR)
    if ran.code != 0:
        raise SystemExit(ran.stderr)
    whole, part = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    says(f"going on with 1% new: {part['cpu_s']:.1f} CPU s of {whole['cpu_s']:.1f} ({part['cpu_s'] / whole['cpu_s']:.1%}),"
         f" {part['wall_s']:.1f} s; {json.dumps(part['scope'])}")


def attributed(command, folder, visits):
    ran = run(command, folder, env=ALLOCATOR)
    if ran.code != 0:
        raise SystemExit(ran.stderr)
    told = json.loads(ran.stdout.strip().splitlines()[-1])
    return (f"{told['cpu_s']:.1f} CPU s, {told['wall_s']:.1f} s, {visits / told['cpu_s']:.0f} visits per CPU-second,"
            f" peak {ran.all.peak_mb:.0f} MB")


def markov():
    says("== Markov attribution against ChannelAttribution (tools/markov.py)")
    compared = run([sys.executable, ROOT / "tools" / "markov.py", "--no-machine"], ROOT)
    says((compared.stdout + compared.stderr).strip())
    if compared.code != 0:
        raise SystemExit(compared.code)


def receive():
    says("== Webhooks received, durable before they are answered (core/receiver/examples/load.rs)")
    says(subprocess.run([RELEASE / "examples" / "load", "10"], check=True, capture_output=True, text=True).stdout.strip())


def receive_memory():
    says("== Memory while webhooks are received for five minutes (core/receiver/examples/load.rs)")
    load = subprocess.run([RELEASE / "examples" / "load", "300", "flat"], capture_output=True, text=True)
    says((load.stdout + load.stderr).strip())
    if load.returncode != 0:
        raise SystemExit(load.returncode)


PARTS = {
    "columns": columns,
    "land": lambda: land('streams = ["leads"]', f"{LEADS} amoCRM leads, from REST JSON to published tables"),
    "land-all": lambda: land("", f"amoCRM with {LEADS} leads, all streams at once"),
    "dlt": bench_dlt.dlt,
    "memory": bench_memory.memory,
    "daemon": bench_daemon.daemon,
    "attribution": attribution,
    "scale": scale,
    "markov": markov,
    "receive": receive,
    "receive-memory": receive_memory,
}
# Minutes of waiting: only when named.
LONG = {"receive-memory", "scale"}

if __name__ == "__main__":
    chosen = sys.argv[1:] or [part for part in PARTS if part not in LONG]
    if unknown := [c for c in chosen if c not in PARTS]:
        raise SystemExit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    says(machine())
    for part in chosen:
        PARTS[part]()
