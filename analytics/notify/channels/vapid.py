"""The key by which push services know this Makiba (VAPID, RFC 8292): P-256, made when it is first needed.

It stands in `vapid.pem` of the home folder, which only its owner reads; several machines that serve one farm's pages
need one between them: the setting `vapid_key` (`MAKIBA_VAPID_KEY_FILE`). With another key every phone has to turn its
notifications on again, which the pages do by themselves when they are opened.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from makiba.keys import KeyUnusable, make_file
from makiba.settings import Settings

FILE: Final = "vapid.pem"


@dataclass(frozen=True, slots=True)
class VapidKey:
    """The key; `public` is what a browser subscribes with (base64url, 65 bytes)."""

    private: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def public(self) -> str:
        point = self.private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return base64.urlsafe_b64encode(point).rstrip(b"=").decode()


def open_vapid(settings: Settings) -> VapidKey:
    """The key of the settings, or that of the home folder, made if there is none yet. `KeyUnusable` else."""
    if settings.vapid_key is not None:
        return _read(settings.vapid_key.get_secret_value(), "setting vapid_key")
    path = settings.home / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            make_file(path, _new())
        return _read(path.read_text(encoding="ascii"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise KeyUnusable(f"{path}: {getattr(error, 'strerror', None) or 'is no key'}") from None


def _new() -> str:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def _read(text: str, where: str) -> VapidKey:
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError):
        raise KeyUnusable(f"{where}: is no PEM of a private key; delete the file to have one made") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyUnusable(f"{where}: a key for Web Push is of the curve P-256")
    return VapidKey(key)
