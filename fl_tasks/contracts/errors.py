"""The root of every error that this package raises on purpose.

A message names what was got, what is needed and what to do next. It never holds a data value, a key, a
share or an update: messages end in logs that leave the agency.
"""

from __future__ import annotations

import errno
from typing import Any, ClassVar


class FLError(Exception):
    """Root of all errors raised on purpose.

    Attributes:
        retryable: Whether the same call may succeed later with nothing changed by hand. A stage's process
            exits 10 for a final error, so that the scheduler does not retry it in vain, and 1 for the rest.
        journaled: Whether an agency's journal holds this very refusal already.
    """

    retryable: ClassVar[bool] = False
    journaled: bool = False

    @property
    def code(self) -> str:
        """The error's stable name, as it stands in reports and journals."""
        return type(self).__name__


def is_disk_full(error: OSError) -> bool:
    """Whether there was no room, or the user has used up his share of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


class ConfigError(FLError):
    """A YAML or JSON file of the configuration is wrong; the message names file and field."""


class InputError(FLError):
    """A data file of an agency is missing, empty or malformed; the message names file and column."""


class DataRejected(FLError):
    """An agency's data failed a critical quality check, so that the agency is left out of the run.

    Attributes:
        judged: The data sets that were judged, each a DatasetRef with its checks, for lineage.
    """

    judged: tuple[Any, ...] = ()


class PolicyRefused(FLError):
    """A request from outside asks for more than the agency's own policy.yaml admits."""


class CodeNotApproved(FLError):
    """What is installed at an agency, or asked for from there, is not what its operator approved."""


class QuorumMissing(FLError):
    """Fewer agencies than the threshold t are left."""


class MissingInput(FLError):
    """Something that an earlier step has to leave behind is not there (yet)."""

    retryable: ClassVar[bool] = True


class LearningFailed(FLError):
    """The learning process ended without a result that can be used."""
