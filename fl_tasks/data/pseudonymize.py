"""Direct identifiers: keyed pseudonyms for those that are declared, and a search for those that are not."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from fl_tasks.contracts.base import canonical_json, fsync_folder, make_private_folder
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.data.csv_table import MISSING

SECRET_BYTES = 32

# White space, hyphens and dashes, middle dots of all scripts, and what is not seen at all.
_SEPARATORS = re.compile(
    r"[\s\-\u2010-\u2015\u2212\u00b7\u2022\u2027\u2219\u22c5\u30fb\u00ad\u200b-\u200d\u2060\ufeff]+"
)

_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
# GA 36-2018: letters without I and O; the last place may say what the vehicle is for. New energy has one place more:
# its kind (A-K) stands before five digits on small vehicles' plates, behind them on large ones'.
_PLATE = re.compile(
    rf"[{_PROVINCES}][A-HJ-NP-Z](?:[A-HJK][A-HJ-NP-Z0-9][0-9]{{4}}|[0-9]{{5}}[A-HJK]"
    r"|[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳])"
)
_MOBILE = re.compile(r"(?<![0-9])(?:\+?86|0086)?1[3-9][0-9]{9}(?![0-9])")
_RESIDENT = re.compile(
    r"(?<![0-9])[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9X](?![0-9])"
)
_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT = re.compile(rf"(?<![0-9A-Z])[0-9A-HJ-NPQRTUWXY]{{2}}[0-9]{{6}}[{_CREDIT_ALPHABET}]{{10}}(?![0-9A-Z])")


def normalise(text: str) -> str:
    """Return the one form of an identifier: full width narrowed (NFKC), upper case, separators gone; may be empty."""
    if text.strip() in MISSING:
        return ""
    # Once more: where a separator stood, an accent may have come behind a letter.
    return unicodedata.normalize("NFKC", _SEPARATORS.sub("", _plain(text)))


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


def pseudonyms(texts: Sequence[str], key: bytes) -> list[str]:
    """Replace identifiers by HMAC-SHA-256 of their normal form, 64 hexadecimal digits; a missing one stays empty.

    Args:
        texts: Identifiers as delivered, empty where there is none.
        key: Of the run.

    Source: RFC 2104, https://www.rfc-editor.org/rfc/rfc2104
    """
    made = {text: _pseudonym(normalise(text), key) for text in set(texts)}
    return [made[text] for text in texts]


def looks_like(texts: Iterable[str]) -> str | None:
    """Say which kind of direct identifier stands in some of the texts, even amid others; None if none is found.

    Found are plates of China (new energy too), mobile numbers, resident ids (GB 11643, with a right check digit) and
    unified social credit codes (GB 32100, likewise). Names, addresses and foreign identifiers are not.
    """
    distinct = set(texts)
    # One search over all texts, none of which holds a line break then. With separators gone 138 1234 5678 is found;
    # with them, a number behind another one.
    forms = {normalise(text) for text in distinct} | {_SEPARATORS.sub(" ", _plain(text)) for text in distinct}
    text = "\n".join(forms)
    if _PLATE.search(text):
        return "a vehicle's plate"
    if any(_resident_id(match[0]) for match in _RESIDENT.finditer(text)):
        return "a resident id"
    if any(_credit_code(match[0]) for match in _CREDIT.finditer(text)):
        return "a unified social credit code"
    if _MOBILE.search(text):
        return "a mobile number"
    return None


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).upper())


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


def _resident_id(number: str) -> bool:
    """Check the last place of a resident id by ISO 7064 MOD 11-2."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(number[:17]))
    return "10X98765432"[total % 11] == number[17]


def _credit_code(code: str) -> bool:
    """Check the last place of a unified social credit code: weights 3**place, modulo 31."""
    total = sum(_CREDIT_ALPHABET.index(sign) * pow(3, place, 31) for place, sign in enumerate(code[:17]))
    return _CREDIT_ALPHABET[-total % 31] == code[17]
