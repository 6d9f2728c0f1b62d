# Two commands do everything on a machine with Python 3.11, make and git:
#   make demo     the main job, embedded: four agencies, Airflow, masked, with a report
#   make test     all tests; make test ARGS="tests/parity -k gru" hands the words to pytest
SHELL := /bin/bash
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
UV := .tools/bin/uv
PYTHON3 := $(shell command -v python3.11 || command -v python3)
# Compiled byte code halves the time that a task needs to import TensorFlow or Great Expectations.
SYNC := $(UV) sync --frozen --quiet --compile-bytecode
# Nothing phones home, whatever a tool's default is.
export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED := False
export GX_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

.PHONY: help setup officer-setup demo test faults bench check format clean up down trial federation federation-run federation-down hosts system

help:
	@echo "make demo   retrain over four agencies   [SCENARIO=traffic_districts] [DATA=folder] [ROUNDS=3] [LOCAL_ONLY=no]"
	@echo "make test   run the tests                [ARGS='tests/parity -k gru']"
	@echo "make up     Airflow with its UI, on this machine [PORT=8080];   make down"
	@echo "            NAME=host.example.org: HTTPS, open to agencies   [PORT=8443] [LISTEN=0.0.0.0] [DAGS=folder]"
	@echo "make faults kill, take away and attack parties in the middle of real runs"
	@echo "make bench  measure, beside others and the machine's limit: NAME=secagg|anonymize|learning|training|round|growth|hosts"
	@echo "make check  lint, format, types, import contracts"
	@echo "make trial  a scenario's data, keys and roster for make up [SCENARIO=traffic_districts] [DATA=folder]"
	@echo "make federation  server, edge workers and daemons, each party on a host of its own [SCENARIO=] [AGENCIES=3] [DATA=]"
	@echo "make federation-run [ROUNDS=3], make federation-down"
	@echo "make system PostgreSQL's programs, by apt-get as root"
	@echo "make setup  only the two environments;   make format, make clean"
	@echo "make officer-setup  PySyft, for an agency's data officer"

setup: .venv/.ready .venv-fl/.ready

officer-setup: .venv/.ready .venv-syft/.ready

$(UV):
	@echo "setup: uv $(UV_VERSION)"
	@$(PYTHON3) -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.ready: $(UV) pyproject.toml uv.lock
	@echo "setup: .venv (Airflow, Great Expectations)"
	@UV_PROJECT_ENVIRONMENT=.venv $(SYNC) --group airflow --group test --group servers --group check
	@touch $@

.venv-fl/.ready: $(UV) pyproject.toml uv.lock
	@echo "setup: .venv-fl (TensorFlow Federated)"
	@UV_PROJECT_ENVIRONMENT=.venv-fl $(SYNC) --group fl --group test
	@touch $@

# PySyft alone: what the officer's commands ask it goes through one program, which imports nothing of ours.
.venv-syft/.ready: $(UV) pyproject.toml uv.lock
	@echo "setup: .venv-syft (PySyft)"
	@UV_PROJECT_ENVIRONMENT=.venv-syft $(SYNC) --only-group officer
	@touch $@

demo: setup
	@.venv/bin/python -m fl_airflow.embedded demo $(if $(SCENARIO),--scenario "$(SCENARIO)") $(if $(DATA),--data "$(DATA)") $(if $(ROUNDS),--rounds "$(ROUNDS)") $(if $(LOCAL_ONLY),--local-only "$(LOCAL_ONLY)")

# PostgreSQL's server programs, which `make up` needs: installed where they are missing and we are root.
system:
	@scripts/system.sh postgresql

# What make was told: a variable of the environment (some systems set NAME) must not open a server to the network.
said = $(if $(filter command,$(firstword $(origin $(1)))),$($(1)))

up: system setup
	@.venv/bin/python -P -m fl_airflow.server up $(if $(PORT),--port "$(PORT)") $(foreach name,$(call said,NAME),--name "$(name)") \
	  $(if $(call said,LISTEN),--listen "$(LISTEN)") $(if $(call said,DAGS),--dags-folder "$(DAGS)")

down: setup
	@.venv/bin/python -P -m fl_airflow.server down

# Data, keys and roster of a scenario for a trial on the server, as the demo makes them.
trial: setup
	@.venv/bin/python -P -m fl_airflow.server trial "$(or $(SCENARIO),traffic_districts)" $(if $(DATA),--data "$(DATA)")

# A whole federation on this machine, as root: each party in a network namespace of its own, with users of its own.
federation: hosts setup
	@.venv/bin/python -P -m fl_airflow.hosts up "$(or $(SCENARIO),traffic_districts)" $(if $(AGENCIES),--agencies "$(AGENCIES)") $(if $(DATA),--data "$(DATA)")

federation-run: setup
	@.venv/bin/python -P -m fl_airflow.hosts run $(if $(ROUNDS),--rounds "$(ROUNDS)")

federation-down: setup
	@.venv/bin/python -P -m fl_airflow.hosts down

hosts:
	@scripts/system.sh postgresql iproute2

test: setup officer-setup
	@scripts/system.sh --optional postgresql iproute2 openssh-server
	@.venv/bin/python tests/run.py $(ARGS)

# Half an hour of whole runs under a scheduler, in which parties are killed, taken away and attacked.
faults: hosts setup
	@.venv/bin/python tests/run.py tests/faults tests/attacks/test_through_airflow.py tests/federation/test_faults.py $(ARGS)

# Compares with other systems, which it installs for itself below var/bench; docs/performance.md explains the columns.
bench: setup
	@.venv/bin/python -m tests.benchmarks $(NAME)

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python scripts/check_compose.py
	.venv/bin/python -P -m fl_airflow.catalogue --check

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# Keeps var/: keys, journals and reports live there.
clean:
	rm -rf .tools .venv .venv-fl .venv-syft .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
