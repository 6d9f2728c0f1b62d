#!/usr/bin/env bash
# Install Debian packages that are not there: scripts/system.sh [--optional] PACKAGE...
# Known are postgresql (`make up`), iproute2 (`make federation`) and openssh-server (tests of the exchange). Silent where
# they are there. With --optional, as the tests call it, a machine where that cannot be done is told so, and goes on:
# the tests that need them skip.
set -euo pipefail
cannot=1
if [[ "${1:-}" == --optional ]]; then
  cannot=0
  shift
fi
is_there() {
  case "$1" in
    postgresql) compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null || command -v postgres >/dev/null ;;
    iproute2) command -v ip >/dev/null || [[ -x /usr/sbin/ip ]] ;;
    openssh-server) [[ -x /usr/sbin/sshd ]] ;;
    *)
      echo "scripts/system.sh knows postgresql, iproute2 and openssh-server, not $1" >&2
      exit 2
      ;;
  esac
}
missing=()
for package in "$@"; do
  is_there "$package" || missing+=("$package")
done
if [[ "${#missing[@]}" == 0 ]]; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "missing on this machine, which is no Debian: ${missing[*]}; install your distribution's packages" >&2
  exit "$cannot"
fi
if [[ "$(id -u)" != 0 ]]; then
  echo "missing on this machine: run as root 'apt-get install ${missing[*]}'" >&2
  exit "$cannot"
fi
echo "system: Debian's ${missing[*]}"
# Only the programs are wanted: no cluster of PostgreSQL's own, and no server that listens.
mkdir -p /etc/postgresql-common
[[ -e /etc/postgresql-common/createcluster.conf ]] ||
  echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
policy=/usr/sbin/policy-rc.d
if [[ ! -e "$policy" ]]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y -q -o Dpkg::Options::=--force-confold --no-install-recommends "${missing[@]}")
log="$(mktemp)"
if ! { apt-get update -q && "${install[@]}"; } >"$log" 2>&1; then
  tail -n 5 "$log" >&2
  echo "apt-get could not install ${missing[*]} (its whole output: $log)" >&2
  exit "$cannot"
fi
rm -f "$log"
