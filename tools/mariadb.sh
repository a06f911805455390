#!/bin/sh
# Installs MariaDB's server for tests where that can be done; they say that they skip elsewhere. The package has the
# programs alone: nothing of the system's is started or touched.
set -eu
if [ -x /usr/sbin/mariadbd ] || [ -x /usr/bin/mariadbd ]; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    if apt-get install --yes --no-install-recommends mariadb-server-core mariadb-client-core >/dev/null 2>&1 ||
        { apt-get update >/dev/null &&
            apt-get install --yes --no-install-recommends mariadb-server-core mariadb-client-core >/dev/null; }; then
        exit 0
    fi
fi
echo "MariaDB is not installed, and cannot be from here: its tests will be skipped" >&2
