"""Reads the company's HubSpot with HubSpot's own client and compares with the truth."""

import csv
import io
import json
import sys
import urllib.request

import hubspot
from hubspot.crm.associations.v4 import BatchInputPublicFetchAssociationsBatchRequest, PublicFetchAssociationsBatchRequest
from hubspot.crm.deals import BatchReadInputSimplePublicObjectId, PublicObjectSearchRequest, SimplePublicObjectId
from hubspot.crm.deals.exceptions import ApiException

work = sys.argv[1]
facts = json.load(open(f"{work}/company.json"))


def get(p):
    return urllib.request.urlopen(facts["url"] + p).read().decode()


client = hubspot.Client.create(access_token=facts["hubspot"]["token"])


def at(api):
    """The client's one setting: where HubSpot is."""
    api.api_client.configuration.host = facts["url"]
    return api


truth = json.loads(get("/_company/truth"))
rows = list(csv.DictReader(io.StringIO(get("/_company/truth/deals.csv"))))
deals = {r["lead_id"]: r for r in rows}

basic = at(client.crm.deals.basic_api)
live, after = [], None
while True:
    page = basic.get_page(limit=100, after=after, archived=False)
    live += page.results
    if not page.paging:
        break
    after = page.paging.next.after
assert len({d.id for d in live}) == len(live) == truth["leads"], (len(live), truth["leads"])

search = at(client.crm.deals.search_api)
found, last = [], "0"
while True:
    page = search.do_search(PublicObjectSearchRequest(
        limit=200, properties=["dealname"], sorts=[{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        filter_groups=[{"filters": [{"propertyName": "hs_object_id", "operator": "GT", "value": last}]}]))
    if not found:
        assert page.total == truth["leads"], page.total
    found += page.results
    if len(page.results) == page.total:
        break
    last = page.results[-1].id
assert {d.id for d in found} == {d.id for d in live}
try:
    search.do_search(PublicObjectSearchRequest(limit=200, after="9900"))
    raise AssertionError("search goes on behind 10,000")
except ApiException as e:
    assert e.status == 400, e

batch = at(client.crm.deals.batch_api)
won = 0
newest = live[-1000:]
for n in range(0, len(newest), 50):
    ids = [d.id for d in newest[n:n + 50]]
    answer = batch.read(BatchReadInputSimplePublicObjectId(
        inputs=[SimplePublicObjectId(id=i) for i in ids],
        properties=["dealstage", "amount"], properties_with_history=["dealstage"]))
    assert {d.id for d in answer.results} == set(ids)
    for deal in answer.results:
        true = deals[deal.id]
        assert int(deal.properties["amount"] or 0) == int(true["value"]), (deal, true)
        stages = deal.properties_with_history["dealstage"]
        assert stages[0].value == deal.properties["dealstage"]
        is_won = deal.properties["dealstage"] in ("closedwon", "75121901")
        assert is_won == (true["status"] == "won"), (deal, true)
        won += is_won
assert won > 0

links = at(client.crm.associations.v4.batch_api)
ids = [d.id for d in newest[:100]]
answer = links.get_page("deals", "contacts", BatchInputPublicFetchAssociationsBatchRequest(
    inputs=[PublicFetchAssociationsBatchRequest(id=i) for i in ids]))
for result in answer.results:
    assert str(result.to[0].to_object_id) == deals[result._from.id]["contact_id"], result
print("live", len(live), "found", len(found), "won", won, "linked", len(answer.results))

owners = at(client.crm.owners.owners_api)
assert len(owners.get_page(limit=100).results) == 5 and len(owners.get_page(limit=100, archived=True).results) == 1
pipelines = at(client.crm.pipelines.pipelines_api).get_all("deals").results
assert len(pipelines) == 2 and pipelines[0].stages[4].metadata["isClosed"] == "true"
assert any(p.name == "studio_city" for p in at(client.crm.properties.core_api).get_all("deals").results)
print("hubspot_crm: ok")
