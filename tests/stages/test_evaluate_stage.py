"""evaluate: what an agency says of a model on its held-back data never tells of a few windows."""

from __future__ import annotations

import numpy as np
import pytest

from fl_tasks.contracts.data import FIGURE_LEAST, held_back_examples
from fl_tasks.contracts.errors import DataRejected
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.stages.evaluate import check_enough
from tests.registry.trained_run import AGENCIES, Installation

MONTH = 3
AGENCY = AGENCIES[0]


def hold_back(spec, windows):
    folder = held_back_examples(spec.folder)
    folder.mkdir(parents=True)
    for name, ahead in (("x", (12, 3)), ("y", (12,)), ("season", (12,)), ("hour", ())):
        np.save(folder / f"{name}.npy", np.zeros((windows, *ahead), dtype=np.float32))


@pytest.fixture
def installation(tmp_path):
    return Installation(tmp_path).install()


def test_no_error_figure_over_fewer_windows_than_the_limit_leaves_an_agency(installation):
    installation.train(MONTH, 1, {})
    spec = installation.spec("evaluate", MONTH, agency=AGENCY)
    hold_back(spec, FIGURE_LEAST - 1)
    with pytest.raises(DataRejected, match="fewer than 10 examples are held back"):
        installation.stage("evaluate", MONTH, agency=AGENCY)
    assert not FolderExchange(installation.home.exchange(spec.run_id)).names("evaluation")


def test_as_many_windows_as_the_limit_are_enough(installation):
    spec = installation.spec("evaluate", MONTH, agency=AGENCY)
    hold_back(spec, FIGURE_LEAST)
    check_enough(spec)
