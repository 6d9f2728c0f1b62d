"""An agency whose data stages run again and again: what they took, and what they left."""

from __future__ import annotations

import datetime as dt
import gzip

import yaml

from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import write_spec
from fl_tasks.stages import enrol, reuse
from fl_tasks.stages.policy import policy_path
from fl_tasks.stages.runner import run_stage
from tests.stages.data_stages import (
    AGENCY,
    SCENARIO,
    ZONE,
    changed_federation,
    csv_text,
    deliver,
    files_of,
    row,
    spec_of,
)

TAKEN = ("ingest", "anonymize", "standardize")
ALL = (*TAKEN, "validate")
APRIL = (dt.datetime(2012, 3, 2, tzinfo=ZONE), dt.datetime(2012, 4, 2, tzinfo=ZONE))


class Site:
    """One agency that approved what is installed, with two days of made-up speeds."""

    def __init__(self, folder):
        self.home = folder / "home"
        self.federation = changed_federation(folder / "federation")
        self.folder = Home(self.home).agency(AGENCY)
        self.deliver()
        enrol.init_agency(Home(self.home), self.federation, SCENARIO, AGENCY)

    def deliver(self, *late):
        deliver(self.home, csv_text([*(row(step) for step in range(800)), *late]))
        path = self.folder / "incoming" / "speed_5min.csv.gz"
        # Without the time of packing: the same text is the same file.
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), mtime=0))

    def change(self, path, change):
        value = yaml.safe_load(path.read_text())
        change(value)
        path.write_text(yaml.safe_dump(value, allow_unicode=True))

    def change_scenario(self, change):
        self.change(self.federation / "scenarios" / f"{SCENARIO}.yaml", change)

    def change_source(self, change):
        path = self.federation / "agencies" / f"{AGENCY}.yaml"
        self.change(path, lambda value: change(value["scenarios"][SCENARIO]))

    def change_policy(self, change):
        self.change(policy_path(self.folder), lambda value: change(value["scenarios"][SCENARIO]))

    def spec(self, stage, run, kind="", **more):
        found = spec_of(self.home, stage, federation=self.federation, run=run, **more)
        return found.model_copy(update={"run_id": f"{kind}{found.run_id}"})

    def stage(self, stage, run, **more):
        return run_stage(write_spec(self.spec(stage, run, **more)))

    def run(self, run, *, stages=TAKEN, **more):
        return {stage: self.stage(stage, run, **more) for stage in stages}

    def files(self, run, **more):
        """All that the stages leave; specs and results name the run and the time it took."""
        found = files_of(self.spec("ingest", run, **more).folder)
        return {name: data for name, data in found.items() if name.parts[0] not in {"specs", "results"}}

    def records(self):
        return sorted(reuse.records_folder(self.folder, SCENARIO).glob("*.json"))

    def forget(self):
        for path in self.records():
            path.unlink()


def reused(results):
    return {
        stage for stage, result in results.items() if result.reason.startswith("reused: all that it reads is as in")
    }


def as_anew(result, run):
    """A result without what may differ between runs: what is said of the reuse, the run's name, and the time."""
    text = result.model_copy(update={"reason": result.reason.partition("; ")[2], "seconds": 0.0}).model_dump_json()
    return text.replace(f"{SCENARIO}__{run}/", "")
