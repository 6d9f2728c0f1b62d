"""Which tests belong to which environment: learning and parity run beside TensorFlow, all others beside Airflow."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example may take says nothing on a machine that does other work beside.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

TESTS = Path(__file__).parent
LEARNING_FOLDERS = {"learning", "parity"}
# One federation, which is root's and the machine's only one; one Airflow server.
SHARING_FOLDERS = {"federation", "faults", "server"}
# What takes minutes begins first, so that at the end no process is left alone with it.
LONGEST_FIRST = (
    "federation",
    "airflow_side/test_runs.py",
    "server",
    "upkeep/test_whole_run.py",
    "stages/test_federated_run.py",
    "lineage/test_embedded_run.py",
)
IN_LEARNING_ENVIRONMENT = importlib.util.find_spec("tensorflow_federated") is not None


class _OtherEnvironment(pytest.Module):
    """A test module of the other environment: seen, never imported."""

    def collect(self):
        return []


def _is_others(folder: str) -> bool:
    return (folder in LEARNING_FOLDERS) != IN_LEARNING_ENVIRONMENT


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Pass over the folders of the other environment: not even what their tests share can be imported here."""
    if collection_path.parent == TESTS and collection_path.is_dir():
        return _is_others(collection_path.name) or None
    return None


def pytest_pycollect_makemodule(module_path, parent):
    """The same for a folder or a file that was named to pytest."""
    if _is_others(module_path.relative_to(TESTS).parts[0]):
        return _OtherEnvironment.from_parent(parent, path=module_path)
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a module in one of several processes, and a whole folder where its tests share a costly server."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    order = {group: place for place, group in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(_group(item), len(order)))


def _group(item: pytest.Item) -> str:
    folder, *rest = item.path.relative_to(TESTS).parts
    return folder if folder in SHARING_FOLDERS else "/".join((folder, *rest))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real data; a test that wants it is skipped where it is not there."""
    folder = TESTS.parents[1] / "shared" / "data"
    if not (folder / "traffic").is_dir():
        pytest.skip(f"needs the real traffic data in {folder / 'traffic'}, which is not part of the repository")
    return folder
