"""An authenticator in software, after WebAuthn level 2: it makes passkeys, signs with them, and lies when it is told.

Written from the standard (authenticator data, COSE keys, attestation `none`), so that the server's library is met by
somebody else's reading of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

Algorithm = Literal["ES256", "EdDSA", "RS256"]

UP, UV, AT = 0x01, 0x04, 0x40


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Key:
    """A key pair with its COSE form and its way to sign."""

    algorithm: Algorithm
    private: Any = field(init=False)

    def __post_init__(self) -> None:
        makers: dict[Algorithm, Callable[[], Any]] = {
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
            "RS256": lambda: rsa.generate_private_key(65_537, 2_048),
        }
        self.private = makers[self.algorithm]()

    def cose(self) -> bytes:
        public = self.private.public_key()
        if self.algorithm == "ES256":
            at = public.public_numbers()
            return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: at.x.to_bytes(32, "big"), -3: at.y.to_bytes(32, "big")})
        if self.algorithm == "EdDSA":
            return cbor2.dumps({1: 1, 3: -8, -1: 6, -2: public.public_bytes_raw()})
        numbers = public.public_numbers()
        return cbor2.dumps({1: 3, 3: -257, -1: numbers.n.to_bytes(256, "big"), -2: b"\x01\x00\x01"})

    def sign(self, data: bytes) -> bytes:
        if self.algorithm == "ES256":
            return bytes(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        if self.algorithm == "EdDSA":
            return bytes(self.private.sign(data))
        return bytes(self.private.sign(data, padding.PKCS1v15(), hashes.SHA256()))


@dataclass
class Held:
    """A passkey in the authenticator."""

    id: bytes
    key: Key
    rp_id: str
    handle: str


@dataclass
class Authenticator:
    """Holds passkeys for `origin`. `counts`: whether it counts signatures; `flags`: what it says about its person."""

    origin: str = "http://localhost:8800"
    algorithm: Algorithm = "ES256"
    counts: bool = True
    flags: int = UP | UV
    count: int = 0
    held: list[Held] = field(default_factory=list)

    def create(self, options: dict[str, Any], **lies: Any) -> dict[str, Any]:
        """What `navigator.credentials.create` gives as JSON; `lies` replace what the client says or is."""
        wanted = options["publicKey"]
        assert {"type": "public-key", "alg": {"ES256": -7, "EdDSA": -8, "RS256": -257}[self.algorithm]} in wanted[
            "pubKeyCredParams"
        ]
        assert wanted["authenticatorSelection"]["userVerification"] == "required"
        held = Held(
            lies.get("own_id", secrets.token_bytes(32)), Key(self.algorithm), wanted["rp"]["id"], wanted["user"]["id"]
        )
        self.held.append(held)
        cose = held.key.cose()
        attested = bytes(16) + len(held.id).to_bytes(2, "big") + held.id + cose
        data = self._data(lies.get("rp_id", held.rp_id), AT) + attested
        said = {"fmt": "none", "attStmt": {}, "authData": data}
        return {
            "id": b64(held.id),
            "rawId": b64(held.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": b64(self._client("webauthn.create", wanted["challenge"], lies)),
                "attestationObject": b64(cbor2.dumps(said)),
                "transports": ["internal", "hybrid", "by-carrier-pigeon"],
                "publicKeyAlgorithm": -7,
            },
        }

    def get(self, options: dict[str, Any], held: Held | None = None, **lies: Any) -> dict[str, Any]:
        """What `navigator.credentials.get` gives as JSON."""
        wanted, held = options["publicKey"], held or self.held[-1]
        assert wanted["userVerification"] == "required"
        if self.counts:
            self.count += 1
        client = self._client("webauthn.get", wanted["challenge"], lies)
        data = self._data(lies.get("rp_id", wanted["rpId"]), 0)
        signature = held.key.sign(data + hashlib.sha256(client).digest())
        if lies.get("forged"):
            signature = Key(self.algorithm).sign(data + hashlib.sha256(client).digest())
        return {
            "id": b64(held.id),
            "rawId": b64(held.id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": b64(client),
                "authenticatorData": b64(data),
                "signature": b64(signature),
                "userHandle": lies.get("handle", held.handle),
            },
        }

    def _client(self, kind: str, challenge: str, lies: dict[str, Any]) -> bytes:
        said = {
            "type": lies.get("type", kind),
            "challenge": lies.get("challenge", challenge),
            "origin": lies.get("origin", self.origin),
            "crossOrigin": False,
        }
        return json.dumps(said).encode()

    def _data(self, rp_id: str, more: int) -> bytes:
        head = hashlib.sha256(rp_id.encode()).digest()
        return head + bytes([self.flags | more]) + self.count.to_bytes(4, "big")
