#!/usr/bin/env bash
# Run one part of the server in the foreground: api-server, scheduler, dag-processor or triggerer.
# `make up` and the containers call it; its configuration is server/config.json below HUILIU_HOME.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
  api-server | dag-processor) words=("$1") ;;
  # Task logs are files that the API server reads itself: nobody has to serve them.
  scheduler | triggerer) words=("$1" --skip-serve-logs) ;;
  *)
    echo "usage: $0 api-server|scheduler|dag-processor|triggerer" >&2
    exit 2
    ;;
esac
exec "${HUILIU_PYTHON:-.venv/bin/python}" -P -m fl_airflow.server airflow "${words[@]}"
