"""What the parts of bench.py share: the studio's pipeline, its keys, the amoCRM connector at full pace."""

import os
import re
import shutil
from pathlib import Path

from measure import ROOT

PIPELINE = """
[pipeline]
name = "bench"
[http]
clock = "2026-09-30T09:00:00Z"
[engine]
memory = "{memory}"
keep_steps = {keep}
[attribution]
reporting_currency = "RUB"
[[sink]]
name = "lake"
connector = "parquet"
path = "out"
"""

CRM = """
[[source]]
name = "crm"
connector = "rest"
manifest = "amocrm/manifest.toml"
subdomain = "studio"
base_url = "{url}"
token = {{ env = "AMO" }}
{streams}
"""

STUDIO = """
[[source]]
name = "metrica"
connector = "yandex_metrica"
base_url = "{url}"
counter = 98765432
token = {{ env = "YM" }}
start_on = "2026-08-01"
poll_after_s = 0
[[source]]
name = "costs"
connector = "file"
path = "studio/costs.csv"
into = "costs"
mapping = '''
SELECT system, account, CAST(day AS DATE) AS day, source, medium, campaign_id, campaign, adgroup_id, ad_id, ad, keyword,
  CAST(impressions AS BIGINT) AS impressions, CAST(clicks AS BIGINT) AS clicks, minor_units(cost, currency) AS cost_minor, currency
FROM file
'''
[[source]]
name = "rates"
connector = "file"
path = "studio/rates.csv"
into = "exchange_rates"
[[source]]
name = "whatsapp"
connector = "whatsapp"
inbox = "studio/inbox/*.jsonl"
app_secret = {{ env = "WA" }}
"""


def manifest_of(folder, vendor):
    """The connector's own manifest and mappings, which the company is read by: a built-in one asks the vendor."""
    target = folder / vendor
    shutil.copytree(Path(os.environ.get("CONNECTORS_FROM", ROOT / "connectors" / "src")) / vendor, target)
    return target / "manifest.toml"


def unthrottled(folder, vendor):
    """As [`manifest_of`]; only the pace differs, which a vendor would not allow."""
    manifest = manifest_of(folder, vendor)
    text, found = re.subn(r"(?m)^(per_second|burst) = \d+$", r"\1 = 1000", manifest.read_text())
    if found < 2:
        raise SystemExit(f"the manifest of {vendor} has no per_second and burst to lift")
    manifest.write_text(text)


def keys(line):
    return {
        "AMO": line["amocrm"]["long_lived_token"],
        "YM": line["metrika"]["token"],
        "WA": line["whatsapp"]["app_secret"],
    }


def says(text):
    print(text, flush=True)
