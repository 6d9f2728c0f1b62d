"""A certificate authority of the coordinator's own, and the server's certificate from it."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fl_airflow.server.config import AUTHORITY, CERTIFICATE, PRIVATE_KEY
from fl_airflow.server.errors import ServerError
from fl_tasks.contracts.base import make_private_folder, write_atomic

_DAYS = 825
"""How long a certificate is good for, at most what clients of today accept."""


def make_certificates(folder: Path, names: Sequence[str]) -> None:
    """Write authority.pem, server.pem and server.key, unless they are there; the authority's own key is not kept.

    Without that key nobody can make a second certificate that the agencies would take for the server's. A server that
    needs a new one gets a new authority, which every agency's operator is given.

    Args:
        folder: Where to, mode 0700.
        names: Host names and IP addresses of the server, as agencies and people reach it.
    """
    if (folder / CERTIFICATE).exists():
        return
    make_private_folder(folder)
    start = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)
    end = start + dt.timedelta(days=_DAYS)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Huiliu coordinator's authority")])
    authority = (
        x509.CertificateBuilder(issuer, issuer, authority_key.public_key(), x509.random_serial_number(), start, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    alternatives = [_alternative(name) for name in names]
    certificate = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), start, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    write_atomic(folder / PRIVATE_KEY, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_atomic(folder / AUTHORITY, authority.public_bytes(Encoding.PEM))
    write_atomic(folder / CERTIFICATE, certificate.public_bytes(Encoding.PEM))


def certificate_names(folder: Path) -> set[str]:
    """Return the host names and IP addresses of the server's certificate; none where there is no certificate.

    Raises:
        ServerError: If the file is no certificate.
    """
    path = folder / CERTIFICATE
    if not path.exists():
        return set()
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise ServerError(f"{path} is no certificate in PEM; remove {folder} and start again") from error
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name) for kind in (x509.DNSName, x509.IPAddress) for name in names.get_values_for_type(kind)}


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
