"""How a person wants to be told, where they are reached, and who was told of an alert."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from api.shapes import Given, Id, Line, Names, Shape
from collectors.registry.wishes import MOST_WAKES

ChannelName = Literal["push", "line", "mail", "sms", "voice", "webhook"]


class ChannelsIn(Given):
    """Channels in the order in which they are tried; of `critical` at least one."""

    critical: list[ChannelName] = Field(min_length=1, max_length=6)
    warning: list[ChannelName] = Field(max_length=6)
    advisory: list[ChannelName] = Field(max_length=6)
    info: list[ChannelName] = Field(max_length=6)


class QuietIn(Given):
    """From a minute of the farm's day until another; may go over midnight."""

    from_minute: int = Field(ge=0, lt=1440)
    to_minute: int = Field(ge=0, lt=1440)


class WishesIn(Given):
    """How the person wants to be told. A critical alert passes quiet hours and the budget of the night.

    `night_budget`: how many warnings may wake them in one night; the rest waits for the morning list.
    """

    language: Literal["ja", "en"]
    channels: ChannelsIn
    quiet: QuietIn | None
    night_budget: int = Field(ge=0, le=MOST_WAKES)
    morning_list: bool

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "language": "ja",
                    "channels": {
                        "critical": ["push", "line", "voice"],
                        "warning": ["push", "line"],
                        "advisory": ["push", "line"],
                        "info": ["push"],
                    },
                    "quiet": {"from_minute": 1320, "to_minute": 240},
                    "night_budget": 2,
                    "morning_list": True,
                }
            ]
        }
    )


class ChannelsOut(Shape):
    critical: list[ChannelName]
    warning: list[ChannelName]
    advisory: list[ChannelName]
    info: list[ChannelName]


class QuietOut(Shape):
    from_minute: int
    to_minute: int


class WishesOut(Shape):
    """How the person wants to be told; `version` 0: they said nothing yet, and this is what holds."""

    language: Literal["ja", "en"]
    channels: ChannelsOut
    quiet: QuietOut | None
    night_budget: int
    morning_list: bool
    version: int


class AddressIn(Given):
    """A new address: of mail, a telephone number for SMS or calls, an address of the web. A code goes to it."""

    channel: Literal["mail", "sms", "voice", "webhook"]
    address: Line = Field(min_length=3, max_length=1_000)
    label: Line = Field("", max_length=100)

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"channel": "mail", "address": "hanako@example.com", "label": "家"}]}
    )


class VerifyIn(Given):
    """The code that came to the address."""

    code: Line = Field(max_length=6, pattern=r"^[0-9]{6}$")

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "042137"}]})


class AddressOut(Shape):
    """Where the person is reached. `shown`: enough to know it by. Used from `verified_ms` on, until `gone_ms`."""

    id: Id
    channel: ChannelName
    label: str
    shown: str
    created_ms: int
    verified_ms: int | None
    gone_ms: int | None
    """Since when the vendor says that it exists no more."""
    version: int


class NewAddressOut(AddressOut):
    """An address that was just added. `secret`: with which messages to a webhook are signed; of others null."""

    secret: str | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "4fT0kBv2QmZp8xYc",
                    "channel": "webhook",
                    "label": "",
                    "shown": "alarm.example.com",
                    "created_ms": 1781222400000,
                    "verified_ms": None,
                    "gone_ms": None,
                    "version": 1,
                    "secret": "pJ2vRjv1J0vW8d2bTzEo2m3yYkq7s1b0uN4xZc6QhLg",
                }
            ]
        }
    )


class AddressesOut(Shape):
    """The oldest first; `next` is always null: nobody has more than 20."""

    rows: list[AddressOut]
    next: str | None


class DeliveryStepOut(Shape):
    at_ms: int
    step: str
    detail: str


class DeliveryOut(Shape):
    """One message to one address. `who`: a person's or a contact's name, null of somebody who is gone."""

    id: Id
    who: str | None
    channel: ChannelName | None
    """Null of one that waits for a list."""
    severity: str
    state: Literal["waiting", "held", "accepted", "delivered", "seen", "failed", "withdrawn", "listed"]
    state_name: Names
    reason: str
    round: int
    created_ms: int
    due_ms: int
    steps: list[DeliveryStepOut]


class DeliveriesOut(Shape):
    """The oldest first. `next_ms`: when somebody is asked next, null: nobody any more."""

    rows: list[DeliveryOut]
    next: str | None
    next_ms: int | None
