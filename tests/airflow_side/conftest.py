"""An Airflow of the tests' own; where Airflow is not installed there is nothing to collect here."""

import atexit
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

if importlib.util.find_spec("airflow") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    from fl_airflow.settings import environment

    HOME = Path(tempfile.mkdtemp(prefix="huiliu-airflow-"))
    atexit.register(shutil.rmtree, HOME, ignore_errors=True)
    os.environ.update({name: value for name, value in environment(HOME).items() if name.startswith("AIRFLOW")})
