"""Names of the protocol's messages in the exchange of one run."""

from __future__ import annotations

COHORT = "setup/cohort"
LIST = "setup/list"
CLOSE = "setup/close"


def head(agency: str, number: int) -> str:
    """The head of an agency's journal after so many entries."""
    return f"head/{agency}/{number}"


def keys(agency: str) -> str:
    """S1."""
    return f"setup/keys/{agency}"


def shares(dealer: str, holder: str) -> str:
    """S2."""
    return f"setup/shares/{dealer}/{holder}"


def ready(agency: str) -> str:
    """S3."""
    return f"setup/ready/{agency}"


def model(round_: int) -> str:
    """Step 0: the signed hash of the model that a round starts from."""
    return f"r/{round_}/model"


def weights(round_: int) -> str:
    """The model itself, beside its signed hash."""
    return f"r/{round_}/model.npz"


def upload(round_: int, agency: str) -> str:
    """Step 1."""
    return f"r/{round_}/up/{agency}"


def manifest(round_: int) -> str:
    """Step 1s."""
    return f"r/{round_}/manifest"


def burnt(round_: int) -> str:
    """Step 1s, the other verdict."""
    return f"r/{round_}/burnt"


def ack(round_: int, agency: str) -> str:
    """Step 2a."""
    return f"r/{round_}/ack/{agency}"


def reveal(round_: int, agency: str) -> str:
    """Step 2b."""
    return f"r/{round_}/reveal/{agency}"
