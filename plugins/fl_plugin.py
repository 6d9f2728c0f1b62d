"""Tell Airflow what this installation adds to it: registration only."""

from __future__ import annotations

import os
import sys
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin
from fl_airflow.edge import AGENCIES_COME
from fl_airflow.installation import federation_folder, installation_home

from fl_tasks.contracts.paths import Home

Registered = list[dict[str, Any]]

# Every part of Airflow loads its plugins; only the API server has an API, and only some servers admit agencies.
_AGENCIES_COME_HERE = AGENCIES_COME in os.environ and sys.argv[1:2] == ["api-server"]


def _gate() -> Registered:
    from fl_airflow.gate.middleware import Gate  # noqa: PLC0415 - it needs the server's database

    return [{"name": "gate", "middleware": Gate, "args": [installation_home(), federation_folder()]}]


def _federated_server() -> Registered:
    from fl_airflow.federated.app import PREFIX, create_app  # noqa: PLC0415 - of no use to the other parts

    return [{"name": "federated server", "app": create_app(Home(installation_home())), "url_prefix": PREFIX}]


class FederatedLearningPlugin(AirflowPlugin):
    """The name under which `airflow plugins` lists the installation, and what it adds where agencies come to."""

    name = "fl_airflow"
    fastapi_root_middlewares: ClassVar[Registered] = _gate() if _AGENCIES_COME_HERE else []
    fastapi_apps: ClassVar[Registered] = _federated_server() if _AGENCIES_COME_HERE else []
