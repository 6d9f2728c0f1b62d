#!/usr/bin/env bash
# Make an agency's folders for its users, as root:
#   scripts/agency-folders.sh HOME SOCKET WORKER DAEMON_UID WORKER_UID [OFFICER OFFICER_UID]
# HOME (keys, data, journal) is the daemon's alone, WORKER (the edge worker's) the worker's; the daemon listens in SOCKET,
# which the worker's group may enter. OFFICER is the data officer's, who passes through HOME to the plans in it, and whose
# records the daemon reads. Safe to repeat.
set -euo pipefail
if [[ $# -ne 5 && $# -ne 7 ]]; then
  echo "usage: $0 HOME SOCKET WORKER DAEMON_UID WORKER_UID [OFFICER OFFICER_UID]" >&2
  exit 2
fi
mkdir -p "$1" "$2" "$3"
chown "$4:$4" "$1"
if [[ $# -eq 7 ]]; then
  chmod 0711 "$1"
  # What lies in HOME is the daemon's to make: root would follow a link that the daemon's user put there.
  setpriv --reuid="$4" --regid="$4" --clear-groups sh -c 'mkdir -p "$1/agencies" && chmod 0711 "$1/agencies"' - "$1"
  mkdir -p "$6"
  chown "$7:$7" "$6" && chmod 0711 "$6"
elif [[ "$(stat -c %a "$1")" != 711 ]]; then # once opened to an officer it stays so
  chmod 0700 "$1"
fi
chown "$4:$5" "$2" && chmod 0710 "$2"
chown "$5:$5" "$3" && chmod 0700 "$3"
