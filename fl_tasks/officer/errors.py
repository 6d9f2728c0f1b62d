"""Why an officer's command does nothing. None of them is retried; what is said is what to do."""

from __future__ import annotations

from fl_tasks.approvals.errors import ApprovalRefused


class WrongDigest(ApprovalRefused):
    """The digest that was repeated is not the one of the plan that is laid out."""


class NotReceived(ApprovalRefused):
    """The plan was not taken over into PySyft."""


class NotDecidable(ApprovalRefused):
    """What was decided on the plan before does not admit this decision."""


class NoSuchRecord(ApprovalRefused):
    """The officer has no record of that id."""


class ReceiveRefused(ApprovalRefused):
    """One or more deliveries were not taken over."""
