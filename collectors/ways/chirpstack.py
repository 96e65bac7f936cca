"""ChirpStack v4's events in JSON: what they say, when it was, and which frames are missing. Pure.

Facts: the events are protobuf's `integration.*Event` in its JSON form (chirpstack-docs, "Event types"), where a field
with its default value (a frame counter of 0) is left out. Their topics are
`application/<id>/device/<devEui>/event/<event>`. One `up` stands for one frame, however many LoRaWAN gateways heard
it; `deduplicationId` names it. From v4.6 on `rxInfo` has `gwTime` (the LoRaWAN gateway's clock, where it has one) and
`nsTime` (the network server's), before that `time`.

Time: a LoRaWAN device does not say when it measured. A reading gets the time at which its frame was heard: the
earliest `gwTime` that is within a minute of its `nsTime` (a LoRaWAN gateway without GPS or NTP may be wrong by
minutes), else the earliest `nsTime`, else the event's own `time`, else its arrival here. The last is weaker: an event
that the broker sends twice gets two times then, unless its `deduplicationId` is the last one's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from makiba.reading import Value

EVENTS: Final = ("up", "join", "status", "ack", "log")
"""The events that are understood; `txack`, `location` and `integration` say nothing about a farm."""
CLOCK_TOLERANCE_S: Final = 60.0

_TOPIC = re.compile(r"application/([^/]{1,100})/device/([0-9A-Fa-f]{16})/event/([a-z]{1,20})")


class EventError(ValueError):
    """A message that is no event as ChirpStack writes it; the text says why."""


def _moment(given: Any) -> Any:
    """RFC 3339 with up to nanoseconds and an offset; None where it is none."""
    if not isinstance(given, str) or len(given) > 40:
        return None
    text = re.sub(r"(\.\d{6})\d+", r"\1", given)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # a year that no network of ours knows is a clock that was never set
    return moment if moment.tzinfo and 2015 <= moment.year < 2100 else None


Moment = Annotated[datetime | None, BeforeValidator(_moment)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class DeviceInfo(_Said):
    """Who speaks, as ChirpStack has it registered."""

    application_name: str = ""
    device_profile_name: str = ""
    device_name: str = ""
    dev_eui: str = ""


class RxInfo(_Said):
    """How one LoRaWAN gateway heard a frame."""

    gateway_id: str = ""
    gw_time: Moment = None
    ns_time: Moment = None
    time: Moment = None
    rssi: float | None = Field(default=None, allow_inf_nan=False)
    snr: float | None = Field(default=None, allow_inf_nan=False)


class Event(_Said):
    """Any event. What an event of another kind has stays empty."""

    deduplication_id: str = Field(default="", max_length=64)
    time: Moment = None
    device_info: DeviceInfo = DeviceInfo()
    dev_addr: str = Field(default="", max_length=8)
    f_cnt: int = Field(default=0, ge=0, le=2**32 - 1)
    f_port: int = Field(default=0, ge=0, le=255)
    object: dict[str, Any] | None = None
    rx_info: tuple[RxInfo, ...] = Field(default=(), max_length=1000)
    margin: float | None = Field(default=None, allow_inf_nan=False)
    external_power_source: bool = False
    battery_level_unavailable: bool = False
    battery_level: float | None = Field(default=None, allow_inf_nan=False)
    level: str = ""
    code: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Topic:
    """Whose event it is, by the topic that the broker let it come on."""

    application: str
    dev_eui: str
    event: str


def parse_topic(topic: str) -> Topic | None:
    """The topic's parts, the devEUI in small letters; None when it is no event's."""
    match = _TOPIC.fullmatch(topic)
    return Topic(match[1], match[2].lower(), match[3]) if match else None


def parse_event(topic: Topic, payload: bytes) -> Event:
    """The event in a message; `EventError` when it cannot be read or is another device's."""
    try:
        event = Event.model_validate_json(payload)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in found["loc"])
        raise EventError(f"{where}: {found['msg']}" if where else found["msg"]) from None
    said = event.device_info.dev_eui.lower()
    if said and said != topic.dev_eui:
        raise EventError(f"speaks for device {said[:16]!r} on the topic of {topic.dev_eui}")
    return event


def heard_ms(event: Event, received_ms: int) -> int:
    """When the event happened, in UTC ms; see the module's docstring for the choice."""
    near = [
        rx.gw_time
        for rx in event.rx_info
        if rx.gw_time and rx.ns_time and abs((rx.gw_time - rx.ns_time).total_seconds()) <= CLOCK_TOLERANCE_S
    ]
    of_server = [rx.ns_time for rx in event.rx_info if rx.ns_time]
    before_4_6 = [rx.time for rx in event.rx_info if rx.time]
    for candidates in (near, of_server, [event.time] if event.time else [], before_4_6):
        if candidates:
            return int(min(candidates).astimezone(UTC).timestamp() * 1000)
    return received_ms


def radio_values(event: Event) -> Iterator[tuple[str, Value]]:
    """What an `up` says about the radio, by its best LoRaWAN gateway, in the catalogue's units."""
    heard = [rx for rx in event.rx_info if rx.rssi is not None]
    if not heard:
        return
    best = max(heard, key=lambda rx: (rx.snr if rx.snr is not None else -100.0, rx.rssi or 0.0))
    assert best.rssi is not None
    yield "signal_strength", best.rssi - 30.0  # dBm to dBW
    # a ratio of exactly 0 dB is left out by protobuf's JSON
    yield "signal_to_noise", best.snr if best.snr is not None else 0.0


def status_values(event: Event) -> Iterator[tuple[str, Value]]:
    """What a `status` says: the demodulation margin, and the battery where there is one."""
    if event.margin is not None:
        yield "link_margin", event.margin
    if event.battery_level is not None and not (event.battery_level_unavailable or event.external_power_source):
        yield "battery", event.battery_level / 100.0


# ------------------------------------------------------------------------------------------------- frame counters

FrameKind = Literal["new", "again", "repeated", "late", "restarted"]
"""new: the next one, or a later one. again: the broker sent the same event twice. repeated: the device sent the same
frame again (no answer had reached it). late: an older frame that came after a younger one. restarted: the device
joined anew, or its counter was set back."""

SEEN_BITS: Final = 62
"""How many frames before the last are remembered: they may still come late, and are known when they come again."""


@dataclass(frozen=True, slots=True)
class Last:
    """A device's newest frame, and which of those before it were heard: bit i stands for frame `number - 1 - i`."""

    dev_addr: str
    number: int
    frame_id: str
    seen: int = 0


@dataclass(frozen=True, slots=True)
class FrameNews:
    """What a frame is, by how many the missing ones change, and what is known afterwards."""

    kind: FrameKind
    missing: int
    last: Last


def frame_news(last: Last | None, event: Event) -> FrameNews:
    """What the frame of `event` is. A device that was never heard before misses nothing."""
    number = event.f_cnt
    fresh = Last(event.dev_addr, number, event.deduplication_id)
    if last is None:
        return FrameNews("new", 0, fresh)
    if event.dev_addr != last.dev_addr:
        return FrameNews("restarted", number, fresh)  # a session's counter begins at 0
    if number == last.number:
        same = not event.deduplication_id or event.deduplication_id == last.frame_id
        return FrameNews("again" if same else "repeated", 0, last)
    if number > last.number:
        ahead = number - last.number
        seen = (last.seen << ahead | 1 << (ahead - 1)) & (2**SEEN_BITS - 1) if ahead <= SEEN_BITS else 0
        return FrameNews("new", ahead - 1, Last(last.dev_addr, number, event.deduplication_id, seen))
    bit = last.number - 1 - number
    if bit >= SEEN_BITS:
        return FrameNews("restarted", number, fresh)
    if last.seen >> bit & 1:
        return FrameNews("again", 0, last)
    return FrameNews("late", -1, Last(last.dev_addr, last.number, last.frame_id, last.seen | 1 << bit))
