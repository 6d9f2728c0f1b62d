"""The lattice search finds the exact optimum, and what it releases holds k, l and t."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from fl_tasks.anonymize import lattice
from fl_tasks.anonymize.cells import Cells, Sensitive, count_cells
from fl_tasks.anonymize.errors import LatticeTooLarge, PolicyUnreachable
from fl_tasks.anonymize.hierarchy import build
from fl_tasks.anonymize.lattice import Lattice, search
from fl_tasks.anonymize.metrics import measure
from fl_tasks.anonymize.release import by_levels
from fl_tasks.contracts.anonymize import PrivacyPolicy
from tests.anonymize.naive import brute_force, distance, diversity
from tests.anonymize.tables import ADULT, adult, adult_hierarchies, codes, policies, secrets_of, tables

SHA = "0" * 64


def counted(found, rows, secrets):
    return count_cells(codes(found, rows), [len(hierarchy.values) for hierarchy in found], secrets)


@settings(max_examples=150, deadline=None)
@given(tables(), policies)
def test_the_optimum_is_the_best_of_all_nodes_tried_one_by_one(table, policy):
    found, rows, words, numbers = table
    cells, _ = counted(found, rows, secrets_of(words, numbers))
    reached = brute_force(rows, found, [(words, False), (numbers, True)], policy)
    if not reached:
        with pytest.raises(PolicyUnreachable):
            search(cells, found, policy)
        return
    outcome = search(cells, found, policy).outcome
    least = min(loss for loss, _ in reached.values())
    assert outcome.loss == pytest.approx(least, abs=1e-9)
    assert reached[outcome.levels] == (pytest.approx(outcome.loss, abs=1e-9), outcome.suppressed)
    ties = [(suppressed, levels) for levels, (loss, suppressed) in reached.items() if loss < least + 1e-9]
    assert (outcome.suppressed, outcome.levels) == min(ties)


@settings(max_examples=100, deadline=None)
@given(tables(), policies)
def test_every_class_of_a_release_holds_k_l_and_t(table, policy):
    found, rows, words, numbers = table
    cells, cell_of_row = counted(found, rows, secrets_of(words, numbers))
    try:
        outcome = search(cells, found, policy).outcome
    except PolicyUnreachable:
        return
    release = by_levels(cells, cell_of_row, found, outcome)
    left = np.flatnonzero(release.kept)
    assert len(rows) - len(left) == outcome.suppressed <= policy.suppression * len(rows) + 1e-9
    written = list(zip(*(release.texts(hierarchy.column) for hierarchy in found), strict=True))
    for cls in range(outcome.classes):
        members = np.flatnonzero(release.class_of_row == cls)
        assert len(members) >= policy.k
        assert len({written[np.searchsorted(left, i)] for i in members}) == 1
        for values, ordered in ((words, False), (numbers, True)):
            part = [values[i] for i in members]
            assert diversity(part, policy.diversity) >= policy.l - 1e-6
            assert distance(part, [values[i] for i in left], ordered) <= policy.t + 1e-6
    assert len(set(written)) == outcome.classes
    assert measure(release, secrets_of(words, numbers), policy, sha256=SHA).short_of() == ()


@settings(max_examples=60, deadline=None)
@given(tables())
def test_rows_that_fail_k_and_distinct_l_only_become_fewer_upwards(table):
    """What tagging rests on; and no node loses less than its levels alone."""
    found, rows, words, numbers = table
    cells, _ = counted(found, rows, secrets_of(words, numbers))
    looked = Lattice(cells, found, PrivacyPolicy(k=3, l=2))
    least = looked.least_losses()
    outcomes = {node: looked.look_at(node) for node in np.ndindex(least.shape)}
    for node, outcome in outcomes.items():
        assert outcome.loss >= least[node] - 1e-12
        for axis in range(len(node)):
            above = (*node[:axis], node[axis] + 1, *node[axis + 1 :])
            if above in outcomes:
                assert outcomes[above].floor <= outcome.floor
                assert least[above] >= least[node] - 1e-12
                assert outcome.loss >= least[node] + outcomes[above].penalty - 1e-12


def test_most_of_the_lattice_is_never_looked_at(shared_data):
    found = adult_hierarchies(shared_data)
    columns = [lattice_column(shared_data, found, axis) for axis in range(len(found))]
    cells, _ = count_cells(columns, [len(hierarchy.values) for hierarchy in found])
    result = search(cells, found, PrivacyPolicy(k=5, suppression=0.05))
    assert result.nodes == 1008
    assert result.looked_at < 100


def lattice_column(folder, found, axis):
    from fl_tasks.anonymize.table import encode

    return encode(found[axis], adult(folder)[list(ADULT)[axis]])


@pytest.mark.parametrize(
    ("k", "levels", "classes", "suppressed"), [(5, (2, 0, 0, 0, 1, 1), 420, 1490), (10, (3, 0, 0, 0, 2, 1), 167, 1306)]
)
def test_the_known_optimum_of_adult_is_reached(shared_data, k, levels, classes, suppressed):
    found = adult_hierarchies(shared_data)
    columns = [lattice_column(shared_data, found, axis) for axis in range(len(found))]
    cells, cell_of_row = count_cells(columns, [len(hierarchy.values) for hierarchy in found])
    policy = PrivacyPolicy(k=k, suppression=0.05)
    outcome = search(cells, found, policy).outcome
    assert (outcome.levels, outcome.classes, outcome.suppressed) == (levels, classes, suppressed)
    report = measure(by_levels(cells, cell_of_row, found, outcome), [], policy, sha256=SHA)
    assert (report.classes, report.suppressed, report.k >= k, report.levels) == (classes, suppressed, True, levels)
    assert report.ncp == pytest.approx(outcome.loss)


def test_cells_summed_over_agencies_give_the_recoding_of_the_pooled_rows(shared_data):
    """A common recoding needs no agency's rows: counts of cells, added up, are enough."""
    found = adult_hierarchies(shared_data)
    columns = [lattice_column(shared_data, found, axis) for axis in range(len(found))]
    sizes = [len(hierarchy.values) for hierarchy in found]
    policy = PrivacyPolicy(k=5, suppression=0.05)
    parts = [count_cells([column[agency::4] for column in columns], sizes)[0] for agency in range(4)]
    joined = Cells(
        tuple(np.concatenate([part.codes[axis] for part in parts]) for axis in range(len(found))),
        tuple(sizes),
        np.concatenate([part.count for part in parts]),
        (),
    )
    assert search(joined, found, policy).outcome.levels == (2, 0, 0, 0, 1, 1)


def test_a_policy_that_no_recoding_reaches_is_a_named_refusal():
    values = [str(i) for i in range(8)]
    hierarchy = build("x", [values, ["*"] * 8], where="x.csv")
    cells, _ = counted([hierarchy], [(value,) for value in values], [])
    with pytest.raises(PolicyUnreachable, match="no recoding of 8 rows reaches k = 9 with at most 0 rows suppressed"):
        search(cells, [hierarchy], PrivacyPolicy(k=9))
    one = Sensitive("s", np.arange(8), np.zeros(8, dtype=np.int64), np.ones(8, dtype=np.int64), 1, False)
    with pytest.raises(PolicyUnreachable, match=r"entropy l = 2, t = 0\.5"):
        search(Cells(cells.codes, cells.sizes, cells.count, (one,)), [hierarchy],
               PrivacyPolicy(k=2, l=2, diversity="entropy", t=0.5))  # fmt: skip


def test_a_lattice_too_large_to_search_is_refused(monkeypatch):
    monkeypatch.setattr(lattice, "MOST_NODES", 1)
    hierarchy = build("x", [["a", "b"], ["*", "*"]], where="x.csv")
    cells, _ = counted([hierarchy], [("a",), ("b",)], [])
    with pytest.raises(LatticeTooLarge, match="2 combinations of levels, at most 1"):
        search(cells, [hierarchy], PrivacyPolicy(k=2))


def test_one_million_nearly_unique_rows_reach_k_within_the_limit_or_are_refused():
    rng = np.random.default_rng(0)
    n, values = 1_000_000, 4096
    names = [str(value) for value in range(values)]
    levels = [[str(value >> shift) for value in range(values)] for shift in (3, 6, 9)]
    found = [build(name, [names, *levels, ["*"] * values], where=name) for name in ("place", "birth")]
    columns = [rng.integers(0, values, n).astype(np.int32) for _ in found]
    cells, cell_of_row = count_cells(columns, [values, values])
    assert len(cells.count) > 0.95 * n
    policy = PrivacyPolicy(k=5, suppression=0.05)
    outcome = search(cells, found, policy).outcome
    report = measure(by_levels(cells, cell_of_row, found, outcome), [], policy, sha256=SHA)
    assert report.k >= 5
    assert report.suppressed <= 0.05 * n
    flat = [build(name, [names, ["*"] * values], where=name) for name in ("place", "birth", "third")]
    columns = [column[:20_000] for column in [*columns, columns[0][::-1]]]
    unreachable, _ = count_cells(columns, [values] * 3)
    with pytest.raises(PolicyUnreachable):
        search(unreachable, flat, PrivacyPolicy(k=20_001))
