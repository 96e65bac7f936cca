"""Signing in with an account elsewhere (OpenID Connect 1.0): the authorization code flow with PKCE, by Authlib.

- One provider, named by the settings. What it says about itself (discovery) and its keys are asked for each time: a
  key that it changed holds at once, and any number of processes share nothing but the registry.
- `state` finds the sign-in that comes back, once, and only for the browser that began it: its cookie is 256 random
  bits, of which `nonce` and `code_verifier` are made, so that no table holds them.
- An ID token counts when it is signed with a public key of the provider by an asymmetric algorithm, names this
  issuer, this client as audience (and as `azp` where others are named too), this nonce, and is in its time.
- Addresses are HTTPS (HTTP on this machine only); no redirect is followed; time and size of answers are bounded. No
  answer of the provider, no code and no token stands in a log.

Authlib and joserfc are imported where they are used: 15 MB that a service without a provider does not hold.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from time import monotonic
from typing import Any, Final, cast
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from collectors.registry.viewer import OUTSIDERS, Role
from makiba.settings import Settings

log = logging.getLogger(__name__)

TIMEOUT: Final = urllib3.Timeout(connect=3.0, read=5.0)
MAX_ANSWER_BYTES: Final = 262_144
MAX_ANSWER_S: Final = 10.0
"""From the first byte of an answer's body to its last: one that drips keeps no thread."""

LEEWAY_S: Final = 60
MAX_SUBJECT: Final = 255
ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA",
)  # fmt: skip
_ASYMMETRIC: Final = frozenset({"RSA", "EC", "OKP"})


class OidcError(Exception):
    """Root of this module's errors."""


class OidcMisconfigured(OidcError):
    """The settings do not say what they have to; the message says what."""


class OidcUnavailable(OidcError):
    """The provider does not answer, or not as a provider does; the message is for the log."""


class OidcRefused(OidcError):
    """What came back does not hold; the message is for the log."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of the provider gives `role` on `sites`."""

    name: str
    role: Role
    sites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signed in at the provider. `subject` is what they are known by here."""

    subject: str
    name: str
    language: str
    groups: frozenset[str]
    email_domain: str
    """Of a mail address that the provider has verified; empty otherwise."""


@dataclass(frozen=True, slots=True)
class Oidc:
    """The provider, and how this Makiba is known there."""

    issuer: str
    client: str
    secret: str
    claim: str
    domains: frozenset[str]
    groups: tuple[Group, ...]
    groups_claim: str
    creates: bool
    label_ja: str
    label_en: str
    ca: str | None

    def address(self, redirect_uri: str, state: str, browser: str) -> str:
        """Where the browser goes to sign in."""
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        known = self._discover()
        scope = "openid profile" + (" email" if self.claim == "email" or self.domains else "")
        uri = prepare_grant_uri(
            _endpoint(known, "authorization_endpoint", self.issuer), client_id=self.client, response_type="code",
            redirect_uri=redirect_uri, scope=scope, state=state, nonce=derived(browser, "nonce", state),
            code_challenge=create_s256_code_challenge(derived(browser, "verifier", state)),
            code_challenge_method="S256",
        )  # fmt: skip
        return str(uri)

    def identity(
        self, *, code: str, issuer: str | None, redirect_uri: str, state: str, browser: str, now_ms: int
    ) -> Identity:
        """Who the code that came back is of. `OidcRefused` when anything about it does not hold."""
        known = self._discover()
        named = known.get("authorization_response_iss_parameter_supported") is True
        if (issuer is not None or named) and issuer != self.issuer:
            raise OidcRefused("the answer is another provider's")
        answer = self._exchange(known, code, redirect_uri, derived(browser, "verifier", state))
        return self._read(known, answer, derived(browser, "nonce", state), now_ms)

    def sign_out_address(self, back_to: str) -> str | None:
        """Where the browser signs out of the provider too; None when it has no such page, or does not answer."""
        try:
            known = self._discover()
            if "end_session_endpoint" not in known:
                return None
            address = _endpoint(known, "end_session_endpoint", self.issuer)
        except OidcError as error:
            log.warning("signing out at the provider: %s", error)
            return None
        joint = "&" if urlsplit(address).query else "?"
        return address + joint + urlencode({"client_id": self.client, "post_logout_redirect_uri": back_to})

    def roles(self, who: Identity) -> dict[str, Role]:
        """What the person's groups make them, by farm; of several the one that stands first in the settings."""
        found: dict[str, Role] = {}
        for group in self.groups:
            if group.name in who.groups:
                for site in group.sites:
                    found.setdefault(site, group.role)
        return found

    def admits(self, who: Identity) -> bool:
        """Whether accounts like this one may sign in here at all."""
        return not self.domains or who.email_domain in self.domains

    # ------------------------------------------------------------------------------------------------- inside

    def _discover(self) -> Mapping[str, Any]:
        from authlib.oidc.discovery import get_well_known_url

        known = self._ask("GET", get_well_known_url(self.issuer, external=True))
        if known.get("issuer") != self.issuer:
            raise OidcUnavailable("the provider's description is of another issuer")
        return known

    def _exchange(self, known: Mapping[str, Any], code: str, redirect_uri: str, verifier: str) -> Mapping[str, Any]:
        fields = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier
        }  # fmt: skip
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        methods = known.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if not self.secret:
            fields["client_id"] = self.client
        elif "client_secret_basic" in methods or "client_secret_post" not in methods:
            pair = f"{quote(self.client, safe='')}:{quote(self.secret, safe='')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            fields |= {"client_id": self.client, "client_secret": self.secret}
        return self._ask("POST", _endpoint(known, "token_endpoint", self.issuer), urlencode(fields), headers)

    def _read(self, known: Mapping[str, Any], answer: Mapping[str, Any], nonce: str, now_ms: int) -> Identity:
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        token = answer.get("id_token")
        if not isinstance(token, str):
            raise OidcRefused("the provider gave no ID token")
        told = self._ask("GET", _endpoint(known, "jwks_uri", self.issuer))
        try:
            keys = KeySet.import_key_set(cast("Any", {"keys": _signing_keys(told)}))
            signed = jwt.decode(token, keys, algorithms=ALGORITHMS)
            claims = CodeIDToken(
                signed.claims,
                signed.header,
                options={
                    "iss": {"essential": True, "value": self.issuer},
                    "aud": {"essential": True, "value": self.client},
                },
                params={"nonce": nonce, "client_id": self.client, "access_token": answer.get("access_token")},
            )
            claims.validate(now_ms // 1000, LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise OidcRefused(f"the ID token does not hold: {type(error).__name__}") from None
        return self._identity(dict(claims))

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        subject = claims.get(self.claim)
        mail = claims.get("email") if claims.get("email_verified") is True else None
        mail = mail.casefold() if isinstance(mail, str) else ""
        if self.claim == "email":
            subject = mail
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
            raise OidcRefused("the ID token does not say who it is of")
        groups = claims.get(self.groups_claim, [])
        name = claims.get("name")
        named = isinstance(name, str) and bool(name.strip()) and name.isprintable()
        return Identity(
            subject=subject,
            name=str(name).strip()[:200] if named else subject[:200],
            language="en" if str(claims.get("locale", "")).casefold().startswith("en") else "ja",
            groups=frozenset(g for g in groups if isinstance(g, str)) if isinstance(groups, list) else frozenset(),
            email_domain=mail.rpartition("@")[2],
        )

    def _ask(
        self, method: str, url: str, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        """The JSON object that `url` answers."""
        context = ssl.create_default_context(cafile=self.ca) if url.startswith("https:") else None
        with urllib3.PoolManager(num_pools=1, timeout=TIMEOUT, retries=False, ssl_context=context) as http:
            try:
                answer = http.request(
                    method, url, body=body, headers={"Accept": "application/json", **(headers or {})},
                    preload_content=False, redirect=False,
                )  # fmt: skip
                try:
                    text = _all_of(answer)
                finally:
                    answer.close()
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise OidcUnavailable(f"{_named(url)}: {type(error).__name__}") from None
        if answer.status in (400, 401) and method == "POST":
            raise OidcRefused(f"{_named(url)} refused the code: HTTP {answer.status}")
        if answer.status != 200 or len(text) > MAX_ANSWER_BYTES:
            raise OidcUnavailable(f"{_named(url)}: HTTP {answer.status}, {len(text)} bytes")
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise OidcUnavailable(f"{_named(url)} answered no JSON object")
        return told


def derived(browser: str, use: str, state: str) -> str:
    """A secret of the browser that began the sign-in, for one use: 256 bits in 43 characters."""
    mac = hmac.digest(browser.encode(), f"{use} {state}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def open_oidc(settings: Settings) -> Oidc | None:
    """The provider of the settings; None: there is none. `OidcMisconfigured`."""
    if not settings.oidc_issuer:
        return None
    if not _is_safe(settings.oidc_issuer) or urlsplit(settings.oidc_issuer).query:
        raise OidcMisconfigured("oidc_issuer: expected https://… (http:// on this machine only)")
    if not settings.oidc_client:
        raise OidcMisconfigured("oidc_client: expected the id by which the provider knows this Makiba")
    secret = settings.oidc_secret
    return Oidc(
        issuer=settings.oidc_issuer,
        client=settings.oidc_client,
        secret=secret.get_secret_value() if secret else "",
        claim=settings.oidc_claim,
        domains=frozenset(d.strip().casefold() for d in settings.oidc_domains.split(",") if d.strip()),
        groups=_groups(settings.oidc_groups),
        groups_claim=settings.oidc_groups_claim,
        creates=settings.oidc_create == "on",
        label_ja=settings.oidc_label_ja,
        label_en=settings.oidc_label_en,
        ca=str(settings.oidc_ca) if settings.oidc_ca else None,
    )


def _groups(text: str) -> tuple[Group, ...]:
    """`GROUP=ROLE:SITE,SITE;GROUP=…`"""
    found = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, _, gives = part.rpartition("=")
        role, _, sites = gives.partition(":")
        named = tuple(s.strip() for s in sites.split(",") if s.strip())
        if not name or not named or role not in OUTSIDERS:
            roles = ", ".join(sorted(OUTSIDERS))
            raise OidcMisconfigured(f"oidc_groups: expected GROUP=ROLE:SITE,… with a role of {roles}, not {part!r}")
        found.append(Group(name.strip(), role, named))
    return tuple(found)


def _signing_keys(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    keys = told.get("keys")
    if not isinstance(keys, list):
        raise OidcUnavailable("the provider's keys are no list")
    return [k for k in keys if isinstance(k, dict) and k.get("kty") in _ASYMMETRIC and k.get("use", "sig") == "sig"]


def _endpoint(known: Mapping[str, Any], name: str, issuer: str) -> str:
    address = known.get(name)
    if not isinstance(address, str) or not _is_safe(address):
        raise OidcUnavailable(f"the provider's {name} is no safe address")
    if address.startswith("http://") and not issuer.startswith("http://"):
        raise OidcUnavailable(f"the provider's {name} is without TLS")
    return address


def _is_safe(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.username or parts.fragment or not host:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host))


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _all_of(answer: urllib3.BaseHTTPResponse) -> bytes:
    """The body, or a little more than `MAX_ANSWER_BYTES` of it. `TimeoutError`."""
    began_s, text = monotonic(), b""
    while len(text) <= MAX_ANSWER_BYTES:
        piece = answer.read1(MAX_ANSWER_BYTES, decode_content=True)
        if not piece:
            break
        text += piece
        if monotonic() - began_s > MAX_ANSWER_S:
            raise TimeoutError
    return text


def _named(url: str) -> str:
    """An address for a log: what stands behind `?` may be a secret."""
    return url.partition("?")[0]
