"""Where everything lies below one home folder (HUILIU_HOME, by default var/)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The folders of one installation. An agency's installation has only its own folder below agencies/."""

    root: Path

    def agency(self, agency: str) -> Path:
        """An agency's own folder, mode 0700: keys, journal, data, policy.yaml. Never shared."""
        return self.root / "agencies" / agency

    def agency_run(self, agency: str, run_id: str) -> Path:
        """An agency's working files of one run: its data, its specs and its results."""
        return self.agency(agency) / "runs" / run_id

    @property
    def coordinator(self) -> Path:
        """The coordinator's own folder: its key and its state."""
        return self.root / "coordinator"

    def coordinator_run(self, run_id: str) -> Path:
        """The coordinator's working files of one run: model and optimizer state, specs and results."""
        return self.coordinator / "runs" / run_id

    def exchange(self, run_id: str) -> Path:
        """The write-once folder through which the messages of one run go."""
        return self.root / "exchange" / run_id

    def roster(self, scenario: str) -> Path:
        """The write-once folder through which a scenario's roster is agreed on."""
        return self.root / "exchange" / "rosters" / scenario

    def registry(self, scenario: str) -> Path:
        """The write-once folder of a scenario's promoted models, and of who is champion."""
        return self.root / "exchange" / "registry" / scenario

    @property
    def uploads(self) -> Path:
        """What has come of messages that agencies are sending; on the disk of the exchange, no space of it."""
        return self.root / "exchange" / ".uploads"

    @property
    def mlflow(self) -> Path:
        """The coordinator's MLflow database and artifacts."""
        return self.coordinator / "mlflow"

    def report(self, run_id: str) -> Path:
        """What a run leaves for people: report.json, report.html, openlineage.jsonl."""
        return self.root / "runs" / run_id
