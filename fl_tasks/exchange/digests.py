"""SHA-256 in HTTP headers, as RFC 9530 writes it: `Repr-Digest: sha-256=:BASE64:`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from fl_tasks.exchange.errors import UploadRefused

_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


def digest_header(sha256: str) -> str:
    """Return the header's value for a hash of 64 hexadecimal digits."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def read_digest(value: str | None) -> str:
    """Return the hash of a header as 64 hexadecimal digits; raises UploadRefused if there is none."""
    match = _DIGEST.search(value or "")
    try:
        found = base64.b64decode(match[1], validate=True) if match else b""
    except binascii.Error:
        found = b""
    if len(found) != hashlib.sha256().digest_size:
        raise UploadRefused("the request has no Repr-Digest header with the message's SHA-256, sha-256=:BASE64:")
    return found.hex()
