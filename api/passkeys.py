"""Passkeys (WebAuthn level 2) by py_webauthn: what a browser is asked, and whether its answer holds.

- The name that passkeys are bound to (`rp_id`) and the pages' origin come from the setting `public_url`, never from
  a request. A phone accepts passkeys for a name over HTTPS, and for `localhost`; elsewhere there are none.
- Who holds the device is verified by it (PIN, finger, face), at registration and each time.
- No attestation is asked for: any make of authenticator will do.
- Whether the counter follows is decided by the database, in one statement (`sign_in.use_passkey`).

The library, with all that attestations would need, is loaded by the first who uses a passkey: 10 MB.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from collectors.registry.schema.sign_in import Passkey

if TYPE_CHECKING:
    from webauthn.helpers.cose import COSEAlgorithmIdentifier
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

log = logging.getLogger(__name__)

CHALLENGE_MS: Final = 300_000
HANDLE_BYTES: Final = 32
ALGORITHMS: Final = (-7, -8, -257)
"""ES256, EdDSA and RS256 by their numbers in COSE (RFC 9053, RFC 8812)."""
MAX_CREDENTIAL_BYTES: Final = 1_023
_PORTS: Final[Mapping[str, int]] = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Whom passkeys are for."""

    id: str
    origin: str


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """What is kept of a passkey that was registered."""

    credential: str
    public_key: str
    sign_count: int


def relying_party(address: str) -> RelyingParty | None:
    """Whom the passkeys of the pages at `address` are for; None where browsers know none: no HTTPS, or no name."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    with contextlib.suppress(ValueError):
        host = "localhost" if ip_address(host).is_loopback else ""
    if not host or (parts.scheme != "https" and host != "localhost"):
        return None
    port = parts.port if parts.port not in (None, _PORTS.get(parts.scheme)) else None
    return RelyingParty(host, f"{parts.scheme}://{host}" + (f":{port}" if port else ""))


def new_challenge() -> str:
    """What a passkey has to sign: 256 bits."""
    return secrets.token_urlsafe(32)


def new_handle() -> str:
    """What a person is called in their authenticators."""
    return secrets.token_urlsafe(HANDLE_BYTES)


def registration_options(
    party: RelyingParty, challenge: str, handle: str, login: str, name: str, known: Iterable[Passkey]
) -> dict[str, Any]:
    """What `navigator.credentials.create` is asked; devices that hold one of `known` do not make a second."""
    from webauthn import base64url_to_bytes, generate_registration_options
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    options = generate_registration_options(
        rp_id=party.id,
        rp_name="Makiba",
        user_id=base64url_to_bytes(handle),
        user_name=login,
        user_display_name=name,
        challenge=base64url_to_bytes(challenge),
        timeout=CHALLENGE_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[_descriptor(passkey) for passkey in known],
        supported_pub_key_algs=_algorithms(),
    )
    return options_to_json_dict(options)


def sign_in_options(party: RelyingParty, challenge: str) -> dict[str, Any]:
    """What `navigator.credentials.get` is asked: whichever passkey for this place the person chooses."""
    from webauthn import base64url_to_bytes, generate_authentication_options
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import UserVerificationRequirement

    options = generate_authentication_options(
        rp_id=party.id,
        challenge=base64url_to_bytes(challenge),
        timeout=CHALLENGE_MS,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


def registered(party: RelyingParty, challenge: str, credential: Mapping[str, Any]) -> NewPasskey | None:
    """The passkey that a browser made for `challenge`; None when its answer does not hold."""
    from webauthn import base64url_to_bytes, verify_registration_response
    from webauthn.helpers import bytes_to_base64url

    try:
        verified = verify_registration_response(
            credential=dict(credential),
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
            supported_pub_key_algs=_algorithms(),
        )
    except Exception as error:  # the library and those below it raise many kinds for what a stranger may send
        log.info("a passkey was not registered: %s", type(error).__name__)
        return None
    if not 0 < len(verified.credential_id) <= MAX_CREDENTIAL_BYTES:
        return None
    return NewPasskey(
        bytes_to_base64url(verified.credential_id),
        bytes_to_base64url(verified.credential_public_key),
        verified.sign_count,
    )


def signed(
    party: RelyingParty, challenge: str, credential: Mapping[str, Any], passkey: Passkey, handle: str
) -> int | None:
    """The counter with which `passkey` signed `challenge` for its person; None when the answer does not hold."""
    if credential["response"].get("userHandle") != handle:
        return None
    from webauthn import base64url_to_bytes, verify_authentication_response

    try:
        verified = verify_authentication_response(
            credential=dict(credential),
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=base64url_to_bytes(passkey.public_key),
            credential_current_sign_count=0,  # the database compares, so that two processes do not both take one
            require_user_verification=True,
        )
    except Exception as error:
        log.info("a passkey did not open: %s", type(error).__name__)
        return None
    return verified.new_sign_count


def known_transports(transports: Iterable[str]) -> list[str]:
    """Those of `transports` that browsers understand when they are given back."""
    from webauthn.helpers.structs import AuthenticatorTransport

    return [t.value for t in AuthenticatorTransport if t.value in set(transports)]


def _algorithms() -> list[COSEAlgorithmIdentifier]:
    from webauthn.helpers.cose import COSEAlgorithmIdentifier

    return [COSEAlgorithmIdentifier(number) for number in ALGORITHMS]


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    from webauthn import base64url_to_bytes
    from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

    return PublicKeyCredentialDescriptor(
        id=base64url_to_bytes(passkey.credential),
        transports=[t for t in AuthenticatorTransport if t.value in passkey.transports] or None,
    )
