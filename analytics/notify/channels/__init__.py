"""The channels: the vendors' ways behind the one port of `analytics.notify.port`; DESIGN.md says what holds.

A channel is open when its settings are there; nothing is loaded for one that is not. A secret stands in a setting or
a file and goes to its vendor in a header or a body: never into an address, an error, a log or a repr.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from analytics.notify.port import Channel, ChannelName, Message
from makiba.keys import open_key
from makiba.settings import Settings

log = logging.getLogger(__name__)

CALLBACK: Final = "/api/v1/voice/answer"
CHARTS: Final = "/api/v1/charts"
CHART_HOLDS_S: Final = 86_400


def open_channels(settings: Settings) -> dict[ChannelName, Channel]:
    """Every channel whose settings are there. `KeyUnusable`, `ValueError`: a setting that cannot be right."""
    opened: dict[ChannelName, Channel] = {}
    if contact := push_contact(settings):
        from analytics.notify.channels.push_services import hosts_of
        from analytics.notify.channels.vapid import open_vapid
        from analytics.notify.channels.web_push import WebPush

        opened["push"] = WebPush(open_vapid(settings), contact, hosts_of(settings.push_hosts))
    if settings.line_token is not None:
        from analytics.notify.channels.line import Line, LineAccount

        account = LineAccount(settings.line_api, settings.line_token.get_secret_value())
        opened["line"] = Line(account, settings.line_monthly, _charts(settings))
    if settings.mail_host:
        from analytics.notify.channels.mail import Mail, MailServer

        opened["mail"] = Mail(MailServer.of(settings))
    if settings.webhook == "on":
        from analytics.notify.channels.webhook import Webhook

        opened["webhook"] = Webhook(open_key(settings), settings.webhook_networks)
    if settings.sms_url:
        from analytics.notify.channels.voice import Sms

        opened["sms"] = Sms(settings.sms_url, settings.sms_token)
    if settings.voice_url:
        from analytics.notify.channels.voice import Voice

        back = settings.address.rstrip("/") + CALLBACK
        opened["voice"] = Voice(settings.voice_url, settings.voice_token, back, open_key(settings))
    return opened


def _charts(settings: Settings) -> Callable[[Message], str] | None:
    """Where LINE fetches the picture of an alert, for a day; None: it is given none."""
    if settings.line_charts == "off" or not settings.public_url.startswith("https://"):
        return None
    from analytics.notify.channels.slips import CHART, slip_of

    key, base = open_key(settings), settings.public_url.rstrip("/") + CHARTS
    return lambda message: f"{base}/{slip_of(key, CHART, message.id, int(time.time()) + CHART_HOLDS_S)}"


def open_names(settings: Settings) -> tuple[ChannelName, ...]:
    """What `open_channels` opens, without opening it."""
    there: dict[ChannelName, object] = {
        "push": push_contact(settings), "line": settings.line_token, "mail": settings.mail_host,
        "sms": settings.sms_url, "voice": settings.voice_url, "webhook": settings.webhook == "on",
    }  # fmt: skip
    return tuple(name for name, given in there.items() if given)


def push_contact(settings: Settings) -> str:
    """Where push services reach the operator (RFC 8292, 2.1); empty: there is no Web Push here."""
    if settings.vapid_contact:
        if not settings.vapid_contact.startswith(("mailto:", "https://")):
            raise ValueError("vapid_contact begins with mailto: or https:")
        return settings.vapid_contact
    return settings.public_url if settings.public_url.startswith("https://") else ""


def has_push(settings: Settings) -> bool:
    """Whether a browser may be told through its push service."""
    return bool(push_contact(settings))


def is_loopback(address: str) -> bool:
    """Whether an address of the web is this machine, so that TLS is not needed to reach it."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
