#!/usr/bin/env bash
# A third party's client reads the company: airbyte-source-yandex-metrica 1.0.44 from PyPI, unchanged but for
# the host, which it keeps in a class attribute. Its count of visits and hits must be the company's.
#
#   examples/company/third-party/airbyte_metrica.sh [visits]
#
# What it needs, and when it is skipped, is told in client.sh.
set -euo pipefail
. "$(dirname "$0")/client.sh"

visits="${1:-2000}"
client airbyte_metrica source_yandex_metrica airbyte-source-yandex-metrica==1.0.44
# The connector refuses days that are not over by the real clock, so this company lives in the past. It sleeps
# a minute between polls, so exports are ready at the first.
company --visits "$visits" --start 2024-03-01 --days 20 --polls 1 --part-visits 700

# The one change: where the service is.
mkdir "$work/patch"
cat >"$work/patch/sitecustomize.py" <<'PY'
import os

import source_yandex_metrica.streams as streams

streams.YandexMetricaStream.url_base = os.environ["COMPANY_URL"] + "/management/v1/counter/"
PY

COMPANY_URL="$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["url"])' "$work/company.json")"
export COMPANY_URL
PYTHONPATH="$work/patch" "$venv/bin/python" "$here/airbyte_metrica.py" "$work" "$venv/bin/source-yandex-metrica"
