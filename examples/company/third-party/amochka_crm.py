"""Reads the company's CRM with amochka and compares with the truth."""

import csv
import io
import json
import logging
import sys
import urllib.request

from amochka import AmoCRMClient
from amochka.client import CacheConfig

work = sys.argv[1]
facts = json.load(open(f"{work}/company.json"))
amo = facts["amocrm"]


def get(p):
    return urllib.request.urlopen(facts["url"] + p).read().decode()


# The one change: it accepts amoCRM's own domains only.
AmoCRMClient._validate_base_url = staticmethod(lambda url: url)
token_file = f"{work}/token.json"
with open(token_file, "w") as f:
    json.dump({**{k: amo[k] for k in ("access_token", "refresh_token", "client_id", "client_secret", "redirect_uri")},
               "expires_at": "2999-01-01T00:00:00"}, f)
client = AmoCRMClient(amo["base_url"], token_file=token_file, cache_config=CacheConfig.disabled(), log_level=logging.WARNING)

truth = json.loads(get("/_company/truth"))
deals = {int(r["lead_id"]): r for r in csv.DictReader(io.StringIO(get("/_company/truth/deals.csv")))}

leads = client.fetch_leads(include_contacts=True)
contacts = client.fetch_contacts()
events = client.fetch_events(limit=100)
users = client.fetch_users()
pipelines = client.fetch_pipelines()
print("leads", len(leads), "contacts", len(contacts), "events", len(events), "users", len(users), "pipelines", len(pipelines))
print("truth: leads", truth["leads"], "contacts", truth["contacts"], "events", truth["crm_events"])

assert len({x["id"] for x in leads}) == len(leads) == truth["leads"], "leads"
assert len({x["id"] for x in contacts}) == len(contacts) == truth["contacts"], "contacts"
assert len({x["id"] for x in events}) == len(events) == truth["crm_events"], "events"
assert len(users) == 6 and len(pipelines) == 2
for lead in leads:
    true = deals[lead["id"]]
    assert lead["price"] == int(true["value"]), (lead, true)
    assert lead["_embedded"]["contacts"][0]["id"] == int(true["contact_id"]), (lead, true)
won = sum(x["price"] for x in leads if x["status_id"] == 142)
assert won == truth["revenue"], (won, truth["revenue"])

times = sorted(x["updated_at"] for x in leads)
low, high = times[len(times) // 3], times[2 * len(times) // 3]
window = client.fetch_leads(updated_from=low, updated_to=high)
assert len(window) == sum(low <= t <= high for t in times), "the window is inclusive"
moved = client.fetch_events(event_type="lead_status_changed", limit=100)
assert moved and all(e["type"] == "lead_status_changed" for e in moved)

stats = json.loads(get("/_company/stats"))
assert stats["refreshes"] == 1, stats
print("refreshes", stats["refreshes"], "faults", stats["faults"], "statuses", stats["statuses"], "max_rps", stats["max_rps"])
print("OK: amochka reads the same leads, contacts and events as the company knows")
