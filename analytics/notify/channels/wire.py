"""One POST to a vendor over HTTP: no redirect is followed, an answer that drips is given up, little is read.

With `networks` the address may be anybody's choice (a webhook), and the name is looked up here, once: the connection
goes to an address that was looked at, so that a name which says something else a moment later (DNS rebinding) reaches
nothing. Private, loopback, link-local, multicast and reserved addresses are refused unless a network allows them; so
are those that only carry an IPv4 address inside (mapped, 6to4, NAT64), whatever that address is.
"""

from __future__ import annotations

import contextlib
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from analytics.notify.port import Sent

CONNECT_S: Final = 4.0
READ_S: Final = 8.0
WHOLE_S: Final = 15.0
MOST_BYTES: Final = 16_384
MOST_URL: Final = 1_000
MOST_TRIED: Final = 2
"""Of the addresses that a name has."""


Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

_CARRIERS: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("2002::/16"))
_HOST: Final = re.compile(r"(?=.{1,253}$)(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*\.?", re.I)


class NotAllowedThere(ValueError):
    """The address is none that may be asked; the message says why, without the address."""


class NoAnswer(Exception):
    """Nobody answered, or not in time; the message names the kind of failure and no address."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> float | None:
        return retry_after_s(self.headers.get("retry-after"))


def retry_after_s(text: str | None, now_s: float | None = None) -> float | None:
    """The seconds of a Retry-After header, a number or a date (RFC 9110, 10.2.3); None: it says nothing."""
    if not text:
        return None
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    left = at - (time.time() if now_s is None else now_s)
    return max(0.0, left) if math.isfinite(left) else None


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    networks: str | None = None,
    ca: str | None = None,
    resolve: Resolve | None = None,
) -> Reply:
    """Sends `body`. `NotAllowedThere`; `NoAnswer`. `networks` None: the operator chose the address."""
    parts = checked(url, networks)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    there = [host] if networks is None else allowed((resolve or resolved)(host, port), networks)
    bare = f"[{host}]" if ":" in host else host
    sent = {
        "Host": bare if parts.port is None else f"{bare}:{parts.port}", "User-Agent": "Makiba",
        "Accept-Encoding": "identity", "Content-Length": str(len(body)), **headers,
    }  # fmt: skip
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        tls = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
        connection = _connected(there, port, tls, host)
        with contextlib.closing(connection), _cut_after(connection, WHOLE_S) as cut:
            connection.request("POST", target, body=body, headers=sent, preload_content=False)
            answer = connection.getresponse()
            read = b"" if cut.is_set() else answer.read(MOST_BYTES)
            return Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, read)
    except (urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
        raise NoAnswer(type(error).__name__) from None


def _connected(there: Sequence[str], port: int, tls: ssl.SSLContext | None, name: str) -> HTTPConnection:
    """A connection to the first of `there` that answers, proved to be `name` where there is TLS."""
    for place, address in enumerate(there[:MOST_TRIED], 1):
        connection = (
            HTTPConnection(address, port, timeout=CONNECT_S)
            if tls is None
            else HTTPSConnection(
                address, port, timeout=CONNECT_S, ssl_context=tls, server_hostname=name, assert_hostname=name
            )
        )
        try:
            connection.connect()
        except (urllib3.exceptions.HTTPError, OSError):
            connection.close()
            if place == len(there[:MOST_TRIED]):
                raise
            continue
        if connection.sock is not None:
            connection.sock.settimeout(READ_S)
        return connection
    raise NoAnswer("there is no such machine")


@contextlib.contextmanager
def _cut_after(connection: HTTPConnection, seconds: float) -> Iterator[threading.Event]:
    """Cuts the connection under whoever reads it, should that take so long: one byte at a time never times out."""
    cut = threading.Event()
    line = connection.sock

    def cut_it() -> None:
        cut.set()
        if line is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)  # of a TLS socket too, without its farewell

    timer = threading.Timer(seconds, cut_it)
    timer.daemon = True
    timer.start()
    try:
        yield cut
    finally:
        timer.cancel()


def checked(url: str, private: str | None = None) -> SplitResult:
    """The parts of an address that may be asked. `NotAllowedThere`.

    `https` only, but for this machine and for what `private` names by number (an old controller in the own network).
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NotAllowedThere("this is no address of the web") from None
    host = parts.hostname or ""
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > MOST_URL or "\\" in url:
        raise NotAllowedThere("this is no address of the web")
    if parts.username is not None or parts.password is not None:
        raise NotAllowedThere("an address holds no name and no password")
    if port == 0 or parts.scheme not in ("https", "http"):
        raise NotAllowedThere("an address begins with https://")
    number = _number(host)
    if number is None and not (_HOST.fullmatch(host) and not host.rstrip(".").rpartition(".")[2].isdecimal()):
        raise NotAllowedThere("this is no name of a machine")
    if private is not None and number is not None:
        allowed([host], private)
    if parts.scheme == "http":
        near = number is not None and (private is not None or number.is_loopback)
        if not near and not (private is None and host == "localhost"):
            raise NotAllowedThere("an address begins with https://")
    return parts


def allowed(addresses: Sequence[str], networks: str) -> list[str]:
    """`addresses`, all of which may be asked. One that may not be is one too many: `NotAllowedThere`."""
    inside = [ip_network(part.strip()) for part in networks.split(",") if part.strip()]
    numbers = [ip_address(address.partition("%")[0]) for address in addresses]
    if not numbers:
        raise NotAllowedThere("there is no such machine")
    for number in numbers:
        if any(number in network for network in inside):
            continue
        if not _is_public(number):
            raise NotAllowedThere("this machine is not on the internet; the setting webhook_networks may allow it")
    return [str(number) for number in numbers]


def resolved(host: str, port: int) -> list[str]:
    """The addresses of `host`. `NoAnswer` when nobody knows them."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise NoAnswer("its name is not known") from None
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def of_reply(reply: Reply, accepted: Callable[[Reply], str | None]) -> Sent:
    """What a plain HTTP gateway's answer means; `accepted` finds the vendor's id in a good one.

    404 is of a path, which may be a slip in a setting; only 410 ends an address.
    """
    status = reply.status
    if 200 <= status < 300:
        return Sent("accepted", f"HTTP {status}", provider_id=accepted(reply))
    if status == 409:
        return Sent("duplicate", "HTTP 409", provider_id=accepted(reply))
    if status == 410:
        return Sent("gone", f"HTTP {status}")
    if status in (408, 425, 429) or status >= 500:
        return Sent("retry", f"HTTP {status}", reply.retry_after_s)
    return Sent("refused", f"HTTP {status}")


def _is_public(number: Address) -> bool:
    if isinstance(number, IPv6Address):
        if number.ipv4_mapped is not None or number.teredo is not None:
            return False
        if any(number in carrier for carrier in _CARRIERS):
            return False
    return number.is_global and not number.is_multicast


def _number(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
