"""What the coordinator's server and the agencies' edge workers have to agree on."""

from __future__ import annotations

AGENCY_EXECUTOR = "fl_airflow.executor.SeldomEdgeExecutor"
"""The server's executor for the agencies' tasks, which their edge workers fetch."""

WORKER_EXECUTOR = "airflow.providers.edge3.executors.EdgeExecutor"
"""What a worker's own Airflow is set to; it brings the worker's commands."""

TOKEN_AUDIENCE = "api"  # noqa: S105 - no secret: the audience that Airflow's edge worker writes into its tokens
"""Audience of a worker's tokens."""

WORKER_API = "/edge_worker/v1/"
"""Where the server answers workers."""

TASK_API = "/execution/"
"""Where the server answers running tasks."""

AGENCIES_COME = "HUILIU_FEDERATED_SERVER"
"""Set in the environment of a server that agencies on machines of their own come to."""
