"""What is to be done about LoRaWAN events: readings, dead letters, what to note about devices. Pure.

An event that cannot be read, a device whose profile is not there, a frame without a decoded object and a field that
is no number are dead letters with their reason; the rest of the frame is taken. A frame that the device repeated is
counted and not stored: it would have a second time. A device that no farm names is counted, and what it said is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from collectors.registry.dead_letters import Letter
from collectors.registry.lora import Heard
from collectors.ways.chirpstack import (
    Event,
    EventError,
    Last,
    Topic,
    frame_news,
    heard_ms,
    parse_event,
    radio_values,
    status_values,
)
from collectors.ways.lorawan_profile import Profile, extract
from makiba.reading import Reading, Series, Value

FIELD_INDEX: Final = 10_000
"""Where the dead letters of fields are numbered from, behind those of the frame's own records."""


@dataclass(frozen=True, slots=True)
class Message:
    """An event as it came."""

    topic: Topic
    payload: bytes
    received_ms: int


@dataclass(frozen=True, slots=True)
class Known:
    """A device as the registry has it. `last` None: it was never heard."""

    dev_eui: str
    site: str
    subject: str
    profile: str
    source: str
    missing: int = 0
    last: Last | None = None


@dataclass(frozen=True, slots=True)
class UnknownHeard:
    """A device that no farm names."""

    dev_eui: str
    at_ms: int
    name: str
    application: str
    profile_name: str


@dataclass(slots=True)
class Plan:
    """What to do about a batch of events, in this order: store, then note. Readings are by source."""

    readings: dict[str, list[Reading]] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    unknown: list[UnknownHeard] = field(default_factory=list)


def plan_events(messages: Sequence[Message], devices: Mapping[str, Known], profiles: Mapping[str, Profile]) -> Plan:
    """What to do about `messages`, which are in the order in which they came."""
    plan = Plan()
    now_known = dict(devices)
    for message in messages:
        device = now_known.get(message.topic.dev_eui)
        try:
            event = parse_event(message.topic, message.payload)
        except EventError as error:
            _refuse(plan, message, device, str(error))
            continue
        if device is None:
            _note_unknown(plan, message, event)
            continue
        now_known[device.dev_eui] = _plan_one(plan, message, event, device, profiles)
    return plan


def _plan_one(plan: Plan, message: Message, event: Event, device: Known, profiles: Mapping[str, Profile]) -> Known:
    """Adds what to do about one event to `plan`, and says what is known about its device afterwards."""
    at_ms = heard_ms(event, message.received_ms)
    kind = message.topic.event
    if kind == "up":
        return _plan_up(plan, message, event, device, profiles, at_ms)
    if kind == "status":
        _store(plan, device, at_ms, status_values(event))
    note = {"join": "joined", "log": f"{event.level} {event.code}: {event.description}".strip()}.get(kind)
    plan.heard.append(Heard(device.dev_eui, at_ms, note=note))
    return device


def _plan_up(
    plan: Plan, message: Message, event: Event, device: Known, profiles: Mapping[str, Profile], at_ms: int
) -> Known:
    news = frame_news(device.last, event)
    if news.kind == "repeated":
        plan.heard.append(Heard(device.dev_eui, at_ms, repeated=1))
        return device
    _read_fields(plan, message, event, device, profiles, at_ms)
    _store(plan, device, at_ms, radio_values(event))
    if news.kind == "again":
        return device  # what it said is stored with the same times; everything about it is noted already
    missing = max(0, device.missing + news.missing)
    if missing != device.missing:
        _store(plan, device, at_ms, [("frames_missing", float(missing))])
    plan.heard.append(Heard(device.dev_eui, at_ms, frame=news.last, frames=1, missing=news.missing))
    return replace(device, missing=missing, last=news.last)


def _read_fields(
    plan: Plan, message: Message, event: Event, device: Known, profiles: Mapping[str, Profile], at_ms: int
) -> None:
    profile = profiles.get(device.profile)
    if profile is None:
        _refuse(plan, message, device, f"LoRaWAN profile {device.profile} is not there", event)
        return
    if profile.ports and event.f_port not in profile.ports:
        return  # the device's own business: its settings, an answer to a command
    if event.object is None:
        reason = "no decoded object: give its device profile in ChirpStack a codec"
        _refuse(plan, message, device, reason, event)
        return
    found = list(extract(profile, event.object))
    if not found:
        names = ", ".join(sorted(event.object))[:200]
        _refuse(plan, message, device, f"no field of profile {profile.name} in the object ({names})", event)
    for index, one in enumerate(found):
        subject = f"{device.subject}.{one.channel}" if one.channel else device.subject
        if one.problem:
            name = f"{device.site}/{subject}/{one.quantity}"
            _refuse(plan, message, device, one.problem, event, FIELD_INDEX + index, name)
        elif one.value is not None:
            reading = Reading(Series(device.site, subject, one.quantity), at_ms, one.value)
            plan.readings.setdefault(device.source, []).append(reading)


def _store(plan: Plan, device: Known, at_ms: int, values: Iterable[tuple[str, Value]]) -> None:
    rows = plan.readings.setdefault(device.source, [])
    rows += [Reading(Series(device.site, device.subject, quantity), at_ms, value) for quantity, value in values]


def _refuse(
    plan: Plan, message: Message, device: Known | None, reason: str, event: Event | None = None,
    index: int = FIELD_INDEX - 1, name: str = "",
) -> None:  # fmt: skip
    batch = event.deduplication_id if event and event.deduplication_id else f"{message.received_ms}"
    plan.letters.append(
        Letter(
            gateway=device.source if device else f"lorawan {message.topic.dev_eui}",
            batch=f"{message.topic.dev_eui}/{batch}",
            index=index,
            received_ms=message.received_ms,
            name=name,
            reason=reason,
            record=message.payload[:2000].decode("utf-8", "replace"),
        )
    )


def _note_unknown(plan: Plan, message: Message, event: Event) -> None:
    info = event.device_info
    plan.unknown.append(
        UnknownHeard(
            message.topic.dev_eui, message.received_ms, info.device_name, info.application_name,
            info.device_profile_name,
        )
    )  # fmt: skip
