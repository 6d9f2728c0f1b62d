"""The coordinator's server as an agency meets it before it has a key there: versions and clock."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from pydantic import AwareDatetime, BaseModel, ValidationError

from fl_tasks.contracts.errors import ConfigError
from fl_tasks.exchange.admitted import LEEWAY_SECONDS
from fl_tasks.exchange.errors import ClockSkewed, ExchangeUnreachable, NotTrusted
from fl_tasks.exchange.versions import check_same, written

_SECONDS = 15.0


class ServerInfo(BaseModel):
    """What the server tells whoever asks."""

    huiliu: str
    airflow: str
    edge_provider: str | None
    protocol: int
    time: AwareDatetime


def authority_fingerprint(path: Path) -> str:
    """Return the SHA-256 of a certificate authority's certificate, 64 hexadecimal digits.

    Raises:
        ConfigError: If the file has not exactly one certificate in PEM, or that of no authority, or one that is over.
    """
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); ask the coordinator for its CA file") from error
    except ValueError as error:
        raise ConfigError(f"{path}: holds no certificate in PEM; ask the coordinator for its CA file") from error
    if len(found) != 1:
        raise ConfigError(f"{path}: holds {len(found)} certificates; needed is the one of the coordinator's authority")
    (certificate,) = found
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if not is_authority:
        raise ConfigError(f"{path}: is no authority's certificate but a server's; ask the coordinator for its CA file")
    if certificate.not_valid_after_utc <= dt.datetime.now(dt.UTC):
        raise ConfigError(
            f"{path}: ended on {certificate.not_valid_after_utc:%Y-%m-%d}; ask the coordinator for its new CA file"
        )
    return certificate.fingerprint(hashes.SHA256()).hex()


def ask_server(url: str, ca_file: Path | None) -> ServerInfo:
    """Ask the coordinator's server what it is, and hold its version and its clock against ours.

    Args:
        url: https://HOST[:PORT] of the coordinator's Airflow.
        ca_file: PEM file of whoever signed its certificate; None: whom the system trusts.

    Raises:
        ExchangeUnreachable: If nothing answers there, or no federated server does.
        NotTrusted: If its certificate is of another authority.
        VersionMismatch: If its version is another one.
        ClockSkewed: If the clocks differ by more than the leeway.
    """
    before = _now()
    info = _ask(url, ca_file)
    after = _now()
    check_same(written(info.huiliu, info.protocol), url, "here is")
    # By how much at least: the answer was written at some moment in between.
    ahead = (max(before - info.time, dt.timedelta()) + min(after - info.time, dt.timedelta())).total_seconds()
    if abs(ahead) > LEEWAY_SECONDS:
        raise ClockSkewed(
            f"this machine's clock is {abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} that of {url}, "
            f"admitted are {LEEWAY_SECONDS}: set both by a time server (timedatectl)"
        )
    return info


def _ask(url: str, ca_file: Path | None) -> ServerInfo:
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise NotTrusted(f"{ca_file}: cannot be read as PEM certificates; run `fl agency join` again") from error
    try:
        with httpx.Client(verify=context, timeout=_SECONDS, trust_env=False) as client:
            answer = client.get(f"{url}/federation/v1/server")
        answer.raise_for_status()
        return ServerInfo.model_validate_json(answer.content)
    except (httpx.HTTPStatusError, ValidationError) as error:
        raise ExchangeUnreachable(
            f"{url} is no federated server: see whether the address is right, and whether the coordinator has switched "
            "its federated server on"
        ) from error
    except httpx.TransportError as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise NotTrusted(
                    f"{url}: its certificate is not of this authority ({cause.verify_message}); nothing was sent"
                ) from error
            cause = cause.__cause__ or cause.__context__
        raise ExchangeUnreachable(
            f"{url} cannot be reached ({type(error).__name__}): see that the coordinator's server runs and that the "
            "firewall lets this machine out to it"
        ) from error


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
