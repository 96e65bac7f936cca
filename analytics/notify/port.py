"""What a channel is: the way to hand one message to one vendor for one address.

What the notifier promises: one message at a time per thread of a channel, the same `id` whenever the same message
is tried again, never two at once with the same `id`. What the channel promises: `send` comes back within `TIMEOUT_S`,
and whatever the vendor or the network says is an answer (`Sent`), never an exception; it keeps nothing that a killed
process would need. A channel that cannot be used for want of settings is not opened (`open_channels`).

`exactly_once`: the vendor, or the phone, makes one of the same message sent twice: LINE by the retry key (24 h), Web
Push by the tag. The others may come twice when a notifier is killed between the vendor's yes and ours.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

TIMEOUT_S: Final = 20.0
"""`send` is back by then; the lease of a row is longer."""

ChannelName = Literal["push", "line", "mail", "sms", "voice", "webhook"]
CHANNELS: Final[tuple[ChannelName, ...]] = ("push", "line", "mail", "sms", "voice", "webhook")

Kind = Literal["alert", "list", "late", "incident", "quota", "unreachable", "recovery", "verify", "test"]
"""`alert`: of one alert, also again. `list`: what waited, in one. `late`: what was while a line was down. `quota`,
`unreachable`: for administrators. `recovery`: a link for who cannot get in. `verify`: the code of a new address."""

ButtonAction = Literal["open", "acknowledge", "snooze"]


@dataclass(frozen=True, slots=True)
class Button:
    """Something to press under a message; `label` in the language of the message."""

    action: ButtonAction
    label: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one address.

    `id`: 32 hex digits, the same for each try. `to`: the row's `address.address`, as the channel wrote it.
    `url`: what a tap opens, with no secret in it but in kind `recovery`. `tag`: a newer message with the same tag
    takes the place of the older one on a phone. `chart_url`: a picture of the values, None: none.
    """

    id: str
    to: Mapping[str, Any] = field(hash=False)
    kind: Kind
    severity: str
    language: str
    title: str
    body: str
    url: str
    tag: str
    buttons: tuple[Button, ...] = ()
    chart_url: str | None = None
    site: str | None = None
    alert_id: str | None = None

    @property
    def retry_key(self) -> str:
        """The message's id as a UUID (RFC 9562, version 8): what LINE's `X-Line-Retry-Key` takes."""
        return str(uuid.UUID(f"{self.id[:12]}8{self.id[13:16]}8{self.id[17:]}"))


SentKind = Literal["accepted", "duplicate", "retry", "refused", "gone"]


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of it.

    - `accepted`: the vendor has it. `duplicate`: the vendor had it from an earlier try; it was not sent twice.
    - `retry`: down, too many, no answer; `retry_after_s` where the vendor says so. It may have been accepted.
    - `refused`: this message will never be taken here (wrong, too long, quota over); another channel takes over.
    - `gone`: the address exists no more (unsubscribed, blocked, 404/410); it is used no more, another takes over.

    `detail` is for the log: no secret, no address, at most 400 characters. `provider_id`: by which the vendor will
    tell later that it was delivered or seen.
    """

    kind: SentKind
    detail: str = ""
    retry_after_s: float | None = None
    provider_id: str | None = None


class Channel(Protocol):
    """One way to people. Threads share it: `send` may be called by several at once, for different messages."""

    @property
    def name(self) -> ChannelName: ...

    @property
    def exactly_once(self) -> bool: ...

    @property
    def monthly(self) -> int | None:
        """How many messages the plan has in a month (Japan's), counted per recipient; None: not counted."""
        ...

    def send(self, message: Message) -> Sent:
        """Hands `message` over."""
        ...
