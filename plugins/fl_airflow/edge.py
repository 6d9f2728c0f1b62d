"""What the coordinator's server and the agencies' edge workers have to agree on."""

from __future__ import annotations

COORDINATOR_EXECUTOR = "fl_airflow.executor.CoordinatorExecutor"
"""The server's executor for the coordinator's own tasks, where there are agencies."""

EDGE_EXECUTOR = "airflow.providers.edge3.executors.EdgeExecutor"
"""Airflow's executor for tasks that a worker fetches from the server."""

TOKEN_AUDIENCE = "api"  # noqa: S105 - no secret: the audience that Airflow's edge worker writes into its tokens
"""Audience of a worker's tokens."""

WORKER_API = "/edge_worker/v1/"
"""Where the server answers workers."""

TASK_API = "/execution/"
"""Where the server answers running tasks."""

AGENCIES_COME = "HUILIU_FEDERATED_SERVER"
"""Set in the environment of a server that agencies on machines of their own come to."""
