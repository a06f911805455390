"""Peak memory of a million rows through each connector: of the pull alone, and of the whole run behind it.

    ROWS=1000000 CONNECTORS=amocrm,sql_postgresql sh tools/bench.sh memory"""

import contextlib
import hashlib
import hmac
import json
import os
import tempfile
from pathlib import Path

from bench_postgres import PostgresMissing, cluster
from bench_singer import SPEND
from bench_singer import prepare as prepare_tap
from bench_studio import CRM, PIPELINE, keys, says, unthrottled
from measure import company, throughline

ROWS = int(os.environ.get("ROWS", 1_000_000))
MEMORY = os.environ.get("MEMORY", "100MB")

HUBSPOT = """
[[source]]
name = "crm"
connector = "rest"
manifest = "hubspot/manifest.toml"
hub_id = "{hub}"
base_url = "{url}"
token = {{ env = "HUBSPOT" }}
streams = ["deals", "pipelines"]
"""

# All that deals are made of: opportunities, their histories and contacts, open leads.
SALESFORCE = """
[[source]]
name = "crm"
connector = "salesforce"
org_id = "{org_id}"
client_id = "{client_id}"
client_secret = {{ env = "SALESFORCE" }}
login_url = "{login_url}"
phone_region = "RU"
most_run_percent = 100
"""

AIRBYTE = """
[[source]]
name = "ads"
connector = "airbyte"
command = "./source.sh"
catalog = "catalog.json"
[[source.mappings]]
into = "costs"
from = ["spend"]
sql = '''
SELECT 'ads' AS system, CAST(day AS DATE) AS day, campaign_id, campaign, CAST(impressions AS BIGINT) AS impressions,
  CAST(clicks AS BIGINT) AS clicks, minor_units(cost, 'RUB') AS cost_minor, 'RUB' AS currency
FROM spend
'''
"""

BITRIX24 = """
[[source]]
name = "crm"
connector = "rest"
manifest = "bitrix24/manifest.toml"
portal = "{portal}"
webhook = {{ env = "BITRIX24" }}
streams = ["deals"]
"""

METRICA = """
[[source]]
name = "metrica"
connector = "yandex_metrica"
base_url = "{url}"
counter = 98765432
token = {{ env = "YM" }}
start_on = "2026-08-01"
poll_after_s = 0
streams = ["visits"]
"""

FILE = """
[[source]]
name = "costs"
connector = "file"
path = "costs.{ending}"
into = "costs"
mapping = '''
SELECT system, CAST(day AS DATE) AS day, campaign_id, campaign, CAST(impressions AS BIGINT) AS impressions,
  CAST(clicks AS BIGINT) AS clicks, minor_units(CAST(cost AS VARCHAR), 'RUB') AS cost_minor, 'RUB' AS currency
FROM file
'''
"""

WHATSAPP = """
[[source]]
name = "whatsapp"
connector = "whatsapp"
inbox = "inbox/*.jsonl"
app_secret = { env = "WA" }
"""

TELEGRAM_EXPORT = """
[[source]]
name = "old_telegram"
connector = "telegram_export"
path = "result.json"
account = "123456789"
"""

WHATSAPP_EXPORT = """
[[source]]
name = "old_whatsapp"
connector = "whatsapp_export"
path = "chats/*.txt"
operators = ["Студия Роза"]
account = "79990001122"
time_zone = "Europe/Moscow"
phone_region = "RU"
"""

SQL = """
[[source]]
name = "shop"
connector = "sql"
server = "postgresql"
host = "127.0.0.1"
port = {port}
database = "postgres"
user = "reader"
password = {{ env = "DB" }}
tls = "off"
[[source.tables]]
name = "orders"
table = "orders"
key = ["id"]
cursor = "updated_at"
[[source.mappings]]
into = "deals"
from = ["orders"]
sql = '''
SELECT 'shop:' || CAST(id AS VARCHAR) AS deal_id, created_at, CASE state WHEN 'paid' THEN 'won' ELSE 'open' END AS state,
  state AS status, minor_units(total, 'RUB') AS value_minor, 'RUB' AS currency,
  CASE WHEN state = 'paid' THEN updated_at END AS closed_at, updated_at
FROM orders
'''
"""

# 150 bytes a row as text.
ORDERS = """
CREATE TABLE orders AS SELECT n AS id, (n % 100000)::numeric / 100 AS total,
  CASE WHEN n % 3 = 0 THEN 'paid' ELSE 'open' END AS state, md5(n::text) AS customer,
  repeat(md5((n % 1000)::text), 2) AS note,
  timestamptz '2026-01-01' + n * interval '20 seconds' AS created_at,
  timestamptz '2026-01-01' + n * interval '20 seconds' + interval '1 day' AS updated_at
FROM generate_series(1, {rows}) AS n;
ALTER TABLE orders ADD PRIMARY KEY (id); CREATE INDEX ON orders (updated_at, id); ANALYZE orders;
CREATE ROLE reader LOGIN PASSWORD 'reader'; GRANT SELECT ON orders TO reader;
"""


def crm(vendor, source):
    """A vendor of the company's whose leads are history, read by the connector's own manifest, if any, at full pace."""

    @contextlib.contextmanager
    def serve(folder):
        if vendor != "salesforce":
            unthrottled(folder, vendor)
        free = ["--hubspot-per-10s", "0", "--hubspot-searches", "0", "--bitrix24-burst", "0"]
        with company(folder, "--visits", "200", "--history", str(ROWS), *free) as (line, _):
            env = {**keys(line), "HUBSPOT": line["hubspot"]["token"], "BITRIX24": line["bitrix24"]["webhook"],
                   "SALESFORCE": line["salesforce"]["client_secret"]}
            yield source(line), env

    return serve


@contextlib.contextmanager
def metrica(folder):
    with company(folder, "--visits", str(ROWS), "--polls", "0", "--part-visits", "20000") as (line, _):
        yield METRICA.format(url=line["url"]), keys(line)


def file(ending):
    @contextlib.contextmanager
    def write(folder):
        names = ["system", "day", "campaign_id", "campaign", "impressions", "clicks", "cost"]
        with open(folder / f"costs.{ending}", "w") as out:
            if ending == "csv":
                print(",".join(names), file=out)
            for n in range(ROWS):
                day = f"2026-{1 + n % 9:02}-{1 + n % 28:02}"
                row = ["ads", day, str(n % 5000), f"Кампания {n % 5000}", n % 9000, n % 70, f"{n % 9999 / 100:.2f}"]
                print(",".join(map(str, row)) if ending == "csv" else json.dumps(dict(zip(names, row))), file=out)
        yield FILE.format(ending=ending), {}

    return write


@contextlib.contextmanager
def whatsapp(folder):
    """An inbox of so many signed deliveries, a message each, 1.1 kB a line."""
    secret = "0123456789abcdef0123456789abcdef"
    (folder / "inbox").mkdir()
    with open(folder / "inbox" / "2026-09.jsonl", "w") as out:
        for n in range(ROWS):
            phone, at = str(79_000_000_000 + n // 4), 1_788_000_000 + n
            message = {"from": phone, "id": f"wamid.{n:024x}", "timestamp": str(at), "type": "text",
                       "text": {"body": f"Здравствуйте! Сколько стоит съёмка? {n}"}}
            value = {"messaging_product": "whatsapp",
                     "metadata": {"display_phone_number": "74951230011", "phone_number_id": "106540352242922"},
                     "contacts": [{"profile": {"name": "Анна"}, "wa_id": phone}], "messages": [message]}
            body = json.dumps({"object": "whatsapp_business_account", "entry": [
                {"id": "419561257915477", "changes": [{"field": "messages", "value": value}]}]})
            signed = "sha256=" + hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()
            line = {"received_at": (at + 1) * 1_000_000, "headers": {"x-hub-signature-256": signed}, "body": body}
            print(json.dumps(line), file=out)
    yield WHATSAPP, {"WA": secret}


@contextlib.contextmanager
def telegram_export(folder):
    """One account's export, in one file: a thousand messages a chat, 330 bytes each."""
    with open(folder / "result.json", "w") as out:
        out.write('{"personal_information": {"user_id": 123456789}, "chats": {"about": "", "list": [')
        for n in range(ROWS):
            chat, at = 1_000 + n // 1_000, 1_788_000_000 + n
            if n % 1_000 == 0:
                out.write((", " if n else "") + json.dumps({"name": "Анна", "type": "personal_chat", "id": chat})[:-1])
                out.write(', "messages": [')
            text = f"Здравствуйте! Сколько стоит съёмка? {n}"
            message = {"id": n, "type": "message", "date": "2026-09-01T13:00:00", "date_unixtime": str(at),
                       "from": "Анна", "from_id": f"user{chat if n % 2 else 123456789}", "text": text,
                       "text_entities": [{"type": "plain", "text": text}]}
            out.write((", " if n % 1_000 else "") + json.dumps(message, ensure_ascii=False))
            if n % 1_000 == 999 or n == ROWS - 1:
                out.write("]}")
        out.write("]}}")
    yield TELEGRAM_EXPORT, {}


@contextlib.contextmanager
def whatsapp_export(folder):
    """Chats of ten thousand messages each, a file each."""
    (folder / "chats").mkdir()
    for chat in range(0, ROWS, 10_000):
        with open(folder / "chats" / f"{79_000_000_000 + chat}.txt", "w") as out:
            for n in range(chat, min(chat + 10_000, ROWS)):
                minute = n - chat
                at = f"{13 + minute // 1440}.03.2026, {minute // 60 % 24:02}:{minute % 60:02}"
                name = "Студия Роза" if n % 2 else "Анна"
                print(f"{at} - {name}: Здравствуйте! Сколько стоит съёмка? {n}", file=out)
    yield WHATSAPP_EXPORT, {}


@contextlib.contextmanager
def postgresql(folder):
    with cluster(ORDERS.format(rows=ROWS)) as port:
        yield SQL.format(port=port), {"DB": "reader"}


@contextlib.contextmanager
def singer(folder):
    prepare_tap(folder, ROWS)
    yield SPEND, {}


@contextlib.contextmanager
def airbyte(folder):
    """A source that prints a prepared file: a record of 250 bytes a row, and a state that counts them."""
    texts, numbers = ["day", "campaign_id", "campaign"], ["id", "impressions", "clicks", "cost"]
    schema = {"type": "object", "properties": {**{name: {"type": "string"} for name in texts},
                                               **{name: {"type": "number"} for name in numbers}}}
    stream = {"name": "spend", "json_schema": schema, "supported_sync_modes": ["full_refresh"],
              "source_defined_primary_key": [["id"]]}
    catalog = json.dumps({"type": "CATALOG", "catalog": {"streams": [stream]}})
    (folder / "catalog.json").write_text(catalog)
    status = {"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 1_790_000_000_000, "stream_status": {
        "stream_descriptor": {"name": "spend"}, "status": "COMPLETE"}}}
    with open(folder / "read.airbyte", "w") as out:
        for n in range(ROWS):
            data = {"id": n, "day": f"2026-{1 + n % 9:02}-{1 + n % 28:02}", "campaign_id": str(n % 500),
                    "campaign": f"Кампания {n % 500}", "impressions": n % 9000, "clicks": n % 70, "cost": n % 9999 / 100}
            record = {"stream": "spend", "data": data, "emitted_at": 1_790_000_000_000}
            print(json.dumps({"type": "RECORD", "record": record}, ensure_ascii=False), file=out)
        state = {"type": "STREAM", "stream": {"stream_descriptor": {"name": "spend"}, "stream_state": {"id": ROWS}},
                 "sourceStats": {"recordCount": ROWS}}
        print(json.dumps({"type": "STATE", "state": state}), file=out)
        print(json.dumps(status), file=out)
    source = folder / "source.sh"
    source.write_text(f"#!/bin/sh\ncase $1 in discover) exec cat {folder}/catalog.json;; read) exec cat {folder}/read.airbyte;; esac\n")
    source.chmod(0o755)
    yield AIRBYTE, {}


CONNECTORS = {
    "amocrm": crm("amocrm", lambda line: CRM.format(url=line["url"], streams='streams = ["leads"]')),
    "hubspot": crm("hubspot", lambda line: HUBSPOT.format(url=line["url"], hub=line["hubspot"]["hub_id"])),
    "bitrix24": crm("bitrix24", lambda line: BITRIX24.format(portal=line["bitrix24"]["portal"])),
    "salesforce": crm("salesforce", lambda line: SALESFORCE.format(**line["salesforce"])),
    "yandex_metrica": metrica,
    "whatsapp": whatsapp,
    "telegram_export": telegram_export,
    "whatsapp_export": whatsapp_export,
    "file_csv": file("csv"),
    "file_jsonl": file("jsonl"),
    "sql_postgresql": postgresql,
    "singer": singer,
    "airbyte": airbyte,
}


def measured(connector):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with CONNECTORS[connector](folder) as (source, env):
            (folder / "pipeline.toml").write_text(PIPELINE.format(memory=MEMORY, keep="false") + source)
            tables = folder / ".throughline" / "bench" / "tables"
            mark = {"landed": lambda: tables.is_dir() and any(tables.iterdir())}
            report, ran = throughline(folder, "run", marks=mark, env=env)
    landed = ran.marks["landed"]
    says(f"{connector}: {report['rows']} rows, {landed.peak_mb:.0f} MB ({landed.cpu_s:.1f} CPU s,"
         f" {report['rows'] / landed.cpu_s:,.0f} rows per CPU-second); the whole run {ran.all.peak_mb:.0f} MB"
         f" ({ran.all.cpu_s:.1f} CPU s)")
    if report["rows"] < ROWS:
        raise SystemExit(f"{connector}: {report['rows']} rows came, {ROWS} were asked for")


def memory():
    says(f"== Peak memory of {ROWS} rows through each connector, memory = \"{MEMORY}\": while they land, and of the whole run")
    chosen = os.environ.get("CONNECTORS", ",".join(CONNECTORS)).split(",")
    if unknown := [c for c in chosen if c not in CONNECTORS]:
        raise SystemExit(f"no such connector here: {', '.join(unknown)}; there are {', '.join(CONNECTORS)}")
    for connector in chosen:
        try:
            measured(connector)
        except PostgresMissing:
            says(f"{connector}: PostgreSQL is not installed, nothing is measured")
