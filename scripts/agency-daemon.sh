#!/usr/bin/env bash
# Run an agency's daemon in the foreground, as the agency's user: scripts/agency-daemon.sh AGENCY SOCKET_FOLDER WORKER_USER
# Its home folder is HUILIU_HOME, the agency's copy of the federation folder HUILIU_FEDERATION.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ $# -ne 3 ]]; then
  echo "usage: $0 AGENCY SOCKET_FOLDER WORKER_USER" >&2
  exit 2
fi
exec "${HUILIU_PYTHON:-.venv/bin/python}" -P -m fl_tasks agency serve \
  --agency "$1" --socket-folder "$2" --worker-user "$3"
