"""What links a phone, a LINE account or a call to somebody, as it comes in and goes out."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from api.shapes import Given, Id, Millis, Names, Shape


class PushOut(Shape):
    """How a browser is told: the key it subscribes with, null where this Makiba tells no browser."""

    key: str | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"key": "BNbxGYNMhEIi9zrneh7mqV4oUanjLUK3m-mYZBc62frMKrEoMk88r3Lk596T0ck9xlT-aok0fO1KXBLV4-XqxYM"}
            ]
        }
    )


class PushKeys(Given):
    """The keys of a browser's subscription (RFC 8291), in base64url."""

    p256dh: str = Field(min_length=87, max_length=88, pattern="^[A-Za-z0-9_-]+=?$")
    auth: str = Field(min_length=22, max_length=24, pattern="^[A-Za-z0-9_-]+={0,2}$")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "p256dh": "BNbxGYNMhEIi9zrneh7mqV4oUanjLUK3m-mYZBc62frMKrEoMk88r3Lk596T0ck9"
                    "xlT-aok0fO1KXBLV4-XqxYM",
                    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
                }
            ]
        }
    )


class PushIn(Given):
    """A browser's subscription, as `PushSubscription.toJSON` gives it."""

    endpoint: str = Field(min_length=10, max_length=1_000)
    keys: PushKeys

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "endpoint": "https://fcm.googleapis.com/fcm/send/fh2K7L",
                    "keys": {
                        "p256dh": "BNbxGYNMhEIi9zrneh7mqV4oUanjLUK3m-mYZBc62frMKrEoMk88r3Lk596T0ck9"
                        "xlT-aok0fO1KXBLV4-XqxYM",
                        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
                    },
                }
            ]
        }
    )


class PushedOut(Shape):
    """A browser that is told. `id`: of its address, by which it is taken away again."""

    id: str

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "4fT0kBv2QmZp8xYc"}]})


class LineOut(Shape):
    """The LINE account of this Makiba: whether there is one, where to make it a friend; when one's own was linked."""

    here: bool
    account: str = Field(description="The account's id, such as @makiba; empty: unknown")
    friend_address: str | None = Field(description="Where somebody makes the account a friend")
    linked_ms: int | None = Field(description="When the viewer's own LINE account was linked; null: none is")
    linked_id: str | None = Field(description="Its address, by which it is taken away")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "here": True,
                    "account": "@makiba",
                    "friend_address": "https://line.me/R/ti/p/@makiba",
                    "linked_ms": 1781222400000,
                    "linked_id": "4fT0kBv2QmZp8xYc",
                }
            ]
        }
    )


class HeardOut(Shape):
    """What was taken in of what LINE sent: how many events."""

    events: int = Field(ge=0)

    model_config = ConfigDict(json_schema_extra={"examples": [{"events": 1}]})


class LineCode(Shape):
    """A code to be sent to the LINE account. `address`: opens the chat on a phone with the code typed in."""

    code: str
    address: str | None
    qr_svg: str | None
    expires_ms: Millis

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "code": "K7QX-M2PD",
                    "address": "https://line.me/R/oaMessage/%40makiba/?K7QX-M2PD",
                    "qr_svg": "<svg …></svg>",
                    "expires_ms": 1781223000000,
                }
            ]
        }
    )


class CallAnswerIn(Given):
    """What somebody pressed on the telephone, with the token of the call."""

    token: str = Field(min_length=20, max_length=200)
    digit: str = Field(min_length=1, max_length=1, pattern="^[0-9*#]$")

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "0f…a1.1781222400.Zm9v", "digit": "1"}]})


class CallAnswerOut(Shape):
    """What the gateway reads aloud then."""

    say: str

    model_config = ConfigDict(json_schema_extra={"examples": [{"say": "見たことを伝えました。"}]})


ChannelName = Literal["push", "line", "mail", "sms", "voice", "webhook"]


class OpenChannelsOut(Shape):
    """By which channels this Makiba reaches anybody."""

    open: list[ChannelName]

    model_config = ConfigDict(json_schema_extra={"examples": [{"open": ["push", "line", "mail"]}]})


class SentOut(Shape):
    """A message that went, or goes, to the viewer. `title`: of its alert, null where it is about none."""

    id: Id
    kind: str
    channel: ChannelName | None
    severity: str
    state: Literal["waiting", "held", "accepted", "delivered", "seen", "failed", "withdrawn", "listed"]
    state_name: Names
    title: Names | None
    alert_id: str | None
    created_ms: Millis
    due_ms: Millis

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0f7c1a2b3c4d5e6f708192a3b4c5d6e7",
                    "kind": "alert",
                    "channel": "line",
                    "severity": "critical",
                    "state": "seen",
                    "state_name": {"ja": "見ました", "en": "seen"},
                    "title": {"ja": "乳温が 高いです", "en": "The milk is too warm"},
                    "alert_id": "3f2a0c6d9b1e4f7783a0c6d9b1e4f778",
                    "created_ms": 1781222400000,
                    "due_ms": 1781222400000,
                }
            ]
        }
    )


class SentRowsOut(Shape):
    """The newest first."""

    rows: list[SentOut]
    next: str | None


class PressedIn(Given):
    """What somebody pressed under a message on their phone."""

    action: Literal["acknowledge", "going", "snooze"]

    model_config = ConfigDict(json_schema_extra={"examples": [{"action": "acknowledge"}]})


class PressedOut(Shape):
    """What became of it, and in words.

    `already`: somebody else has it. `over`: it waits for a reset. `stale`: it got worse after the message.
    """

    kind: Literal["done", "already", "ended", "over", "stale", "not-now"]
    said: Names

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "done",
                    "said": {"ja": "見た ことを 伝えました。", "en": "The others know that you have seen it."},
                }
            ]
        }
    )
