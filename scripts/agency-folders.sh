#!/usr/bin/env bash
# Make an agency's folders for its two users, as root: scripts/agency-folders.sh HOME SOCKET WORKER DAEMON_UID WORKER_UID
# HOME (keys, data, journal) is the daemon's alone, WORKER (the edge worker's) the worker's; the daemon listens in SOCKET,
# which the worker's group may enter. Safe to repeat.
set -euo pipefail
if [[ $# -ne 5 ]]; then
  echo "usage: $0 HOME SOCKET WORKER DAEMON_UID WORKER_UID" >&2
  exit 2
fi
mkdir -p "$1" "$2" "$3"
chown "$4:$4" "$1"
# A data officer passes through HOME to the plans in it, and was given 0711 by hand (docs/how-to/officer.md).
[[ "$(stat -c %a "$1")" == 711 ]] || chmod 0700 "$1"
chown "$4:$5" "$2" && chmod 0710 "$2"
chown "$5:$5" "$3" && chmod 0700 "$3"
