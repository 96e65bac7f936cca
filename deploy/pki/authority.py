"""A small certificate authority in a folder: a key for each gateway and each service.

Guarantees: a name has at most one certificate in the folder and its key fits it; private keys are readable by
their owner alone; a file is there whole or not at all; a certificate that runs out soon, or was signed by another
authority, is replaced when it is asked for. Two processes that ask at once get the same answer.

It does not revoke (there is no CRL yet) and does not guard the authority's own key beyond the file's mode: on
more than one machine, keep this folder on the one that enrols gateways and copy out single certificates.

The common name is the identity: the broker takes it as user name (`deploy/broker.py`), so that only names which
mean nothing else in a topic are accepted. Profile of the certificates: RFC 5280; elliptic curve P-256.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from makiba.topics import GATEWAY_PATTERN

BROKER: Final = "broker"
SERVICES: Final = ("collector", "analytics", "api")
"""The parts of Makiba that speak with the broker, by their certificates' common names."""

LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
LEAF_DAYS: Final = 825
AUTHORITY_DAYS: Final = 3650
RENEW_BEFORE: Final = timedelta(days=30)
_BACKDATE: Final = timedelta(days=1)  # a gateway without a clock starts where it was switched off

_GATEWAY = re.compile(GATEWAY_PATTERN)


class PkiError(ValueError):
    """Something in the folder or a name that cannot be used; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate in the folder. `hosts` are the names it answers for (servers only)."""

    name: str
    cert: Path
    key: Path
    hosts: tuple[str, ...]
    expires: datetime


def init(folder: Path) -> Path:
    """The authority's certificate in `folder`, made when it is not there yet."""
    with _locked(folder):
        _authority(folder)
    return folder / "ca.pem"


def issue(folder: Path, name: str, *, hosts: Sequence[str] = ()) -> Issued:
    """The certificate of `name`: the one that is there while it is good, else a new one with a new key.

    `name` is `broker`, a service or a gateway (`gw-…`); `hosts` are for the broker, this machine's by default.
    """
    if name != BROKER and name not in SERVICES and not _GATEWAY.fullmatch(name):
        raise PkiError(
            f"{name[:80]!r} is no name for a certificate: broker, {', '.join(SERVICES)} or gw-… "
            "(small letters, digits and hyphens)"
        )
    if hosts and name != BROKER:
        raise PkiError(f"{name}: only the broker's certificate names hosts")
    wanted = tuple(hosts) or (LOCAL_HOSTS if name == BROKER else ())
    with _locked(folder):
        ca_cert, ca_key = _authority(folder)
        now = datetime.now(UTC)
        good = _usable(folder, name, ca_cert, now)
        # Without an explicit wish the broker keeps the hosts that it was given before.
        if good is not None and (not hosts or set(good.hosts) == set(wanted)):
            return good
        key = ec.generate_private_key(ec.SECP256R1())
        cert = _sign_leaf(name, wanted, key.public_key(), ca_cert, ca_key, now)
        # Between the two writes the pair does not fit; `_usable` sees that and the next call issues again.
        _write_key(folder / f"{name}.key", key)
        _write(folder / f"{name}.pem", cert.public_bytes(serialization.Encoding.PEM))
        return _issued(folder, name, cert)


def certificates(folder: Path) -> list[Issued]:
    """What has been issued in `folder`, by name."""
    found = []
    for path in sorted(folder.glob("*.pem")):
        if path.name != "ca.pem":
            found.append(_issued(folder, path.stem, x509.load_pem_x509_certificate(path.read_bytes())))
    return found


def _issued(folder: Path, name: str, cert: x509.Certificate) -> Issued:
    return Issued(name, folder / f"{name}.pem", folder / f"{name}.key", _hosts(cert), cert.not_valid_after_utc)


def _hosts(cert: x509.Certificate) -> tuple[str, ...]:
    try:
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    dns = names.get_values_for_type(x509.DNSName)
    return (*dns, *(str(ip) for ip in names.get_values_for_type(x509.IPAddress)))


def _usable(folder: Path, name: str, ca: x509.Certificate, now: datetime) -> Issued | None:
    """What `folder` holds for `name`, if it fits its key, is ours and does not run out soon."""
    try:
        cert = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
        cert.verify_directly_issued_by(ca)
    except (OSError, ValueError, TypeError):
        return None
    except Exception as error:
        # `verify_directly_issued_by` raises InvalidSignature, which is a bare Exception.
        if type(error).__name__ != "InvalidSignature":
            raise
        return None
    if key.public_key() != cert.public_key() or cert.not_valid_after_utc - now < RENEW_BEFORE:
        return None
    return _issued(folder, name, cert)


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    cert_path, key_path = folder / "ca.pem", folder / "ca.key"
    if cert_path.exists():
        try:
            cert = x509.load_pem_x509_certificate(cert_path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise PkiError(f"{key_path}: the authority cannot be read ({error}); restore it, or remove the "
                           "folder to begin anew and enrol every gateway again") from None  # fmt: skip
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != cert.public_key():
            raise PkiError(f"{key_path}: does not fit {cert_path.name}")
        return cert, key
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Makiba {os.urandom(4).hex()}")])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    cert = (
        _builder(name, name, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_key(key_path, key)
    _write(cert_path, cert.public_bytes(serialization.Encoding.PEM))
    return cert, key


def _sign_leaf(
    name: str, hosts: Sequence[str], public: ec.EllipticCurvePublicKey,
    ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, now: datetime,
) -> x509.Certificate:  # fmt: skip
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    issuer_id = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(subject, ca.subject, public, now, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
    )
    if hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(h) for h in hosts]), critical=False
        )
    return builder.sign(ca_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(path, pem)


def _write(path: Path, data: bytes) -> None:
    """Replaces `path` in one step; mkstemp makes the file 0600."""
    handle, temp = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, path)
    except BaseException:
        Path(temp).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
