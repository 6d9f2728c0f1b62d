#!/usr/bin/env bash
# Run an agency's edge worker in the foreground, as the worker's user: scripts/agency-worker.sh FOLDER
# `python -m fl_airflow.worker init` has written FOLDER.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ $# -ne 1 ]]; then
  echo "usage: $0 FOLDER" >&2
  exit 2
fi
exec "${HUILIU_PYTHON:-.venv/bin/python}" -P -m fl_airflow.worker run --folder "$1"
