#!/usr/bin/env bash
# Exit 0 if one part of the server is healthy: api-server, scheduler, dag-processor or triggerer.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${HUILIU_PYTHON:-.venv/bin/python}" -P -m fl_airflow.server health "$1"
