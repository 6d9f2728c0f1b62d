"""Why a plan is not taken over, or a stage may not open an agency's data. One class a reason; none is retried.

An error's message may name paths, OS users and files of the agency, and stays there. Other parties are told its code
and its class's first line, which therefore name nothing local.
"""

from __future__ import annotations

from fl_tasks.contracts.errors import FLError


class ApprovalRefused(FLError):
    """Root of all refusals around an officer's approval."""

    @property
    def told(self) -> str:
        """What other parties are told of it."""
        return str(type(self).__doc__).partition("\n")[0]


class DeliveryMissing(ApprovalRefused):
    """The run's plan was not laid out at this agency."""


class DeliveryAltered(ApprovalRefused):
    """Plan or code are not what the coordinator signed."""


class ArchiveRefused(DeliveryAltered):
    """The code's archive holds what no delivery has: a link, a name that leaves its folder, too many bytes."""


class DeliveryConflict(ApprovalRefused):
    """Another plan or other code came for a run whose plan is laid out already."""


class PlanMismatch(ApprovalRefused):
    """The plan is not what this installation would do."""


class OfficerUnknown(ApprovalRefused):
    """The agency has no officer's card, or one that is not its own."""


class OfficerNotApart(ApprovalRefused):
    """The officer's files belong to another OS user than the card says, or officer and daemon are one user."""


class RecordConflict(ApprovalRefused):
    """A record of this id was written before with another content."""


class RecordAltered(ApprovalRefused):
    """An officer's record is not signed with the pinned key, was edited, or lies under another record's name."""


class NotApproved(ApprovalRefused):
    """The officer has made no decision on this run, whatever PySyft's state says."""


class Rejected(ApprovalRefused):
    """The officer rejected the plan."""


class DecisionOnAnotherPlan(ApprovalRefused):
    """The officer's decision on this run is on another plan than the one that is laid out."""


class DecisionOnAnotherJob(ApprovalRefused):
    """The officer's decision names another job of PySyft than this run's."""


class ApprovalExpired(ApprovalRefused):
    """The decision's last moment is past."""


class ApprovalRevoked(ApprovalRefused):
    """The officer took the decision back."""


class StandingMissing(ApprovalRefused):
    """The decision names a standing approval that is not there."""


class StandingRevoked(ApprovalRevoked):
    """The officer took the standing approval back."""


class StandingExpired(ApprovalExpired):
    """The standing approval's date is past."""


class StandingMismatch(ApprovalRefused):
    """The standing approval is for other terms, or for later months than the plan's."""


class BudgetSpent(ApprovalRefused):
    """The standing approval has covered as many retrainings as it may."""


class StateMissing(ApprovalRefused):
    """PySyft knows no state of the run's job."""


class StateUnreadable(ApprovalRefused):
    """PySyft's state of the job is not in the form of the version that this installation knows."""


class StateNotApproved(ApprovalRefused):
    """PySyft's state of the job does not say approved."""


class StateForged(ApprovalRefused):
    """PySyft's state of the job contradicts the officer's record."""


class JobAltered(ApprovalRefused):
    """The job's folder does not hold exactly the files that the officer decided on."""


class CodeMismatch(ApprovalRefused):
    """The code that was approved is not the code that is installed here."""


class AlreadyUsed(ApprovalRefused):
    """The decision was used before, for another plan or for a session that is over."""
