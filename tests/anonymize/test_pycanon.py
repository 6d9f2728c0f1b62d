"""An oracle that shares no code with ours: pyCANON measures the same k, l and t on every kind of output."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fl_tasks.anonymize.cells import count_cells
from fl_tasks.anonymize.errors import PolicyUnreachable
from fl_tasks.anonymize.hierarchy import build
from fl_tasks.anonymize.lattice import search
from fl_tasks.anonymize.metrics import measure
from fl_tasks.anonymize.mondrian import partition
from fl_tasks.anonymize.release import by_levels
from fl_tasks.anonymize.table import encode, ordered, sensitive
from fl_tasks.contracts.anonymize import PrivacyPolicy
from tests.anonymize.tables import ADULT, adult, adult_hierarchies
from tests.benchmarks.peers import environment

SHA = "0" * 64
POLICIES = (
    PrivacyPolicy(k=2, suppression=0.2),
    PrivacyPolicy(k=3, l=2, suppression=0.3),
    PrivacyPolicy(k=3, l=2, diversity="entropy", suppression=0.5),
    PrivacyPolicy(k=4, l=2, t=0.35, suppression=0.5),
    PrivacyPolicy(k=2, t=0.2, suppression=0.5),
)


@pytest.fixture(scope="module")
def oracle():
    """A process of pyCANON that is asked table by table."""
    try:
        python = environment("pycanon", print)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs an environment with pyCANON, which could not be made: {error}")
    program = Path(__file__).with_name("pycanon_oracle.py")
    with subprocess.Popen([python, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(columns, quasi, secrets):
            process.stdin.write(json.dumps({"columns": columns, "quasi": quasi, "sensitive": secrets}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


def check(oracle, release, secrets, policy):
    """Compare our report of a release with what pyCANON says of its rows. secrets: name -> (values, kind)."""
    report = measure(
        release, [sensitive(name, values, kind) for name, (values, kind) in secrets.items()], policy, sha256=SHA
    )
    columns = {column.name: release.texts(column.name).tolist() for column in release.columns}
    columns |= {name: np.asarray(values)[release.kept].tolist() for name, (values, _) in secrets.items()}
    theirs = oracle(columns, [column.name for column in release.columns], list(secrets))
    assert theirs["k"] == report.k
    if secrets:
        assert theirs["l"] == report.l
        assert theirs["entropy_l"] in {int(report.l_entropy - 1e-6), int(report.l_entropy + 1e-6)}
        assert theirs["t"] == pytest.approx(report.t, abs=1e-9)
    assert report.short_of() == ()


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_pycanon_agrees_on_random_tables(oracle, policy):
    compared = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(40, 120))
        ages, jobs = rng.integers(20, 40, n), rng.choice(["nurse", "clerk", "cook"], n)
        secrets = {
            "illness": (rng.choice(["flu", "cold", "none", "gout"], n, p=[0.4, 0.3, 0.2, 0.1]).tolist(), "categorical"),
            "income": (rng.choice([10, 20, 30, 50, 80], n), "numeric"),
        }
        spans = [[str(age) for age in range(20, 40)], [str(age // 5) for age in range(20, 40)], ["*"] * 20]
        found = [
            build("age", spans, where="age"),
            build("job", [["nurse", "clerk", "cook"], ["care", "other", "other"], ["*"] * 3], where="job"),
        ]
        coded = [sensitive(name, values, kind) for name, (values, kind) in secrets.items()]
        columns = [encode(found[0], ages), encode(found[1], jobs.tolist())]
        cells, cell_of_row = count_cells(columns, [20, 3], coded)
        try:
            release = by_levels(cells, cell_of_row, found, search(cells, found, policy).outcome)
            check(oracle, release, secrets, policy)
            compared += 1
        except PolicyUnreachable:
            pass
        cut = [ordered("age", ages, "numeric"), ordered("job", jobs.tolist(), "categorical", found[1])]
        check(oracle, partition(cut, coded, policy), secrets, policy)
    assert compared > 3


@pytest.mark.parametrize(
    "policy",
    [PrivacyPolicy(k=5, suppression=0.05), PrivacyPolicy(k=10, l=2, t=0.3, suppression=0.05)],
    ids=["k alone", "k, l and t"],
)
def test_pycanon_agrees_on_adult(oracle, shared_data, policy):
    data, found = adult(shared_data), adult_hierarchies(shared_data)
    secrets = {"salary-class": (data["salary-class"], "categorical"), "hours-per-week": (
        data["hours-per-week"].astype(int), "numeric")}  # fmt: skip
    coded = [sensitive(name, values, kind) for name, (values, kind) in secrets.items()]
    columns = [encode(hierarchy, data[name]) for name, hierarchy in zip(ADULT, found, strict=True)]
    cells, cell_of_row = count_cells(columns, [len(hierarchy.values) for hierarchy in found], coded)
    release = by_levels(cells, cell_of_row, found, search(cells, found, policy).outcome)
    check(oracle, release, secrets if policy.l > 1 else {"salary-class": secrets["salary-class"]}, policy)
