"""What of a pack may be stored, and why the rest may not. Pure.

A pack is read the quick way when it is what our gateways send (`plain.py`), else the general way, record by record,
each with its reason. Both append what is good to the columns of the commit that is being put together.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from collectors.plain import EARLIEST_MS, MAX_AHEAD_MS, MAX_RECORDS, Names, Plain, read_plain
from collectors.registry import dead_letters
from collectors.registry.dead_letters import Letter, clean
from makiba.quantities import catalogue
from makiba.reading import Columns, Reading
from makiba.senml import CONTENT_TYPE_JSON, Refusal, SenmlError, parse, readings_of
from makiba.wire import Ack, BatchId, RefusedRecord, WireError, is_batch_id, spell_ack, unpack_payload

MAX_LETTERS: Final = 500
"""Dead letters that one pack makes; more are kept as the pack itself."""
MAX_NAMED: Final = 200
"""Refused records that an answer names, so that it fits into a packet; the dead letters have all of them."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack as it came. `gateway` is whoever the way in vouches for, a gateway or a source (`src-…`);
    `correlation` should be a batch id. `problem`: why nothing in it can be believed, where the way in knows."""

    gateway: str
    correlation: bytes
    payload: bytes
    received_ms: int
    content_type: str = CONTENT_TYPE_JSON
    content_encoding: str | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose readings a gateway may send; `site` None: no farm knows it."""

    site: str | None
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A pack taken apart, before anything is stored: its good readings are `columns[start:end]`.

    `places`: the record of each of these readings; None when it was read the quick way (`plain`). `records` are
    what the refusals' indices point into. `held`: no farm knows its sender. `put_off`: its sender has cost too much
    lately, nobody looked into it. `away`: the store server of its farm does not answer, others do. None of the
    three is answered.
    """

    pack: Pack
    has_batch: bool
    columns: Columns
    start: int
    end: int
    refused: tuple[Refusal, ...] = ()
    plain: Plain | None = None
    places: Sequence[int] | None = None
    records: Sequence[Any] = ()
    held: bool = False
    put_off: bool = False
    away: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A pack that is dealt with: `stored` is committed, `refused` are dead letters. `answer` None: there is none."""

    judged: Judged
    answer: bytes | None

    @property
    def pack(self) -> Pack:
        return self.judged.pack

    @property
    def refused(self) -> tuple[Refusal, ...]:
        return self.judged.refused

    @property
    def held(self) -> bool:
        return self.judged.held

    @property
    def count(self) -> int:
        """How many readings were committed."""
        return self.judged.end - self.judged.start

    @property
    def stored(self) -> Sequence[Reading]:
        """The readings that were committed, an object for each."""
        one, columns = self.judged, self.judged.columns
        rows = slice(one.start, one.end)
        return Columns(columns.series[rows], columns.times_ms[rows], columns.values[rows]).readings()

    @property
    def ack(self) -> Ack | None:
        return None if self.answer is None else Ack.from_bytes(self.answer)


def judge(pack: Pack, owner: Owner, columns: Columns, names: Names | None = None) -> Judged:
    """Appends what of `pack` may be stored to `columns`, and says why the rest may not."""
    start = len(columns.times_ms)
    if not is_batch_id(pack.correlation):
        reason = f"correlation data {pack.correlation[:64]!r} is not a batch id (spool/number)"
        return Judged(pack, False, columns, start, start, (Refusal(0, "", reason),))
    if owner.site is None:
        return Judged(pack, True, columns, start, start, held=True)
    if owner.revoked or pack.problem:
        reason = f"gateway {pack.gateway} is revoked" if owner.revoked else pack.problem
        return Judged(pack, True, columns, start, start, (Refusal(0, "", reason),))
    try:
        data = unpack_payload(pack.payload, pack.content_encoding)
        if pack.content_type == CONTENT_TYPE_JSON:
            _refuse_swarm(data)
            plain = read_plain(data, names or Names(owner.site), pack.received_ms, columns)
            if plain is not None:
                return Judged(pack, True, columns, start, start + plain.count, plain=plain)
        return judge_records(pack, owner.site, data, columns)
    except (WireError, SenmlError) as error:
        return Judged(pack, True, columns, start, start, (Refusal(0, "", str(error)),))


def _refuse_swarm(data: bytes) -> None:
    """Before anything is made of it: an empty map is two bytes here and 64 once it is read."""
    count = data.count(b"{") + data.count(b"[")
    if count > 3 * MAX_RECORDS:
        raise SenmlError(f"a pack of {count} maps and arrays; at most {MAX_RECORDS} records")


def judge_records(pack: Pack, site: str, data: bytes, columns: Columns) -> Judged:
    """The general way. `SenmlError` when nothing of the pack can be read."""
    start = len(columns.times_ms)
    records = parse(data, pack.content_type)
    if len(records) > MAX_RECORDS:
        raise SenmlError(f"a pack of {len(records)} records, at most {MAX_RECORDS}")
    taken, refused = readings_of(records, pack.received_ms / 1000)
    places: list[int] = []
    for index, reading in taken:
        reason = why_not(reading, pack.gateway, site, pack.received_ms)
        if reason:
            refused.append(Refusal(index, str(reading.series), reason))
        else:
            places.append(index)
            columns.series.append(reading.series)
            columns.times_ms.append(reading.time_ms)
            columns.values.append(reading.value)
    refused.sort(key=lambda refusal: refusal.index)
    return Judged(pack, True, columns, start, len(columns.times_ms), tuple(refused), places=places, records=records)


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


def put_away(judged: Judged) -> Judged:
    """`judged`, of which some readings are not committed: it comes again as a whole."""
    return replace(judged, end=judged.start, refused=(), plain=None, places=None, away=True)


def without(judged: Judged, rejected: Mapping[int, str]) -> Judged:
    """`judged` after the store refused some of its readings: `rejected` maps places in the columns to reasons.

    The readings that are left get columns of their own, so that the places of the other packs stay.
    """
    mine: Collection[int] = [place for place in range(judged.start, judged.end) if place in rejected]
    if not mine:
        return judged
    again = _with_places(judged)
    places = again.places or ()
    columns, left = Columns(), []
    refused = list(judged.refused)
    for place in range(judged.start, judged.end):
        index = places[place - judged.start]
        if place in rejected:
            refused.append(Refusal(index, str(judged.columns.series[place]), rejected[place]))
            continue
        left.append(index)
        columns.series.append(judged.columns.series[place])
        columns.times_ms.append(judged.columns.times_ms[place])
        columns.values.append(judged.columns.values[place])
    refused.sort(key=lambda refusal: refusal.index)
    return replace(again, columns=columns, start=0, end=len(left), refused=tuple(refused), places=left, plain=None)


def _with_places(judged: Judged) -> Judged:
    """`judged` with the record of each reading: a plain pack is read once more, the general way."""
    if judged.places is not None:
        return judged
    pack = judged.pack
    records = parse(unpack_payload(pack.payload, pack.content_encoding), pack.content_type)
    taken, _ = readings_of(records, pack.received_ms / 1000)
    return replace(judged, records=records, places=[index for index, _ in taken])


def letters_of(judged: Judged) -> list[Letter]:
    """A dead letter for each record of `judged` that was refused: the first `MAX_LETTERS`, and where there are more,
    or nothing could be told apart, the whole pack."""
    if not judged.refused:
        return []
    pack = judged.pack
    batch = pack.correlation.decode() if judged.has_batch else dead_letters.batch_name(pack.payload)
    letters = [
        Letter(
            gateway=pack.gateway,
            batch=batch,
            index=refusal.index,
            received_ms=pack.received_ms,
            name=refusal.name,
            reason=refusal.reason,
            record=_spell_record(judged, refusal.index),
        )
        for refusal in judged.refused[:MAX_LETTERS]
    ]
    left_out = len(judged.refused) - len(letters)
    if left_out:
        reason = f"{letters[-1].reason}; and {left_out} more records of this pack, which is kept whole"
        letters[-1] = replace(letters[-1], reason=reason, payload=pack.payload)
    elif not judged.records:
        letters[-1] = replace(letters[-1], payload=pack.payload)
    return letters


def _spell_record(judged: Judged, index: int) -> str:
    if not judged.records:
        return judged.pack.payload[: dead_letters.MAX_RECORD_CHARS].decode("utf-8", "replace")
    record = judged.records[index]
    try:
        return json.dumps(record, ensure_ascii=False, default=repr)[: dead_letters.MAX_RECORD_CHARS]
    except (TypeError, ValueError, RecursionError):  # CBOR can say what JSON cannot: a circle, a number of a mile
        return ", ".join(map(str, list(record)[:20]))[: dead_letters.MAX_RECORD_CHARS]


def outcome_of(judged: Judged, now_ms: int) -> Outcome:
    """What to say about `judged` once it is committed."""
    if not judged.has_batch or judged.held or judged.put_off or judged.away:
        return Outcome(judged, None)
    count = judged.end - judged.start
    if not judged.refused:
        return Outcome(judged, spell_ack(judged.pack.correlation, count, now_ms))
    named = tuple(
        RefusedRecord(index=r.index, name=clean(r.name, 100), reason=clean(r.reason, 200))
        for r in judged.refused[:MAX_NAMED]
    )
    batch = BatchId.from_bytes(judged.pack.correlation)
    return Outcome(judged, Ack(batch=str(batch), stored=count, refused=named, time_ms=now_ms).to_bytes())
