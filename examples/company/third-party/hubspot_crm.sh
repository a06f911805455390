#!/usr/bin/env bash
# HubSpot's own Python client reads the company's HubSpot: hubspot-api-client from PyPI, unchanged. It lists, searches
# to the ceiling and behind it, reads batches with history, and associations; what it read must be what the company knows.
#
#   examples/company/third-party/hubspot_crm.sh [visits]
#
# What it needs, and when it is skipped, is told in client.sh.
set -euo pipefail
. "$(dirname "$0")/client.sh"

visits="${1:-2000}"
client hubspot_crm hubspot hubspot-api-client==12.0.0
company --visits "$visits" --history 10300 --hubspot-per-10s 0 --hubspot-searches 0
"$venv/bin/python" "$here/hubspot_crm.py" "$work"
