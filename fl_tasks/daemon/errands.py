"""What an agency's daemon does by itself: tell the coordinator what the agency's data officer has decided."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.paths import Home
from fl_tasks.stages.answer import open_questions, tell_decision

log = logging.getLogger(__name__)


class Errand(Protocol):
    """Something that a daemon does by itself from time to time, in a child as a stage is."""

    def due(self) -> bool:
        """Whether there is anything to do; asked in the daemon, so it only looks."""

    def run(self) -> None:
        """Do it."""


@dataclass(frozen=True)
class TellDecisions:
    """Look whether an officer has decided on a plan that was received; agency None stands for all that are here."""

    home: Home
    agency: str | None

    def due(self) -> bool:
        """Whether a plan waits for its officer."""
        return any(any(open_questions(self.home, name)) for name in self._agencies())

    def run(self) -> None:
        """Tell each decision that was made; what cannot be told now is tried again."""
        for name in self._agencies():
            for folder in list(open_questions(self.home, name)):
                try:
                    tell_decision(self.home, name, folder)
                except (FLError, OSError, ValueError) as error:  # one that cannot be told holds up no other
                    code = error.code if isinstance(error, FLError) else type(error).__name__
                    log.warning("agency=%s run=%s not told: %s: %s", name, folder.name, code, error)

    def _agencies(self) -> list[str]:
        if self.agency is not None:
            return [self.agency]
        return sorted(path.parent.name for path in self.home.root.glob("agencies/*/runs"))
