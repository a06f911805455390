#!/bin/sh
# Installs PostgreSQL for tests and measurements where that can be done; they say that they skip elsewhere.
# Each starts a private server of its own: none of the system's is touched.
set -eu
if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    # The package would make and start a server of the system's.
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/throughline.conf
    if apt-get install --yes --no-install-recommends postgresql >/dev/null 2>&1 ||
        { apt-get update >/dev/null && apt-get install --yes --no-install-recommends postgresql >/dev/null; }; then
        exit 0
    fi
fi
echo "PostgreSQL is not installed, and cannot be from here: its tests will be skipped" >&2
