#!/usr/bin/env bash
# Make Airflow's tables and pools, or bring them up to date; safe to repeat.
# In a container the configuration is written first, from HUILIU_API_URL and the other variables of docker-compose.yml.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${HUILIU_PYTHON:-.venv/bin/python}"
if [[ -n "${HUILIU_API_URL:-}" ]]; then
  names=()
  for name in ${HUILIU_CERTIFICATE_NAMES:-}; do
    names+=(--certificate-name "$name")
  done
  "$python" -P -m fl_airflow.server configure "${names[@]}" \
    --host "$HUILIU_API_HOST" --port "$HUILIU_API_PORT" --url "$HUILIU_API_URL" --public-url "$HUILIU_PUBLIC_URL" \
    --database-host "$HUILIU_DATABASE_HOST" --database-port "$HUILIU_DATABASE_PORT" \
    --database-password-file "$HUILIU_DATABASE_PASSWORD_FILE"
fi
exec "$python" -P -m fl_airflow.server init
