"""Run by bench_dlt.py in dlt's environment: amoCRM leads by dlt's rest_api source into Parquet files of a folder.

    python dlt_pull.py URL FOLDER tables|columns        TOKEN in the environment
Prints one JSON line: rows of the table of leads and of all tables, bytes of the files."""

import json
import os
import sys
from pathlib import Path

import dlt
import pyarrow.parquet
from dlt.sources.rest_api import rest_api_source

url, folder, nested = sys.argv[1], Path(sys.argv[2]).absolute(), sys.argv[3]

source = rest_api_source(
    {
        "client": {
            "base_url": f"{url}/api/v4/",
            "auth": {"type": "bearer", "token": os.environ["TOKEN"]},
            "paginator": {"type": "json_link", "next_url_path": "_links.next.href"},
        },
        "resources": [
            {
                "name": "leads",
                "primary_key": "id",
                "endpoint": {
                    "path": "leads",
                    # What our connector asks for.
                    "params": {"limit": 250, "with": "contacts,loss_reason,source_id", "order[updated_at]": "asc"},
                    "data_selector": "_embedded.leads",
                },
            }
        ],
    },
    name="crm",
    # None, the default: a table for each list inside a lead. 0: lists stay columns of JSON, as they land with us.
    max_table_nesting={"tables": None, "columns": 0}[nested],
)
pipeline = dlt.pipeline(
    pipeline_name="bench",
    pipelines_dir=str(folder / "state"),
    destination=dlt.destinations.filesystem(bucket_url=str(folder / "out")),
    dataset_name="crm",
)
pipeline.run(source, loader_file_format="parquet").raise_on_failed_jobs()

rows = {}
size = 0
for file in (folder / "out" / "crm").rglob("*.parquet"):
    table = file.parent.name
    rows[table] = rows.get(table, 0) + pyarrow.parquet.read_metadata(file).num_rows
    size += file.stat().st_size
ours = {table: n for table, n in rows.items() if not table.startswith("_dlt")}
print(json.dumps({"rows": rows["leads"], "tables": len(ours), "all_rows": sum(ours.values()), "bytes": size}))
