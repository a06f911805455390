"""Runs the portable attribution steps on DuckDB over what Throughline left on disk, and compares.

    python tools/portable.py STATE/PIPELINE/tables/EPOCH [NOW_US [MEMORY]]    (default [attribution], in RUB)

Every step gets the inputs our engine had, so that one difference does not show up twice. Compared are the row
count and, column by column, an order-free checksum; floats to 9 digits. Prints what the steps took DuckDB.
The steps' SQL is taken as it is. What the steps stand on (views over canonical tables, lists of the settings) is
written anew here, in DuckDB's own words.
"""

import os
import re
import sys
import tempfile
import time
from pathlib import Path

try:
    import duckdb
except ImportError:
    print("SKIPPED: portable SQL on DuckDB: the Python package duckdb is not installed")
    raise SystemExit(0)

ROOT = Path(__file__).resolve().parent.parent
STEPS = ROOT / "core" / "attribution" / "src" / "steps"
US_PER_DAY = 86_400_000_000
MODELS = ["first_touch", "last_touch", "last_non_direct", "linear", "position_based", "time_decay"]


def default_params(epoch, db):
    now = int(sys.argv[2]) if len(sys.argv) > 2 else 1_790_758_800_000_000
    [[params_hash]] = db.sql(f"SELECT coalesce(max(params_hash), '') FROM {parquet(folder_of(epoch, 'attribution'))}").fetchall()
    return {
        "gap_us": US_PER_DAY, "response_us": US_PER_DAY, "lookback_us": 30 * US_PER_DAY, "half_life_us": 7 * US_PER_DAY,
        "window_us": 60_000_000, "now_us": now, "from_us": -9 * 10**18, "to_us": 9 * 10**18,
        "first_weight": 2, "last_weight": 2, "between_weight": 1, "units_per_one": 100,
        "reset": False, "exclude_refunded": False, "deal_source_touches": True,
        "with_lead": True, "with_qualified": True, "with_won": True,
        "target_us": 7 * US_PER_DAY, "target": "lead", "goods_millionths": 0,
        "broadcast_touches": "delivered", "sep": "\x1f", "reporting": "RUB", "params_hash": params_hash,
    }


def literal(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"CAST({value} AS BIGINT)"
    if value == "\x1f":
        return "chr(31)"
    return "'" + value.replace("'", "''") + "'"


def parquet(folder):
    return f"read_parquet('{folder}/*.parquet')"


def folder_of(epoch, step):
    found = [f for f in sorted((epoch / "attribution").iterdir()) if f.name[4:] == step]
    return found[-1] if found else None


def canonical_tables():
    """(table, [(column, kind, required)]) from the one place that says it."""
    text = (ROOT / "core" / "model" / "src" / "canonical.rs").read_text()
    for part in re.split(r"CanonicalTable \{\s+name: ", text)[1:]:
        name = re.match(r'"(\w+)"', part).group(1)
        columns = re.findall(r'\b(req|opt)\(\s*"(\w+)",\s*(?:ColumnType::)?(\w+),', part)
        yield name, [(column, kind, word == "req") for word, column, kind in columns]


DUCK_TYPES = {
    "Text": "VARCHAR", "Int": "BIGINT", "Bool": "BOOLEAN", "Date": "DATE", "Decimal": "DECIMAL(38,9)",
    "Instant": "TIMESTAMPTZ", "TextList": "VARCHAR[]", "Json": "VARCHAR", "Float": "DOUBLE",
}


def bind_canonical(epoch, db):
    for table, columns in canonical_tables():
        top = epoch / "canonical" / table
        folders = [top / "unique"] if (top / "unique").is_dir() else sorted(f for f in top.glob("*") if f.is_dir())
        files = [str(f) for folder in folders for f in sorted(folder.glob("*.parquet"))]
        empty = ", ".join(f"CAST(NULL AS {DUCK_TYPES[kind]}) AS \"{column}\"" for column, kind, _ in columns)
        source = f"read_parquet({files})" if files else f"(SELECT {empty} WHERE false)"
        db.execute(f"CREATE VIEW in_{table} AS SELECT * FROM {source}")
        db.execute(f"CREATE VIEW c_{table} AS SELECT {', '.join(view_columns(table, columns))} FROM in_{table}")


def view_columns(table, columns):
    def host(url):
        return f"nullif(lower(regexp_extract({url}, '^[a-zA-Z]+://([^/?#:]+)', 1)), '')"

    def path(url):
        return f"coalesce(nullif(regexp_extract({url}, '^[a-zA-Z]+://[^/?#]+(/[^?#]*)', 1), ''), '/')"

    for name, kind, required in columns:
        if kind == "Instant":
            yield f'epoch_us("{name}") AS {name}_us'
            yield f'CAST(floor(epoch_us("{name}") / {US_PER_DAY}) AS BIGINT) AS {name}_day'
        elif kind == "Date":
            yield f"CAST(\"{name}\" - DATE '1970-01-01' AS BIGINT) AS {name}_n"
        elif kind == "Text" and name in ("source", "medium", "traffic_type"):
            yield f"nullif(lower(trim({name})), '') AS {name}"
        elif kind == "Text" and not required:
            yield f"nullif({name}, '') AS {name}"
        else:
            yield name
    url = {"visits": "entrance_page", "hits": "url", "touches": "page"}.get(table)
    if url:
        yield f"{host(url)} AS page_host"
        yield f"{path(url)} AS page_path"
    if table == "visits":
        yield f"{host('referrer')} AS referrer_host"
    if table in ("messages", "message_statuses", "consents"):
        own = (" WHEN 'phone' THEN 'phone' WHEN 'sms' THEN 'phone' WHEN 'call' THEN 'phone' WHEN 'email' THEN 'email'"
               " WHEN 'crm_contact' THEN 'crm_contact'" if table == "consents" else "")
        yield ("CASE platform WHEN 'whatsapp' THEN 'wa_user' WHEN 'telegram' THEN 'tg_user' WHEN 'vk' THEN 'vk_user'"
               f" WHEN 'viber' THEN 'viber_user' WHEN 'facebook' THEN 'fb_psid'{own} ELSE platform || '_user' END AS user_type")
    if table == "messages":
        yield "coalesce(nullif(user_id, ''), conversation_id) AS user_value"
    if table == "message_statuses":
        yield "coalesce(nullif(user_id, ''), nullif(conversation_id, '')) AS user_value"


def bind_settings(epoch, db):
    values = ", ".join(f"(CAST({n} AS BIGINT), '{model}')" for n, model in enumerate(MODELS))
    db.execute(f"CREATE TABLE p_model AS SELECT * FROM (VALUES {values}) AS m(model_n, model)")
    db.execute("CREATE TABLE p_qualified (status_id VARCHAR)")
    db.execute("CREATE TABLE p_ignore (id_type VARCHAR, id_value VARCHAR)")
    db.execute("CREATE TABLE x_window_match (inquiry_id VARCHAR, visit_id VARCHAR, person BIGINT)")
    db.execute("CREATE TABLE p_consent_word (word VARCHAR, action VARCHAR)")
    text = (ROOT / "core" / "attribution" / "src" / "keywords.rs").read_text()
    actions = {}
    for name in ("opt_in", "opt_out"):
        body = re.search(rf"fn {name}\(self\).*?\n    }}", text, re.S).group(0)
        actions.update({normal_word(w): name for w in re.findall(r'"([^"]+)"', body)})
    db.executemany("INSERT INTO p_consent_word VALUES (?, ?)", list(actions.items()))
    # A first run knows no epoch before it.
    db.execute("CREATE TABLE c_previous_identity (id_type VARCHAR, id_value VARCHAR, person_id VARCHAR)")
    db.execute("CREATE TABLE c_previous_merges (ts_us BIGINT, from_person_id VARCHAR, into_person_id VARCHAR, id_type VARCHAR,"
               " id_value VARCHAR, reason VARCHAR)")
    db.execute("CREATE TABLE c_previous_quality (day_n BIGINT, source VARCHAR, records BIGINT, late_rows BIGINT)")
    # What the host makes of counts: scores of tests.
    results = folder_of(epoch, "ab_results")
    db.execute(f"CREATE VIEW p_ab_score AS SELECT test, variant, metric, is_control, rate, z, p_value FROM {parquet(results)}")
    # Between currencies of two decimals a rate of the table is the rate of minor units.
    db.execute("CREATE VIEW p_rate AS SELECT upper(trim(currency)) AS currency, day_n, CAST(rate AS DECIMAL(21,12)) AS rate,"
               " CAST(rate * 100 AS DECIMAL(21,9)) AS unit_rate FROM c_exchange_rates")
    # The numbers of channels are known by the touches and costs that carry them.
    tables = {n: parquet(folder_of(epoch, n)) for n in ("x_touch", "touches", "dim_channel")}
    db.execute(f"""CREATE TABLE x_channel AS SELECT n.channel_n, d.channel_id, d."group" AS channel_group, d.is_paid, d.is_direct
        FROM (SELECT DISTINCT t.channel_n, o.channel_id FROM {tables['x_touch']} t JOIN {tables['touches']} o ON o.touch_id = t.touch_id
              UNION SELECT 0, '(none)') n
        JOIN {tables['dim_channel']} d ON d.channel_id = n.channel_id""")


def normal_word(word):
    return "".join(c for c in word.lower() if c not in ".,!?;:\"'«»()[]*").strip(" ")


def bind_segments(db, now):
    """The segments a pipeline has that names none."""
    db.execute(f"""CREATE OR REPLACE VIEW x_person_segment AS SELECT person, first_us, last_us, region, CASE
        WHEN last_us <= {now} - 180 * {US_PER_DAY} THEN 'inactive' WHEN n_sales >= 2 OR n_inquiries >= 2 THEN 'repeat'
        ELSE 'new' END AS segment, consent_state, consent_us, n_inquiries, n_sales, ltv_minor FROM x_person_fact""")


def steps():
    """(name, file or None for what Rust makes, is_view) in the order they run."""
    sources = [ROOT / "core" / "attribution" / "src" / name for name in ("facts.rs", "days.rs", "metrics.rs")]
    text = "\n".join(source.read_text() for source in sources)
    pattern = r'step!\(runner, "(\w+)", "([^"]+)"\)|runner\s*\.view\("(\w+)", include_str!\("steps/([^"]+)"\)\)'
    for step, file, view, view_file in re.findall(pattern, text):
        yield step or view, file or view_file, bool(view)
    for name, file in re.findall(r'"(\w+)" => include_str!\("steps/(out_\w+\.sql)"\)', text):
        yield name, file, False


def ours(kind, name):
    """A column of a table of ours, as the steps know it: instants in µs, days and money as numbers."""
    quoted = f'"{name}"'
    if kind.startswith("TIMESTAMP"):
        return f"epoch_us({quoted}) AS {quoted}"
    if kind == "DATE":
        return f"CAST({quoted} - DATE '1970-01-01' AS BIGINT) AS {quoted}"
    if kind.startswith("DECIMAL"):
        return f"CAST({quoted} * 100 AS BIGINT) AS {quoted}"
    return quoted


def checksum(db, relation, columns):
    """Rows, and for each column and for whole rows the sum of hashes: equal for equal bags of rows."""
    cells = []
    for name, kind in columns:
        value = f'"{name}"'
        if kind == "DOUBLE":
            value = f"round(CAST({value} AS DOUBLE), 9) + 0.0"
        cells.append(f"CAST({value} AS {kind})")
    exact = [c for c, (_, kind) in zip(cells, columns) if kind != "DOUBLE"] or cells
    sums = [f"sum(CAST(hash({c}) AS HUGEINT))" for c in cells]
    return db.sql(f"SELECT count(*), sum(CAST(hash({', '.join(exact)}) AS HUGEINT)), {', '.join(sums)} FROM {relation}").fetchall()[0]


def used():
    times = os.times()
    return times.user + times.system


def main():
    epoch = Path(sys.argv[1])
    memory = sys.argv[3] if len(sys.argv) > 3 else "1GB"
    db = duckdb.connect(config={"threads": 2, "memory_limit": memory, "preserve_insertion_order": False})
    db.execute("SET TimeZone = 'UTC'")
    bind_canonical(epoch, db)
    bind_settings(epoch, db)
    params = default_params(epoch, db)
    for folder in sorted((epoch / "attribution").iterdir()):
        db.execute(f"CREATE OR REPLACE VIEW {folder.name[4:]} AS SELECT * FROM {parquet(folder)}")
    slow = []
    same, differ, left_out, wall_s, cpu_s, rows = 0, [], [], 0.0, 0.0, 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, file, is_view in steps():
            sql = (STEPS / file).read_text()
            sql = re.sub(r"--[^\n]*", "", sql)
            sql = re.sub(r"\$(\w+)", lambda m: literal(params[m.group(1)]), sql)
            if is_view:
                db.execute(f"CREATE OR REPLACE VIEW {name} AS {sql}")
                if name == "x_person_fact":
                    bind_segments(db, params["now_us"])
                continue
            folder = folder_of(epoch, name)
            if name == "dim_channel" or folder is None:
                left_out.append(name)  # It lists what the settings hold, not what is computed.
                continue
            out = Path(scratch) / f"{name}.parquet"
            begun, cpu = time.monotonic(), used()
            try:
                db.execute(f"COPY ({sql}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")
            except duckdb.Error as error:
                differ.append(f"{name}: DuckDB refuses it: {str(error).splitlines()[0]}")
                continue
            wall_s += time.monotonic() - begun
            cpu_s += used() - cpu
            slow.append((used() - cpu, name))
            described = db.sql(f"DESCRIBE SELECT * FROM {parquet(folder)}").fetchall()
            normal = ", ".join(ours(row[1], row[0]) for row in described)
            columns = [(r[0], r[1]) for r in db.sql(f"DESCRIBE SELECT {normal} FROM {parquet(folder)}").fetchall()]
            a = checksum(db, f"(SELECT {normal} FROM {parquet(folder)})", columns)
            b = checksum(db, f"read_parquet('{out}')", columns)
            rows += a[0]
            if a == b:
                same += 1
            else:
                wrong = [c for (c, _), x, y in zip(columns, a[2:], b[2:]) if x != y] or ["rows put together differently"]
                differ.append(f"{name}: {a[0]} rows and {b[0]} rows; differing: {', '.join(wrong)}")
    print(f"the same SQL on DuckDB {duckdb.__version__}: {same} steps equal to ours in every column ({rows} rows),"
          f" {len(differ)} differ, not compared: {', '.join(left_out) or 'none'}")
    for line in differ:
        print(f"  DIFFERS {line}")
    print(f"  these steps on DuckDB, Parquet to Parquet: {cpu_s:.1f} CPU s, {wall_s:.1f} s (memory_limit {memory})")
    print("  most: " + ", ".join(f"{name} {s:.1f}" for s, name in sorted(slow, reverse=True)[:8]))
    return 1 if differ else 0


if __name__ == "__main__":
    raise SystemExit(main())
