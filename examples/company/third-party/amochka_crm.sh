#!/usr/bin/env bash
# A third party's client reads the company's CRM: amochka 0.7.0 from PyPI, unchanged but for its refusal of
# hosts other than amoCRM's own. It pages, filters, rotates its token in the middle and survives limits; what
# it read must be what the company knows.
#
#   examples/company/third-party/amochka_crm.sh [visits]
#
# What it needs, and when it is skipped, is told in client.sh.
set -euo pipefail
. "$(dirname "$0")/client.sh"

visits="${1:-3000}"
client amochka_crm amochka amochka==0.7.0
company --visits "$visits" --history 500 --crm-rps 7 \
    --fault 429:at=4,path=/api/v4/leads --fault 429:at=6,retry_after=1,path=/api/v4/ \
    --fault 503:at=9,path=/api/v4/ --fault expire_token:at=3,path=/api/v4/contacts \
    --fault next_when_full
"$venv/bin/python" "$here/amochka_crm.py" "$work"
