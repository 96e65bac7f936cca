"""ICAR ADE documents into the store and the registry: readings through the door, events by their keys.

Guarantee: what a document says is committed, all of it but what was told as refused and stands in the dead letters of
the farm's source for imports. The same document again changes nothing; one that was corrected corrects the events,
and what it takes back (`meta.isDeleted`) is deleted, with its history. Who deleted an event by hand had a reason: it
does not come back.

An animal that the farm does not know gets nothing, unless `create`: then it is added with the number that it came by.
Readings have its ten digits or its tag for their subject; of an animal with neither they are refused.

Memory holds one document of at most `MAX_BYTES`.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.orm import Session

from collectors.ingest import Pack
from collectors.judge import why_not
from collectors.registry import Registry, animals, dead_letters, herd_events
from collectors.registry.dead_letters import MAX_RECORD_CHARS, Letter
from collectors.registry.herd_events import Told
from collectors.registry.schema.herd import Animal
from collectors.registry.viewer import Service
from collectors.ways.csv_import import GIVE_UP_AFTER_S, Interrupted, SourceRefused
from collectors.ways.icar import AnimalKey, Found, Happening, How, Measured, NotIcar, Refusal, read, resources_in
from collectors.ways.port import PACK_READINGS, Door, now_ms, packs_of, take_patiently
from makiba.reading import Reading, Series

MAX_BYTES: Final = 64 * 1024 * 1024
AT_ONCE: Final = 500
"""Resources in one transaction."""


@dataclass(slots=True)
class Tally:
    """What became of a document so far."""

    resources: int = 0
    readings: int = 0
    entered: int = 0
    corrected: int = 0
    deleted: int = 0
    unchanged: int = 0
    refused: int = 0
    created: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A reading, and which resource it is of."""

    reading: Reading
    index: int


@dataclass(frozen=True, slots=True)
class IcarImport:
    """One document of `site`. `door` None: a preview, nothing is stored. `tell` is told each refusal."""

    payload: bytes
    how: How
    site: str
    source: str
    registry: Registry
    door: Door | None
    tell: Callable[[Refusal], None]
    viewer: Service
    create: bool = False
    tally: Tally = field(default_factory=Tally)
    name: str = "icar"

    def run(self, stop: threading.Event) -> None:
        """Imports to the end; `NotIcar`, and what store and registry raise."""
        resources = resources_in(parse(self.payload))
        self.tally.resources = len(resources)
        found = read(resources, self.how)
        while chunk := list(itertools.islice(found, AT_ONCE)):
            if stop.is_set():
                raise Interrupted
            refused: list[Refusal] = []
            readings = self._entered(chunk, refused)
            self._stored(readings, stop)
            self._refuse(refused, resources)

    def _entered(self, chunk: Sequence[Found], refused: list[Refusal]) -> list[_Placed]:
        """Enters the events of `chunk`; its readings, to be stored."""
        readings: list[_Placed] = []
        with self.registry.read() if self.door is None else self.registry.write() as session:
            for one in chunk:
                if isinstance(one, Refusal):
                    refused.append(one)
                    continue
                at_ms = one.at_ms if isinstance(one, Happening) else one.time_ms
                animal = self._animal(session, one.animal, at_ms)
                if animal is None:
                    refused.append(Refusal(one.index, f"the farm has no animal {_spelled(one.animal)}"))
                elif isinstance(one, Happening):
                    refused += self._happened(session, animal, one)
                else:
                    readings += self._measured(session, animal, one, refused)
        return readings

    def _animal(self, session: Session, key: AnimalKey, at_ms: int) -> Animal | None:
        if key.key == "number":
            row = animals.find_by(session, self.viewer, self.site, "number", key.value)
        else:
            row = animals.find_subject(session, self.viewer, self.site, key.value, at_ms)
        if row is not None:
            return row
        spelled = _spelled(key)
        if not self.create or self.door is None:
            self.tally.unknown.add(spelled)
            return None
        fields = {key.key.replace("-", "_"): key.value, "sex": "female"}  # only cows calve and are milked
        self.tally.created.append(spelled)
        return animals.add(session, self.viewer, self.site, fields, now_ms())

    def _happened(self, session: Session, animal: Animal, one: Happening) -> Iterable[Refusal]:
        told = Told(one.at_ms, one.detail)
        known = herd_events.by_key(session, self.viewer, self.site, one.key)
        if one.deleted:
            if known is not None and known.deleted_ms is None:
                self.tally.deleted += 1
                self._take_back(session, known.id)
            return
        if known is not None and (known.deleted_ms is not None or herd_events.says(known, animal, told)):
            self.tally.unchanged += 1
            return
        if known is not None and known.animal_id != animal.id:
            yield Refusal(one.index, "an event of this source and id is another animal's")
            return
        if self.door is not None:
            try:
                herd_events.enter(session, self.viewer, animal, told, now_ms(), key=one.key)
            except herd_events.InFuture as error:
                yield Refusal(one.index, str(error))
                return
        self.tally.corrected += known is not None
        self.tally.entered += known is None

    def _take_back(self, session: Session, event_id: str) -> None:
        if self.door is None:
            return
        row = herd_events.get_event(session, self.viewer, self.site, event_id, lock=True)
        if row is not None:
            herd_events.delete_event(session, self.viewer, row, "meta.isDeleted", now_ms())

    def _measured(self, session: Session, animal: Animal, one: Measured, refused: list[Refusal]) -> Iterator[_Placed]:
        subject = next(
            (
                s.subject
                for s in animals.subjects_of(session, self.viewer, animal)
                if (s.from_ms or 0) <= one.time_ms and (s.to_ms is None or one.time_ms < s.to_ms)
            ),
            None,
        )
        if subject is None:
            reason = f"{_spelled(one.animal)} has no ten digits and wore no tag then; readings need one of them"
            refused.append(Refusal(one.index, reason))
            return
        for value in one.values:
            try:
                reading = Reading(Series(self.site, subject, value.quantity), one.time_ms, value.value)
            except ValueError as error:
                refused.append(Refusal(one.index, str(error)))
                continue
            if reason := why_not(reading, self.source, self.site, now_ms()):
                refused.append(Refusal(one.index, f"{value.quantity}: {reason}"))
                continue
            self.tally.readings += 1
            yield _Placed(reading, one.index)

    def _stored(self, placed: Sequence[_Placed], stop: threading.Event) -> None:
        if self.door is None or not placed:
            return
        packs: list[Pack] = list(packs_of(self.source, (one.reading for one in placed), now_ms()))
        outcomes = take_patiently(self.door, packs, stop, give_up_after_s=GIVE_UP_AFTER_S)
        if outcomes is None:
            raise Interrupted
        for start, outcome in zip(range(0, len(placed), PACK_READINGS), outcomes, strict=True):
            whole = [refusal.reason for refusal in outcome.refused if not refusal.name]
            if outcome.held or whole:
                raise SourceRefused(whole[0] if whole else "its farm is gone")
            for refusal in outcome.refused:  # a dead letter already
                self.tally.readings -= 1
                self.tally.refused += 1
                self.tell(Refusal(placed[start + refusal.index].index, refusal.reason))

    def _refuse(self, refused: Sequence[Refusal], resources: Sequence[Any]) -> None:
        """Tells the refusals, and keeps a dead letter for each resource that has one."""
        reasons: dict[int, list[str]] = defaultdict(list)
        for one in refused:
            self.tally.refused += 1
            self.tell(one)
            reasons[one.index].append(one.reason)
        if self.door is None or not reasons:
            return
        batch, received_ms = dead_letters.batch_name(self.payload), now_ms()
        letters = [
            Letter(
                self.source, batch, index, received_ms, "", "; ".join(why),
                json.dumps(resources[index], ensure_ascii=False)[:MAX_RECORD_CHARS],
            )
            for index, why in reasons.items()
        ]  # fmt: skip
        with self.registry.write() as session:
            dead_letters.add(session, self.viewer, letters)


def parse(payload: bytes) -> Any:
    """The document's JSON; `NotIcar` when it is none."""
    if len(payload) > MAX_BYTES:
        raise NotIcar(f"has {len(payload)} bytes; at most {MAX_BYTES}")
    try:
        return json.loads(payload.decode("utf-8-sig"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise NotIcar(f"is no JSON: {str(error)[:200]}") from None


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _spelled(key: AnimalKey) -> str:
    return f"{key.key}:{key.value}"
