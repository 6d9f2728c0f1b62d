"""Direct identifiers: keyed pseudonyms for those that are declared, and a search for those that are not."""

from __future__ import annotations

import hmac
import os
import secrets
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from fl_tasks.contracts.base import canonical_json, fsync_folder, make_private_folder
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.source import IdentifierKind
from fl_tasks.data import identifiers
from fl_tasks.data.csv_table import MISSING
from fl_tasks.data.identifiers.codes import SEPARATORS, plain

SECRET_BYTES = 32

_WORDS = {
    "resident_id": "a resident id",
    "credit_code": "a unified social credit code",
    "plate": "a vehicle's plate",
    "mobile": "a mobile number",
    "e_mail": "an e-mail address",
}
_KINDS: dict[str, IdentifierKind] = {kind: kind for kind in get_args(IdentifierKind)}


def normalise(text: str) -> str:
    """Return the one form of an identifier: full width narrowed (NFKC), upper case, separators gone; may be empty."""
    if text.strip() in MISSING:
        return ""
    # Once more: where a separator stood, an accent may have come behind a letter.
    return unicodedata.normalize("NFKC", SEPARATORS.sub("", plain(text)))


def agency_secret(path: Path) -> bytes:
    """Return the agency's secret of 32 bytes, made at its first use; whoever has it can link and try out pseudonyms.

    Args:
        path: Its file, mode 0600. Two stages that make it at once end with the same.

    Raises:
        ConfigError: If the file is no such secret, or others may read it.
    """
    if not path.exists():
        _make_secret(path)
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"{path.name}: others than its owner may read this secret; run chmod 600 on it")
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise ConfigError(f"{path.name}: {len(secret)} bytes, {SECRET_BYTES} are needed; restore it from your backup")
    return secret


def run_key(secret: bytes, scenario: str, run_id: str) -> bytes:
    """Derive the key of one run, so that pseudonyms of two runs, scenarios or agencies do not link."""
    return hmac.digest(secret, canonical_json(["huiliu/pseudonym/1", scenario, run_id]), "sha256")


def pseudonyms(texts: Sequence[str], key: bytes, kind: IdentifierKind | None = None) -> list[str]:
    """Replace identifiers by HMAC-SHA-256 of their normal form, 64 hexadecimal digits; a missing one stays empty.

    Args:
        texts: Identifiers as delivered, empty where there is none.
        key: Of the run.
        kind: What they are. A valid one then has the normal form of its kind: a resident id of 15 digits and the same
            person's of 18 have one pseudonym, and so have a mobile number with and without +86. Any other text has
            the normal form of all texts.

    Source: RFC 2104, https://www.rfc-editor.org/rfc/rfc2104
    """
    distinct = list(set(texts))
    forms = [""] * len(distinct) if kind is None else identifiers.normal_forms(distinct, kind)
    made = {text: _pseudonym(form or normalise(text), key) for text, form in zip(distinct, forms, strict=True)}
    return [made[text] for text in texts]


def masked(texts: Sequence[str], key: bytes | None = None) -> list[str]:
    """Replace the identifiers amid free text, doubtful ones too, each by its pseudonym in brackets.

    Args:
        texts: As delivered.
        key: Of the run; a person's id then has the pseudonym that it has in a hashed column of that kind. Without one,
            an identifier's kind stands in its place, like [mobile].
    """

    def replaced(kind: str, written: Sequence[str]) -> list[str]:
        if key is None:
            return [f"[{kind}]"] * len(written)
        return [f"[{pseudonym}]" for pseudonym in pseudonyms(written, key, _KINDS.get(kind))]

    return identifiers.mask(texts, replaced)


def looks_like(texts: Iterable[str]) -> str | None:
    """Say which kind of direct identifier stands in some of the texts, even amid others; None if none is found.

    Found are plates of China (new energy too), mobile numbers, resident ids (GB 11643, with a right check digit),
    unified social credit codes (GB 32100, likewise) and e-mail addresses. Names, postal addresses and foreign
    identifiers are not.
    """
    found = (entry.kind for entry in identifiers.held(list(set(texts))) if entry.cells)
    return next((_WORDS[kind] for kind in found), None)


def _pseudonym(normal: str, key: bytes) -> str:
    return hmac.digest(key, normal.encode(), "sha256").hex() if normal else ""


def _make_secret(path: Path) -> None:
    make_private_folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # never over another one, with which pseudonyms were made
        except FileExistsError:
            return
    finally:
        Path(temporary).unlink()
    fsync_folder(path.parent)
