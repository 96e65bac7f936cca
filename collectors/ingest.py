"""From a pack to its answer, whatever way it came in: validate, store, keep the refused, answer.

Guarantee: an `Outcome` exists only for what is committed. Each reading of its pack is in the store, each other
record is a dead letter with its reason; only then it carries an answer. When the store or the registry is down
`take` raises, nothing may be answered, and the same packs are given again: that stores nothing twice.

Not answered, so that the gateway keeps what it has: a pack of a gateway that no farm knows yet (`held`), one of a
gateway whose packs have cost too much lately (`put_off`, where `fair` is asked for), one of a farm whose store
server is away while others are there (`away`), and a pack without a batch id (a dead letter). A pack that cannot be
read at all is one dead letter, index 0, and is answered, since it will not get better by coming again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError
from sqlalchemy.orm import Session

from collectors.judge import (
    MAX_LETTERS,
    Judged,
    Outcome,
    Owner,
    Pack,
    judge,
    letters_of,
    outcome_of,
    put_away,
    without,
)
from collectors.registry import Registry, dead_letters, sites
from collectors.registry.dead_letters import Letter, clean
from collectors.registry.viewer import Service
from collectors.said import Reported, first_problem
from collectors.senders import Sender, Senders
from collectors.store import PartlyCommitted, ReadingsRejected, Store
from makiba import topics
from makiba.reading import Columns, Reading, Series
from makiba.senml import encode_json
from makiba.wire import GatewayStatus, Payload, pack_payload

__all__ = ["Ingest", "Outcome", "Owner", "Pack", "feed_of"]

COMMIT_READINGS: Final = 12_000
"""A commit takes no further pack once it has so many: its time and memory are bounded."""
FORGET_S: Final = 3600.0
LETTER_S: Final = 20e-6
"""What a dead letter costs the registry, about."""

_COLLECTOR: Final = Service("collector")


@dataclass(frozen=True, slots=True)
class Word:
    """What a gateway says besides readings: `verb` is `topics.STATUS` or `topics.CONFIG_REPORTED`."""

    gateway: str
    verb: str
    payload: bytes
    received_ms: int


def feed_of(readings: Sequence[Reading]) -> Payload:
    """The committed feed's message about `readings`."""
    return pack_payload(encode_json(readings), deflate=False)


class Ingest:
    """Takes packs and gateways' words into a store and a registry. One thread uses it."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        *,
        fair: bool = False,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fair`: who sends what costs much, or for a farm whose store server is away, waits, so that others do not.

        For senders that send again by themselves what is not answered.
        """
        self._registry = registry
        self._store = store
        self._senders = Senders(registry, monotonic_s=monotonic_s)
        self._fair = fair
        self._forget_s = 0.0
        self._owed: list[Reading] = []

    def take(self, packs: Sequence[Pack]) -> list[Outcome]:
        """Commits `packs` and says what became of each, in order.

        Raises what the store (`StoreUnavailable`, `StoreMisconfigured`) or the registry (`RegistryUnavailable`)
        raises: then nothing may be answered, and the same packs should be given again.
        """
        outcomes: list[Outcome] = []
        while len(outcomes) < len(packs):
            outcomes += self.take_some(packs[len(outcomes) :])
        return outcomes

    def take_some(self, packs: Sequence[Pack]) -> list[Outcome]:
        """`take` for as many of `packs`, from the first on, as one commit holds: at least one."""
        senders = self._senders.of({pack.gateway for pack in packs})
        columns = Columns()
        judged: list[Judged] = []
        refused = 0
        for pack in packs:
            one = self._judge(pack, senders[pack.gateway], columns)
            judged.append(one)
            refused += len(one.refused)
            if len(columns.times_ms) + refused >= COMMIT_READINGS:
                break
        if columns.times_ms:
            try:
                self._store.write_columns(columns)
            except ReadingsRejected as error:
                rejected = dict(error.rejected)
                judged = [without(one, rejected) for one in judged]
            except PartlyCommitted as error:
                if not self._fair:
                    raise
                waiting, rejected = set(error.uncommitted), dict(error.rejected)
                judged = [
                    put_away(one) if not waiting.isdisjoint(range(one.start, one.end)) else without(one, rejected)
                    for one in judged
                ]
        letters = [letter for one in judged if one.refused for letter in letters_of(one)]
        now_ms = time.time_ns() // 1_000_000
        if letters:
            self._keep(letters, now_ms)
        self._senders.trim()
        return [outcome_of(one, now_ms) for one in judged]

    def _judge(self, pack: Pack, sender: Sender, columns: Columns) -> Judged:
        now_s = self._senders.now_s()
        if self._fair and sender.owes_too_much(now_s):
            at = len(columns)
            return Judged(pack, True, columns, at, at, put_off=True)
        began_s = time.perf_counter()
        one = judge(pack, sender.owner, columns, sender.names)
        if one.plain is None and not one.held:
            letters_s = LETTER_S * min(len(one.refused), MAX_LETTERS)
            sender.charge(time.perf_counter() - began_s + letters_s, now_s)
        return one

    def take_words(self, words: Sequence[Word]) -> list[Reading]:
        """Notes what gateways, or their wills, say about themselves, all of it in one commit of the registry; the
        state readings that were committed by that and are news.

        Saying it again, on this collector or another, changes nothing. Words that cannot be read are dead letters.
        """
        letters: list[Letter] = []
        notes: list[tuple[Reading, bool]] = []
        with self._registry.write() as session:
            for word in sorted(words, key=lambda word: word.gateway):  # collectors lock rows in one order
                try:
                    note = _note(session, word)
                except ValidationError as error:
                    letters.append(_letter(word, error))
                    continue
                if note is not None:
                    # Known words too: whoever noted them may have died before this. The same changes nothing.
                    notes.append(note)
        if letters:
            self._keep(letters, letters[-1].received_ms)
        if notes:
            self._write_states([reading for reading, _ in notes])
        return [reading for reading, is_news in notes if is_news]

    def _write_states(self, readings: Sequence[Reading]) -> None:
        """Commits `readings` and those that a store server was away for.

        They wait in memory only: the broker keeps every gateway's last word for whoever starts next.
        """
        owed = [*self._owed, *readings]
        try:
            self._store.write(owed)
        except PartlyCommitted as error:
            newest = {owed[index].series: owed[index] for index in error.uncommitted}
            self._owed = list(newest.values())
        else:
            self._owed = []

    def _keep(self, letters: Sequence[Letter], now_ms: int) -> None:
        """Keeps `letters`, and once an hour forgets old ones: they grow in number nowhere else."""
        due = self._senders.now_s() >= self._forget_s
        with self._registry.write() as session:
            dead_letters.add(session, _COLLECTOR, letters)
            if due:
                dead_letters.forget(session, _COLLECTOR, now_ms)
        if due:
            self._forget_s = self._senders.now_s() + FORGET_S


def _note(session: Session, word: Word) -> tuple[Reading, bool] | None:
    """Notes `word` in the registry: the state reading that follows, and whether it is news. `ValidationError`."""
    if word.verb == topics.STATUS:
        status = GatewayStatus.model_validate_json(word.payload)
        note = sites.record_status(session, _COLLECTOR, word.gateway, status, word.received_ms)
        if note is None:
            return None
        return Reading(Series(note.site, word.gateway, "state"), note.at_ms, status.state), note.news
    reported = Reported.model_validate_json(word.payload)
    devices = [
        sites.DeviceSpec(d.name, d.bus, d.profile, d.every_s, tuple(clean(s, 64) for s in d.subjects))
        for d in reported.devices
    ]
    sites.record_reported(session, _COLLECTOR, word.gateway, devices, word.received_ms)
    return None


def _letter(word: Word, error: ValidationError) -> Letter:
    record = word.payload[: dead_letters.MAX_RECORD_CHARS].decode("utf-8", "replace")
    reason = f"{word.verb} cannot be read: {first_problem(error)}"
    name = dead_letters.batch_name(word.payload)
    return Letter(word.gateway, name, 0, word.received_ms, "", reason, record, word.payload)
