"""Runs the connector's own check, discover and read, and compares what it read with the company's truth."""

import csv
import io
import json
import os
import subprocess
import sys
import urllib.request

work, source = sys.argv[1], sys.argv[2]
url = os.environ["COMPANY_URL"]
facts = json.load(open(f"{work}/company.json"))


def path(name, value):
    full = f"{work}/{name}"
    with open(full, "w") as f:
        json.dump(value, f)
    return full


def messages(*args):
    done = subprocess.run([source, *args], capture_output=True, text=True, timeout=600)
    out = []
    for line in done.stdout.splitlines():
        try:
            out.append(json.loads(line))
        except ValueError:
            pass
    if done.returncode != 0:
        sys.exit(f"{args[0]} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return out


def get(p):
    return urllib.request.urlopen(url + p).read().decode()


config = path(
    "config.json",
    {
        "auth_token": facts["metrika"]["token"],
        "counter_id": str(facts["metrika"]["counter_id"]),
        "start_date": "2024-03-01",
        "end_date": "2024-03-20",
    },
)
status = [m["connectionStatus"]["status"] for m in messages("check", "--config", config) if m["type"] == "CONNECTION_STATUS"]
print("check:", status)
assert status == ["SUCCEEDED"], status

streams = [m["catalog"]["streams"] for m in messages("discover", "--config", config) if m["type"] == "CATALOG"][0]
print("discover:", {s["name"]: len(s["json_schema"]["properties"]) for s in streams})
catalog = path(
    "catalog.json",
    {"streams": [{"stream": s, "sync_mode": "full_refresh", "destination_sync_mode": "append"} for s in streams]},
)

read = {"sessions": [], "views": []}
for m in messages("read", "--config", config, "--catalog", catalog):
    if m["type"] == "RECORD":
        read[m["record"]["stream"]].append(m["record"]["data"])

truth = json.loads(get("/_company/truth"))
visits = {r["visit_id"]: r for r in csv.DictReader(io.StringIO(get("/_company/truth/visits.csv")))}
print("read: sessions", len(read["sessions"]), "views", len(read["views"]))
print("truth: visits", truth["metrica_visits"], "hits", truth["metrica_hits"])

ids = {r["visitID"] for r in read["sessions"]}
assert len(ids) == len(read["sessions"]) == truth["metrica_visits"], "a visit is missing or doubled"
assert len({r["watchID"] for r in read["views"]}) == len(read["views"]) == truth["metrica_hits"], "a hit is missing"
assert set(visits) <= ids, "a true visit is missing"
for r in read["sessions"]:
    true = visits.get(r["visitID"])
    if true is None:
        continue  # a robot that is still there
    assert r["clientID"] == true["client_id"], (r, true)
    assert r["lastTrafficSource"] == true["traffic"], (r, true)
    assert true["token"] in r["parsedParamsKey2"], (r, true)
print("requests:", json.dumps(json.loads(get("/_company/stats"))["requests"]))
print("OK: airbyte-source-yandex-metrica reads the same visits and hits as the company knows")
