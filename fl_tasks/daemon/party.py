"""Whose stages a daemon runs, and what it refuses of a call before a stage begins.

Nothing of a call says where anything lies: the folders of a stage are the daemon's own. What a call tells of its origin
(DAG bundle, federation folder) is compared and never opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from fl_tasks.contracts.base import describe
from fl_tasks.contracts.call import MOST_CALL_BYTES, Call
from fl_tasks.contracts.errors import PolicyRefused
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.stages.admission import journal_refusal


@dataclass(frozen=True)
class Party:
    """Whom a daemon serves, and from which folders.

    Attributes:
        home: The installation's folders.
        federation: The installation's own folder with scenarios/ and agencies/.
        kind: One agency, the coordinator, or all parties of the installation.
        agency: Its id, of an agency.
        bundle: Of an agency: the one DAG bundle of its worker's Airflow, a folder of this machine.
    """

    home: Home
    federation: Path
    kind: Literal["all", "agency", "coordinator"]
    agency: str | None = None
    bundle: str | None = None

    @property
    def folder(self) -> Path:
        """The party's own folder; of all parties the installation's home."""
        if self.agency is not None:
            return self.home.agency(self.agency)
        return self.home.root if self.kind == "all" else self.home.coordinator

    def spec(self, content: bytes | None) -> StageSpec:
        """Return the stage that a call asks for, with this installation's own folders.

        Args:
            content: Of the call's file; None if it was too long to be read.

        Raises:
            PolicyRefused: If it is no call, or not one for this daemon. The agency's journal holds it then, if it is of
                a scenario in which the agency takes part.
        """
        if content is None:
            raise PolicyRefused(f"a request of more than {MOST_CALL_BYTES} bytes was not read: no stage's is so long")
        try:
            call = Call.model_validate_json(content)
        except ValidationError as error:
            raise PolicyRefused(
                f"a request that is none: {describe(error)}; worker and daemon have to be of the same version"
            ) from error
        spec = StageSpec.of(call.request, self.home.root, self.federation)
        for wrong, text in self._rules(call):
            if wrong:
                refusal = PolicyRefused(text)
                if self.agency is not None:
                    journal_refusal(spec.model_copy(update={"agency": self.agency}), refusal)
                raise refusal
        return spec

    def _rules(self, call: Call) -> Iterator[tuple[bool, str]]:
        """Yield what may be wrong with a call, and what is said then."""
        asked = call.request
        name, version = (None, None) if call.bundle is None else (call.bundle.name, call.bundle.version)
        if self.kind == "coordinator":
            yield (
                asked.agency is not None,
                f"a request for agency {asked.agency!r}: this daemon serves the coordinator alone",
            )
        if self.kind == "agency":
            yield (
                asked.agency is None,
                f"stage {asked.stage} is the coordinator's: this daemon serves agency {self.agency!r} alone",
            )
            yield (
                asked.agency != self.agency,
                f"a request for agency {asked.agency!r}: this daemon serves {self.agency!r} alone",
            )
            yield (
                name != self.bundle,
                f"the run's DAG comes from bundle {name!r}, admitted is {self.bundle!r}: the worker's Airflow "
                "has to have that one alone, a folder of this machine",
            )
            yield (
                version is not None,
                f"the run's DAG comes from version {version!r} of its bundle: a folder of this machine has "
                "none, and what runs here only this agency's operator approves",
            )
        yield (
            call.federation != self.federation,
            f"the run's DAG lies beside {call.federation}, this daemon serves the DAGs beside {self.federation}: give "
            "the worker that DAG folder; on one machine, give each DAG folder a HUILIU_HOME of its own",
        )
