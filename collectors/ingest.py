"""From a pack to its answer, whatever way it came in: validate, store, keep the refused, answer.

Guarantee: an `Outcome` exists only for what is committed. Each reading of its pack is in the store, each other
record is a dead letter with its reason; only then it carries an `Ack`. When the store or the registry is down
`take` raises, nothing may be answered, and the same packs are given again: that stores nothing twice.

Not answered, so that the gateway keeps what it has: a pack of a gateway that no farm knows yet (`held`), and a
pack without a batch id (a dead letter). A pack that cannot be read at all is one dead letter, index 0, and is
answered, since it will not get better by coming again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from collectors.registry import Registry, dead_letters, sites, sources
from collectors.registry.dead_letters import Letter, clean
from collectors.registry.viewer import Service
from collectors.store import ReadingsRejected, Store
from makiba.quantities import catalogue
from makiba.reading import SUBJECT_PATTERN, Reading, Series
from makiba.senml import CONTENT_TYPE_JSON, Refusal, SenmlError, encode_json, parse, readings_of
from makiba.wire import (
    Ack,
    BatchId,
    GatewayStatus,
    Payload,
    RefusedRecord,
    WireError,
    pack_payload,
    unpack_payload,
)

EARLIEST_MS: Final = 1_420_070_400_000
"""2015-01-01: older than any gateway of ours; a clock that says so was never set."""
MAX_AHEAD_MS: Final = 86_400_000
MAX_RECORDS: Final = 20_000
"""Records of a pack; a gateway sends at most some thousands."""
MAX_NAMED: Final = 200
"""Refused records that an answer names, so that it fits into a packet; the dead letters have all of them."""
SITE_EXPIRES_S: Final = 5.0
UNKNOWN_EXPIRES_S: Final = 1.0

_COLLECTOR: Final = Service("collector")


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack as it came. `gateway` is whoever the way in vouches for, a gateway or a source (`src-…`);
    `correlation` should be a batch id."""

    gateway: str
    correlation: bytes
    payload: bytes
    received_ms: int
    content_type: str = CONTENT_TYPE_JSON
    content_encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose readings a gateway may send; `site` None: no farm knows it."""

    site: str | None
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A pack taken apart, before anything is stored. `records` are what the refusals' indices point into."""

    pack: Pack
    batch: BatchId | None
    readings: tuple[tuple[int, Reading], ...] = ()
    refused: tuple[Refusal, ...] = ()
    records: Sequence[Any] = ()
    held: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A pack that is dealt with: `stored` is committed, `refused` are dead letters. `ack` None: no answer."""

    pack: Pack
    stored: tuple[Reading, ...] = ()
    refused: tuple[Refusal, ...] = ()
    ack: Ack | None = None
    held: bool = False


class ReportedDevice(BaseModel):
    """A device in a gateway's `config/reported`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str = Field(pattern=SUBJECT_PATTERN)
    bus: str = Field(max_length=64)
    profile: str = Field(max_length=64)
    every_s: float = Field(gt=0, allow_inf_nan=False)
    subjects: tuple[str, ...] = Field(default=(), max_length=500)


class Reported(BaseModel):
    """What a gateway says about itself at each connection."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    gateway: str = ""
    site: str = ""
    software: str = ""
    devices: tuple[ReportedDevice, ...] = Field(max_length=2000)


# ------------------------------------------------------------------------------------------------ judging (pure)


def judge(pack: Pack, owner: Owner) -> Judged:
    """What of `pack` may be stored, and why the rest may not."""
    try:
        batch = BatchId.from_bytes(pack.correlation)
    except WireError as error:
        return Judged(pack, None, refused=(Refusal(0, "", str(error)),))
    if owner.site is None:
        return Judged(pack, batch, held=True)
    if owner.revoked:
        return Judged(pack, batch, refused=(Refusal(0, "", f"gateway {pack.gateway} is revoked"),))
    try:
        records = parse(unpack_payload(pack.payload, pack.content_encoding), pack.content_type)
        if len(records) > MAX_RECORDS:
            raise SenmlError(f"a pack of {len(records)} records, at most {MAX_RECORDS}")
        taken, refused = readings_of(records, pack.received_ms / 1000)
    except (WireError, SenmlError) as error:
        return Judged(pack, batch, refused=(Refusal(0, "", str(error)),))
    good: list[tuple[int, Reading]] = []
    for index, reading in taken:
        reason = why_not(reading, pack.gateway, owner.site, pack.received_ms)
        if reason:
            refused.append(Refusal(index, str(reading.series), reason))
        else:
            good.append((index, reading))
    refused.sort(key=lambda refusal: refusal.index)
    return Judged(pack, batch, tuple(good), tuple(refused), records)


def why_not(reading: Reading, gateway: str, site: str, received_ms: int) -> str:
    """Why `reading` cannot be stored; empty when it can."""
    if reading.series.site != site:
        return f"site {reading.series.site} is not the site of {gateway}"
    if reading.time_ms < EARLIEST_MS:
        return f"time {reading.time_ms} ms is before 2015"
    if reading.time_ms > received_ms + MAX_AHEAD_MS:
        return f"time {reading.time_ms} ms is more than a day ahead"
    if isinstance(reading.value, str):
        return "" if clean(reading.value, len(reading.value)) == reading.value else "the text is not UTF-8"
    known = catalogue()[reading.series.quantity]
    if not known.is_plausible(reading.value):
        return f"{reading.value:g} is outside {known.lowest}..{known.highest} {known.unit or ''}".rstrip()
    return ""


def letters_of(judged: Judged) -> list[Letter]:
    """A dead letter for each record of `judged` that was refused."""
    pack = judged.pack
    batch = str(judged.batch) if judged.batch else dead_letters.batch_name(pack.payload)
    return [
        Letter(
            gateway=pack.gateway,
            batch=batch,
            index=refusal.index,
            received_ms=pack.received_ms,
            name=refusal.name,
            reason=refusal.reason,
            record=_spell_record(judged, refusal.index),
        )
        for refusal in judged.refused
    ]


def _spell_record(judged: Judged, index: int) -> str:
    if judged.records:
        return json.dumps(judged.records[index], ensure_ascii=False, default=repr)
    return judged.pack.payload[: dead_letters.MAX_RECORD_CHARS].decode("utf-8", "replace")


def without(judged: Judged, rejected: dict[int, str]) -> Judged:
    """`judged` after the store refused some of its readings: `rejected` maps `id(reading)` to the reason."""
    if not any(id(reading) in rejected for _, reading in judged.readings):
        return judged
    more = [
        Refusal(index, str(reading.series), rejected[id(reading)])
        for index, reading in judged.readings
        if id(reading) in rejected
    ]
    return Judged(
        judged.pack,
        judged.batch,
        tuple((index, reading) for index, reading in judged.readings if id(reading) not in rejected),
        tuple(sorted((*judged.refused, *more), key=lambda refusal: refusal.index)),
        judged.records,
    )


def outcome_of(judged: Judged, now_ms: int) -> Outcome:
    """What to say about `judged` once it is committed."""
    stored = tuple(reading for _, reading in judged.readings)
    ack = None
    if judged.batch and not judged.held:
        named = tuple(
            RefusedRecord(index=r.index, name=clean(r.name, 100), reason=clean(r.reason, 200))
            for r in judged.refused[:MAX_NAMED]
        )
        ack = Ack(batch=str(judged.batch), stored=len(stored), refused=named, time_ms=now_ms)
    return Outcome(judged.pack, stored, judged.refused, ack, judged.held)


def feed_of(readings: Sequence[Reading]) -> Payload:
    """The committed feed's message about `readings`."""
    return pack_payload(encode_json(readings), deflate=False)


# ------------------------------------------------------------------------------------------------------- the rim


class Ingest:
    """Takes packs and gateways' words into a store and a registry. One thread uses it."""

    def __init__(
        self, registry: Registry, store: Store, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry = registry
        self._store = store
        self._monotonic_s = monotonic_s
        self._owners: dict[str, tuple[float, Owner]] = {}

    def take(self, packs: Sequence[Pack]) -> list[Outcome]:
        """Commits `packs` and says what became of each, in order.

        Raises what the store (`StoreUnavailable`, `StoreMisconfigured`) or the registry (`RegistryUnavailable`)
        raises: then nothing may be answered, and the same packs should be given again.
        """
        owners = self._owners_of({pack.gateway for pack in packs})
        judged = [judge(pack, owners[pack.gateway]) for pack in packs]
        readings = [reading for one in judged for _, reading in one.readings]
        if readings:
            try:
                self._store.write(readings)
            except ReadingsRejected as error:
                rejected = {id(readings[index]): reason for index, reason in error.rejected}
                judged = [without(one, rejected) for one in judged]
        letters = [letter for one in judged for letter in letters_of(one)]
        if letters:
            with self._registry.write() as session:
                dead_letters.add(session, _COLLECTOR, letters)
        now_ms = _now_ms()
        return [outcome_of(one, now_ms) for one in judged]

    def take_status(self, gateway: str, payload: bytes, received_ms: int) -> list[Reading]:
        """Notes what a gateway, or its will, says about itself; the state readings that were committed by that.

        Saying it again, on this collector or another, changes nothing. Words that cannot be read are dead letters.
        """
        try:
            status = GatewayStatus.model_validate_json(payload)
        except ValidationError as error:
            self._refuse(gateway, payload, received_ms, f"status cannot be read: {_first(error)}")
            return []
        with self._registry.write() as session:
            note = sites.record_status(session, _COLLECTOR, gateway, status, received_ms)
        if note is None:
            return []
        # Known words too: whoever noted them may have died before this line. The same reading changes nothing.
        reading = Reading(Series(note.site, gateway, "state"), note.at_ms, status.state)
        self._store.write([reading])
        return [reading] if note.news else []

    def take_reported(self, gateway: str, payload: bytes, received_ms: int) -> bool:
        """Notes the devices that a gateway says it has; False when they cannot be read or it is unknown."""
        try:
            reported = Reported.model_validate_json(payload)
        except ValidationError as error:
            self._refuse(gateway, payload, received_ms, f"config/reported cannot be read: {_first(error)}")
            return False
        devices = [
            sites.DeviceSpec(d.name, d.bus, d.profile, d.every_s, tuple(clean(s, 64) for s in d.subjects))
            for d in reported.devices
        ]
        with self._registry.write() as session:
            return sites.record_reported(session, _COLLECTOR, gateway, devices)

    def _refuse(self, gateway: str, payload: bytes, received_ms: int, reason: str) -> None:
        record = payload[: dead_letters.MAX_RECORD_CHARS].decode("utf-8", "replace")
        batch = dead_letters.batch_name(payload)
        with self._registry.write() as session:
            letter = Letter(gateway, batch, 0, received_ms, "", reason, record)
            dead_letters.add(session, _COLLECTOR, [letter])

    def _owners_of(self, gateways: set[str]) -> dict[str, Owner]:
        """Who each gateway belongs to, asked of the registry at most every `SITE_EXPIRES_S`."""
        now_s = self._monotonic_s()
        self._owners = {g: (until, o) for g, (until, o) in self._owners.items() if until > now_s}
        missing = sorted(gateways - self._owners.keys())
        if missing:
            with self._registry.read() as session:
                for name in missing:
                    known = sources.owner_of(session, _COLLECTOR, name)
                    owner = Owner(known.site, known.revoked) if known else Owner(None)
                    keep_s = SITE_EXPIRES_S if known else UNKNOWN_EXPIRES_S
                    self._owners[name] = (now_s + keep_s, owner)
        return {gateway: self._owners[gateway][1] for gateway in gateways}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, without quoting the input."""
    found = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    return f"{where}: {found['msg']}" if where else found["msg"]
