"""Many pipelines in one daemon, each pulling pages of amoCRM leads at the vendor's pace, all at once.

    PIPELINES=100 SECONDS=60 sh tools/bench.sh daemon"""

import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

from bench_studio import keys, manifest_of, says
from measure import RELEASE, company, spent_now

PIPELINES = int(os.environ.get("PIPELINES", 100))
SECONDS = int(os.environ.get("SECONDS", 60))
# The manifest's own pace: 5 pages of 250 a second and account.
LEADS = 5 * 250 * (SECONDS + 60)

PIPELINE = """
[pipeline]
name = "shop_{n}"
[schedule]
cron = "{cron}"
[attribution]
reporting_currency = "RUB"
[[source]]
name = "crm"
connector = "rest"
manifest = "amocrm/manifest.toml"
subdomain = "shop{n}"
base_url = "{url}"
token = {{ env = "AMO" }}
streams = ["leads"]
[[sink]]
name = "lake"
connector = "parquet"
path = "out/{n}"
"""


def resident_mb(pid):
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("VmRSS:"))) / 1024


def pages(line):
    with urllib.request.urlopen(line["url"] + "/_company/stats") as stats:
        return sum(n for path, n in json.load(stats)["requests"].items() if path.endswith(" /api/v4/leads"))


class Daemon:
    """`throughline schedule` of a folder; gone with the block, at once."""

    def __init__(self, folder, env):
        self.log = open(folder / "daemon.log", "w")
        command = [RELEASE / "throughline", "--json", "schedule", folder, "--parallel", str(PIPELINES)]
        self.began = time.monotonic()
        self.child = subprocess.Popen(
            [str(c) for c in command], env={**os.environ, **env}, stdout=self.log, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _ in range(2):
            self.child.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        self.child.wait()
        self.log.close()

    def spent(self):
        spent = spent_now(self.child.pid, self.began)
        if spent is None:
            raise SystemExit("the daemon has ended:\n" + Path(self.log.name).read_text()[-4000:])
        return spent

    def resident_mb(self):
        self.spent()
        return resident_mb(self.child.pid)


def empty():
    with tempfile.TemporaryDirectory() as name, Daemon(Path(name), {}) as daemon:
        time.sleep(3)
        return daemon.resident_mb()


def daemon():
    says(f"== {PIPELINES} pipelines in one daemon, each pulling 5 pages a second for {SECONDS} s")
    nothing_mb = empty()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest_of(folder, "amocrm")
        with company(folder, "--visits", "200", "--history", str(LEADS)) as (line, server):
            # All begin in one second, when all are loaded.
            at = datetime.now(timezone.utc) + timedelta(seconds=20)
            cron = f"{at.second} {at.minute} {at.hour} * * *"
            for n in range(PIPELINES):
                (folder / f"shop_{n}.toml").write_text(PIPELINE.format(n=n, cron=cron, url=line["url"]))
            with Daemon(folder, keys(line)) as running:
                time.sleep(15)
                loaded_mb = running.resident_mb()
                time.sleep(15)
                before, server_before, first = running.spent(), spent_now(server, 0), pages(line)
                seen = []
                while running.spent().wall_s < before.wall_s + SECONDS:
                    seen.append(running.resident_mb())
                    time.sleep(0.5)
                after, server_after, last = running.spent(), spent_now(server, 0), pages(line)
                log = (folder / "daemon.log").read_text().splitlines()
            ended = [event for event in log if '"finished"' in event]
            if ended:
                raise SystemExit(f"{len(ended)} runs ended before they were looked at: {ended[0]}")
            began = sum('"started"' in event for event in log)
            if began != PIPELINES or last == first:
                raise SystemExit(f"{began} of {PIPELINES} pipelines began, {last - first} pages were asked for: " + "\n".join(log[:3]))
    wall = after.wall_s - before.wall_s
    pace = (last - first) / wall
    peak = max(seen)
    says(f"{pace:.0f} pages of 250 leads a second ({pace / PIPELINES:.2f} each) for {wall:.0f} s:"
         f" {(after.cpu_s - before.cpu_s) / wall:.2f} CPU s a second, {1000 * (after.cpu_s - before.cpu_s) / wall / PIPELINES:.1f} ms"
         f" for each pipeline (the company's server {(server_after.cpu_s - server_before.cpu_s) / wall:.2f} beside it)")
    says(f"resident: {nothing_mb:.0f} MB with no pipeline, {loaded_mb:.0f} MB with {PIPELINES} loaded,"
         f" {sum(seen) / len(seen):.0f} MB on average and {peak:.0f} MB at most while all pull:"
         f" {(peak - nothing_mb) / PIPELINES:.1f} MB for each at most")
