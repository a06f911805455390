#!/bin/sh
# Public clients of the vendors against the simulated company. Each says SKIPPED where it cannot be installed.
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
bash "$here/airbyte_metrica.sh"
bash "$here/amochka_crm.sh"
bash "$here/hubspot_crm.sh"
