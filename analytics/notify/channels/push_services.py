"""Which addresses are those of real push services: the only ones that a browser's endpoint may have. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from analytics.notify.channels import is_loopback

HOSTS: Final = (
    "fcm.googleapis.com", "*.push.services.mozilla.com", "*.push.apple.com", "*.notify.windows.com",
)  # fmt: skip
"""Of Chrome and the browsers made of it, Firefox, Safari, Edge on Windows."""


def hosts_of(more: str) -> tuple[str, ...]:
    """The push services that may be asked, with those of the setting."""
    return (*HOSTS, *(part.strip().lower() for part in more.split(",") if part.strip()))


def is_push_service(endpoint: str, hosts: tuple[str, ...]) -> bool:
    """Whether an endpoint is an address of one of `hosts`, such as a browser gives."""
    try:
        parts = urlsplit(endpoint)
        port, host = parts.port, (parts.hostname or "").lower()
    except ValueError:
        return False
    if not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint or "\\" in endpoint:
        return False
    if len(endpoint) > 1_000 or parts.username is not None or parts.password is not None or parts.fragment:
        return False
    named = any(
        host == one or (one.startswith("*.") and host.endswith(one[1:]) and len(host) > len(one) - 1) for one in hosts
    )
    if is_loopback(endpoint):
        return named and parts.scheme in ("http", "https")
    return named and parts.scheme == "https" and port in (None, 443)
