"""A run whose agencies have homes of their own, and reach the coordinator's exchange through the federated server."""

from __future__ import annotations

import shutil
from pathlib import Path

from fl_tasks.contracts.connection import exchange_key_path
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.exchange.admitted import admit
from fl_tasks.scenarios import load
from fl_tasks.scenarios.hand_out import hand_out
from fl_tasks.stages import enrol
from fl_tasks.stages.context import load_key
from tests.exchange.federated_server import FederatedServer, now
from tests.stages.federation_run import AGENCIES, SCENARIO, Run


class SplitRun(Run):
    """One run over a server that is running; its home is the server's."""

    def __init__(self, folder: Path, server: FederatedServer, *, rounds: int) -> None:
        super().__init__(folder, rounds=rounds)
        self.home = server.home
        self._server = server
        self._folder = folder

    def home_of(self, agency: str) -> Home:
        return Home(self._folder / agency)

    def found(self) -> None:
        """Hand out data, admit every agency by its card, and agree on a roster through the server."""
        hand_out(SCENARIO, load(SCENARIO).generate(seed=5), self.home, self.federation)
        for agency in AGENCIES:
            home = self.home_of(agency)
            home.root.mkdir(mode=0o700)
            home.agency(agency).parent.mkdir()
            shutil.move(self.home.agency(agency), home.agency(agency))
            folder = home.agency(agency)
            admit(self.home, enrol.make_card(folder, agency), expires=None, now=now())
            self._server.connect(folder, load_key(exchange_key_path(folder)))
            enrol.init_agency(home, self.federation, SCENARIO, agency)
        roster = enrol.init_coordinator(self.home, self.federation, SCENARIO)
        for agency in AGENCIES:
            enrol.approve(self.home_of(agency), SCENARIO, agency, roster.sha256.hex())

    def spec(self, stage: str, agency: str | None = None, round_: int | None = None) -> StageSpec:
        found = super().spec(stage, agency, round_)
        if agency is None:
            return found
        # Without a model of its own, which takes as long as the federated one.
        return found.model_copy(update={"home": self.home_of(agency).root, "local_only": False})
