"""One recoding from sums over agencies: the lattice's optimum for one, the best that holds at each for several."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.anonymize import nodes
from fl_tasks.anonymize.cells import count_cells
from fl_tasks.anonymize.errors import LatticeTooLarge, NoRecoding, PolicyUnreachable
from fl_tasks.anonymize.hierarchy import build
from fl_tasks.anonymize.judge import most_suppressed
from fl_tasks.anonymize.lattice import Lattice, search
from fl_tasks.anonymize.nodes import choose_node, count_nodes, hierarchy_sha256, lattice_shape, table_cells
from fl_tasks.contracts.anonymize import PrivacyPolicy
from fl_tasks.contracts.survey import LOSS_STEPS
from fl_tasks.contracts.table_config import TableColumn, TableConfig, TableQualityConfig, TableSplitConfig
from tests.anonymize.tables import ADULT, adult, adult_hierarchies, codes, policies, secrets_of, tables


def shape_of(found):
    return tuple(len(hierarchy.levels) for hierarchy in found)


def cells_of(found, rows, words, numbers):
    sizes = [len(hierarchy.values) for hierarchy in found]
    return count_cells(codes(found, rows), sizes, secrets_of(words, numbers))[0]


def summed(answers):
    return [sum(each) for each in zip(*answers, strict=True)]


@pytest.mark.parametrize(("k", "levels", "suppressed"), [(5, (2, 0, 0, 0, 1, 1), 1490), (10, (3, 0, 0, 0, 2, 1), 1306)])
def test_with_one_agency_the_node_is_the_known_optimum_of_adult(shared_data, k, levels, suppressed):
    rows, found = adult(shared_data), adult_hierarchies(shared_data)
    columns = [nodes.encode(hierarchy, rows[name]) for name, hierarchy in zip(ADULT, found, strict=True)]
    cells, _ = count_cells(columns, [len(hierarchy.values) for hierarchy in found])
    policy = PrivacyPolicy(k=k, suppression=0.05)
    numbers = count_nodes(cells, found, policy)
    assert (
        choose_node(numbers, shape_of(found), 1, policy).levels == levels == search(cells, found, policy).outcome.levels
    )
    place = np.ravel_multi_index(levels, shape_of(found))
    assert numbers[nodes.NUMBERS * place] == suppressed


@settings(max_examples=60)
@given(tables(), policies)
def test_with_one_agency_the_node_is_the_optimum_of_the_lattice_search(table, policy):
    found, *rows = table
    cells = cells_of(found, *rows)
    numbers = count_nodes(cells, found, policy)
    try:
        wanted = search(cells, found, policy).outcome
    except PolicyUnreachable:
        with pytest.raises(NoRecoding):
            choose_node(numbers, shape_of(found), 1, policy)
        return
    chosen = choose_node(numbers, shape_of(found), 1, policy).levels
    outcome = Lattice(cells, found, policy).look_at(chosen)
    # Losses that differ by less than a step of the sums are the same to them.
    assert outcome.loss == pytest.approx(wanted.loss, abs=2 / LOSS_STEPS / cells.rows)
    assert outcome.suppressed <= wanted.suppressed or outcome.levels == wanted.levels


@st.composite
def federations(draw):
    """Hierarchies, and the rows of two to four agencies."""
    found, rows, words, numbers = draw(tables(most_rows=40))
    agencies = draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    parts = []
    for agency in sorted(set(agencies)):
        chosen = [place for place, owner in enumerate(agencies) if owner == agency]
        parts.append(tuple([each[place] for place in chosen] for each in (rows, words, numbers)))
    return found, parts


@settings(max_examples=40)
@given(federations(), policies)
def test_the_node_holds_at_every_agency_and_no_other_that_does_loses_less(federation, policy):
    found, parts = federation
    cells = [cells_of(found, *part) for part in parts]
    numbers = summed(count_nodes(one, found, policy) for one in cells)
    every = list(itertools.product(*map(range, shape_of(found))))
    outcomes = {node: [Lattice(one, found, policy).look_at(node) for one in cells] for node in every}
    losses = {
        node: sum(outcome.loss * one.rows for outcome, one in zip(each, cells, strict=True))
        for node, each in outcomes.items()
        if all(o.suppressed <= most_suppressed(c.rows, policy) and o.classes for o, c in zip(each, cells, strict=True))
    }
    if not losses:
        with pytest.raises(NoRecoding):
            choose_node(numbers, shape_of(found), len(parts), policy)
        return
    chosen = choose_node(numbers, shape_of(found), len(parts), policy).levels
    assert chosen in losses
    assert losses[chosen] == pytest.approx(min(losses.values()), abs=2 * len(parts) / LOSS_STEPS)


@st.composite
def sums(draw):
    """The sums of three agencies over a small lattice; somewhere none exceeds."""
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    size = int(np.prod(shape))
    each = st.tuples(st.integers(0, 9), st.integers(0, 40), st.integers(0, 3))
    nodes_ = draw(st.lists(each, min_size=size, max_size=size))
    nodes_[draw(st.integers(0, size - 1))] = (3, 20, 0)
    return shape, [number for node in nodes_ for number in node]


@given(sums(), st.data())
def test_the_champions_levels_stay_while_no_agency_exceeds_there(found, data):
    shape, numbers = found
    policy = PrivacyPolicy(k=3)
    node = data.draw(st.sampled_from(list(itertools.product(*map(range, shape)))))
    chosen = choose_node(numbers, shape, 3, policy, node)
    holds = numbers[2 :: nodes.NUMBERS][int(np.ravel_multi_index(node, shape))] == 0
    assert chosen.kept == holds
    assert chosen.levels == (node if holds else choose_node(numbers, shape, 3, policy).levels)


def test_of_nodes_that_lose_the_same_the_one_that_suppresses_less_then_the_one_of_lower_levels():
    """The same means to half a step of each of the four agencies."""
    numbers = [*(9, 100, 0), *(7, 104, 0), *(7, 103, 0), *(1, 105, 0), *(0, 90, 1)]
    assert choose_node(numbers, (5,), 4, PrivacyPolicy(k=2)).levels == (1,)
    numbers[3:6] = (7, 104, 2)
    assert choose_node(numbers, (5,), 4, PrivacyPolicy(k=2)).levels == (2,)


def test_a_missing_number_is_a_value_of_its_own_before_all_others():
    columns = [
        {"column": "a", "role": "quasi_identifier", "values": ("x", "y"), "hierarchy": "a.csv"},
        {"column": "n", "role": "sensitive", "kind": "numeric", "minimum": 0.0, "maximum": 9.0, "optional": True},
        {"column": "t", "role": "target", "values": ("0", "1")},
    ]
    config = TableConfig(
        kind="table",
        columns=tuple(TableColumn(**column) for column in columns),
        classes=("0", "1"),
        privacy=PrivacyPolicy(k=2),
        split=TableSplitConfig(train=0.7, validation=0.1, test=0.2),
        quality=TableQualityConfig(min_rows=1, min_completeness=0.5, max_quarantined=0.1),
    )
    tree = build("a", [["x", "y"], ["*", "*"]], where="a.csv")
    rows = {"a": ["x", "x", "x", "y"], "n": np.array([0.0, np.nan, 5.0, 0.0]), "t": ["0", "1", "0", "0"]}
    cells, cell_of_row = table_cells(rows, config, {"a": tree})
    assert cell_of_row.tolist() == [0, 0, 0, 1]
    assert [one.name for one in cells.sensitive] == ["n", "t"]  # what is to be predicted is judged, too
    number = cells.sensitive[0]
    assert (number.values, number.ordered) == (3, True)
    pairs = dict(zip(zip(number.cell.tolist(), number.value.tolist(), strict=True), number.count, strict=True))
    assert pairs == {(0, 0): 1, (0, 1): 1, (0, 2): 1, (1, 1): 1}


@pytest.mark.parametrize("levels", [(9, 0), (0,), (0, 0, 0), (-1, 0)])
def test_levels_of_another_lattice_are_not_kept(levels):
    numbers = [0, 0, 0] * 4
    chosen = choose_node(numbers, (2, 2), 3, PrivacyPolicy(k=2), levels)
    assert (chosen.levels, chosen.kept) == ((0, 0), False)


def test_where_nothing_holds_everywhere_the_refusal_names_the_policy_and_no_count_of_rows():
    policy = PrivacyPolicy(k=5, l=2, t=0.4, suppression=0.05)
    numbers = [3, 700, 2, 4, 900, 1]
    with pytest.raises(
        NoRecoding, match=r"k = 5, distinct l = 2, t = 0.4 with at most 5 % .* at all 3 agencies"
    ) as caught:
        choose_node(numbers, (2,), 3, policy)
    assert "at the best of 2 combinations 1 of them" in str(caught.value)
    assert not {"700", "900", "3 rows", "4 rows"} & set(str(caught.value).split())


def test_a_lattice_of_too_many_nodes_is_refused_with_its_columns(monkeypatch):
    tree = build("a", [["x", "y"], ["*", "*"]], where="a.csv")
    assert lattice_shape({"a": tree, "b": tree}) == (2, 2)
    monkeypatch.setattr(nodes, "MOST_NODES", 3)
    with pytest.raises(LatticeTooLarge, match="'a', 'b' have 4 combinations"):
        lattice_shape({"a": tree, "b": tree})


def test_hierarchies_that_differ_in_a_value_group_label_or_loss_have_other_hashes():
    base = [["a", "b", "c"], ["ab", "ab", "c"], ["*"] * 3]
    known = {hierarchy_sha256(build("x", base, where="x"))}
    others = [
        [["a", "b", "d"], *base[1:]],
        [base[0], ["ab", "ab", "rest"], base[2]],
        [base[0], ["a", "bc", "bc"], base[2]],
        [base[0], base[2]],
    ]
    known |= {hierarchy_sha256(build("x", other, where="x")) for other in others}
    widths = [np.zeros(3), np.array([0.5, 0.5, 0.0]), np.ones(3)]
    known.add(hierarchy_sha256(build("x", base, where="x", widths=[0.9 * width for width in widths])))
    assert len(known) == 6
    assert hierarchy_sha256(build("x", base, where="elsewhere")) in known
