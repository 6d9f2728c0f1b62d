"""Why the exchange refuses. One class a reason: the server sends its name, and a client raises that class."""

from __future__ import annotations

from typing import ClassVar

from fl_tasks.contracts.errors import FLError


class ExchangeError(FLError):
    """Root of what goes wrong between a party and the exchange.

    Attributes:
        http_status: The status of the federated server's answer.
    """

    http_status: ClassVar[int] = 400


class ExchangeConflict(ExchangeError):
    """A name exists in the exchange with other content; write-once names never change."""

    http_status: ClassVar[int] = 409


class NameRefused(ExchangeConflict):
    """A name is none that the exchange has."""

    http_status: ClassVar[int] = 400


class NotYours(ExchangeError):
    """A name is another's to write, or was not left for this party to read."""

    http_status: ClassVar[int] = 403


class TooLarge(ExchangeError):
    """A message is longer than its name admits."""

    http_status: ClassVar[int] = 413


class UploadRefused(ExchangeError):
    """A request does not say what it sends: its length, its digest, or where it goes on."""


class UploadBroken(ExchangeError):
    """What came is not what the request announced."""

    retryable: ClassVar[bool] = True


class UploadBusy(ExchangeError):
    """Another request is storing the same message right now."""

    http_status: ClassVar[int] = 423
    retryable: ClassVar[bool] = True


class WrongOffset(ExchangeError):
    """An upload was to go on at another place than where it broke off."""

    http_status: ClassVar[int] = 409
    retryable: ClassVar[bool] = True


class ExchangeFull(ExchangeError):
    """The exchange has no room for a message: its disk is full, or the agency has too much unfinished."""

    http_status: ClassVar[int] = 507
    retryable: ClassVar[bool] = True


class ExchangeUnreachable(ExchangeError):
    """The exchange does not answer, or answers that it cannot work now."""

    http_status: ClassVar[int] = 503
    retryable: ClassVar[bool] = True


class NotTrusted(ExchangeError):
    """What answers is not shown to be the exchange: its certificate or host key is another one."""

    http_status: ClassVar[int] = 403


class TokenRefused(ExchangeError):
    """A token does not show which admitted agency sent it."""

    http_status: ClassVar[int] = 401


class NotAdmitted(TokenRefused):
    """The agency was never admitted."""


class AgencyRevoked(TokenRefused):
    """The agency's admission was taken back."""


class AdmissionExpired(TokenRefused):
    """The agency's admission has ended by itself."""


class WrongKey(TokenRefused):
    """The token is signed with another key than the one that was admitted, an old one perhaps."""


class TokenExpired(TokenRefused):
    """The token came too late."""

    retryable: ClassVar[bool] = True


class ClockSkewed(TokenRefused):
    """The clocks of the agency and of the coordinator differ by more than the leeway."""


class VersionMismatch(ExchangeError):
    """The coordinator's server runs another version than this agency."""

    http_status: ClassVar[int] = 409
