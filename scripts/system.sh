#!/usr/bin/env bash
# Install what `make up` needs from the system: PostgreSQL's server programs. Silent where they are there.
# With --optional, as the tests call it, a machine where that cannot be done is told so, and goes on: they skip.
set -euo pipefail
cannot=1
[[ "${1:-}" == --optional ]] && cannot=0
if compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null || command -v postgres >/dev/null; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "PostgreSQL's server programs are missing and this is no Debian: install your distribution's PostgreSQL server" >&2
  exit "$cannot"
fi
if [[ "$(id -u)" != 0 ]]; then
  echo "PostgreSQL's server programs are missing: run 'sudo make system', or apt-get install postgresql" >&2
  exit "$cannot"
fi
echo "system: Debian's postgresql"
# Only the programs are wanted: the package shall not start a cluster of its own.
mkdir -p /etc/postgresql-common
[[ -e /etc/postgresql-common/createcluster.conf ]] ||
  echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y -q -o Dpkg::Options::=--force-confold --no-install-recommends postgresql)
log="$(mktemp)"
if ! { apt-get update -q && "${install[@]}"; } >"$log" 2>&1; then
  tail -n 5 "$log" >&2
  echo "apt-get could not install postgresql (its whole output: $log)" >&2
  exit "$cannot"
fi
rm -f "$log"
