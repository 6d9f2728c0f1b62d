"""Why a party refuses. One class a reason, so that a refusal can be told apart in the journal."""

from __future__ import annotations

from typing import ClassVar

from fl_tasks.contracts.errors import FLError


class ProtocolError(FLError):
    """Root of all refusals of the secure-aggregation protocol; never retried."""


class MalformedMessage(ProtocolError):
    """A message has a wrong prefix, length, order or value."""


class BadSignature(ProtocolError):
    """A message is not signed by the one who should have sent it."""


class WrongSession(ProtocolError):
    """A message belongs to another session, roster, list, close, round or model."""


class RosterChanged(WrongSession):
    """A session goes on under another roster than it was opened with: t, N or another parameter was changed."""


class SessionOver(WrongSession):
    """The session's last day is past; its secrets are deleted."""


class MisdeliveredShare(WrongSession):
    """A share file was made under another list of keys, or by or for another agency."""


class UnsafeThreshold(ProtocolError):
    """The roster's t is too low for its N and n_c: a sum could be one agency's."""


class UnknownMember(ProtocolError):
    """A message names an agency outside the roster, the cohort or the closed set."""


class KeysWithheld(ProtocolError):
    """The coordinator's list lacks this agency's own keys or holds others."""


class BadKey(ProtocolError):
    """A public key is not a usable curve point."""


class DuplicateKey(BadKey):
    """One public key stands for two agencies, or for two rounds: revealing one would unmask the other."""


class BadShare(ProtocolError):
    """A share file does not open."""


class InconsistentShares(ProtocolError):
    """Shares do not add up to the secret that its owner committed to."""


class SharesWithheld(ProtocolError):
    """A close counts on share files that this agency never opened, or on a set that is not covered."""


class CloseConflict(ProtocolError):
    """Another close was accepted in this session before."""


class ManifestConflict(ProtocolError):
    """Another manifest was accepted in this round before."""


class TooFewAgencies(ProtocolError):
    """Fewer than t agencies are left at a step."""


class UploadAltered(ProtocolError):
    """The manifest names an upload of this agency that it did not send."""


class UploadAfterManifest(ProtocolError):
    """An update was asked for in a round whose manifest this agency has accepted without it."""


class RoundClosed(ProtocolError):
    """A later round was acknowledged, so that this one is over."""


class RoundBurnt(ProtocolError):
    """The round has a verdict `burnt`; its index is never used again."""


class NotAcknowledged(ProtocolError):
    """A reveal was asked for without this agency's own ack, or without t equal acks."""


class ModelMismatch(ProtocolError):
    """The manifest names another model than the one that this agency trained on."""


class DifferencingRefused(ProtocolError):
    """Another survivor set was acknowledged under the same model and data interval before."""


class WeightTooLarge(ProtocolError):
    """An agency has more training examples than the roster admits."""


class NotFinite(ProtocolError):
    """A model delta or a loss holds NaN or infinity."""


class RingOverflow(ProtocolError):
    """A quantized value is out of the range that keeps the sum below the ring."""


class CountMismatch(ProtocolError):
    """The opened sum's own count differs from the survivor set."""


class SurveyMismatch(ProtocolError):
    """The coordinator's request for a survey is not the one that this agency's own configuration gives."""


class PreparationRefused(ProtocolError):
    """A recoding or scale is not the one that the run's survey ended with, or does not follow from its request."""


class RosterNotApproved(ProtocolError):
    """The session's roster is not the one that this agency approved."""


class ResendConflict(ProtocolError):
    """A message of this name was sent before with other bytes."""


class KeysGone(ProtocolError):
    """The secrets of this step were deleted by the protocol's own rules."""


class JournalBroken(ProtocolError):
    """The journal is missing, shortened, forked or altered."""


class JournalRolledBack(JournalBroken):
    """The journal does not hold a head that this agency has posted: both its copies were restored."""


class JournalBusy(ProtocolError):
    """Another process holds the journal; Airflow may start a retry while the first attempt lives."""

    retryable: ClassVar[bool] = True


class ChampionChainBroken(ProtocolError):
    """The champion's records are torn, skipped, re-ordered, of another scenario, or contradict each other."""


class ChampionRolledBack(ProtocolError):
    """Somebody shows an older or another chain of champions than this agency has already used."""
