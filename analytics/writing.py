"""How decisions come into the book: together, under the fence, and one farm at a time when something is wrong."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from sqlalchemy.exc import IntegrityError

from analytics import alert_book, late
from analytics.decision import Decision
from analytics.holding import Holding
from analytics.late import Found
from analytics.metrics import Figures
from analytics.watched import ME, Watched
from collectors.registry import Registry, RegistryUnavailable
from collectors.registry.leases import LeaseLost

log = logging.getLogger(__name__)

TOGETHER: Final = 50
"""So many farms are written in one transaction."""

Waiting = list[tuple[Watched, list[Decision]]]


class Writing:
    """What waits to be written; it is decided again when it is not."""

    def __init__(self, registry: Registry, holding: Holding, figures: Figures) -> None:
        self._registry, self._holding, self._figures = registry, holding, figures
        self._waiting: Waiting = []

    def add(self, watched: Watched, decisions: list[Decision]) -> None:
        if decisions:
            self._waiting.append((watched, decisions))

    def write(
        self,
        fences: Mapping[int, int],
        now_ms: int,
        alone: Callable[[str, Callable[[], None]], None],
        read_again: Callable[[str], None],
    ) -> None:
        """Writes what waits. Raises `RegistryUnavailable` and `LeaseLost`: then nothing of the rest is written."""
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), TOGETHER):
            part = waiting[start : start + TOGETHER]
            try:
                self._commit(part, fences, now_ms)
            except (RegistryUnavailable, LeaseLost):
                raise
            except Exception:  # one of them: it alone must not be written
                for one in part:
                    alone(one[0].site, partial(self._commit_one, one, fences, now_ms, read_again))

    def _commit_one(
        self,
        one: tuple[Watched, list[Decision]],
        fences: Mapping[int, int],
        now_ms: int,
        read_again: Callable[[str], None],
    ) -> None:
        try:
            self._commit([one], fences, now_ms)
        except IntegrityError as error:
            # Another worker was faster, or the farm has just been removed: the registry tells which.
            log.warning("%s: %s; deciding again", one[0].site, error.orig)
            read_again(one[0].site)

    def _commit(self, waiting: Waiting, fences: Mapping[int, int], now_ms: int) -> None:
        with self._registry.write() as session:
            self._holding.require(session, _held_of((w for w, _ in waiting), fences))
            written = [[alert_book.write(session, ME, d, now_ms) for d in decisions] for _, decisions in waiting]
        for (watched, decisions), entries in zip(waiting, written, strict=True):
            watched.changed = True
            for decision, entry in zip(decisions, entries, strict=True):
                watched.judge.confirm(decision, entry.onset_ms)
                if entry.changed:
                    self._figures.decided(decision.kind)
                    log.info("%s: %s %s: %s", watched.site, decision.rule, decision.subject, decision.kind)

    def write_late(self, watched: Watched, found: Found, fences: Mapping[int, int], now_ms: int) -> None:
        """Writes what an outage of a farm told of."""
        with self._registry.write() as session:
            self._holding.require(session, _held_of([watched], fences))
            count = late.write(session, ME, found, now_ms)
        watched.history_is_written()
        log.info("%s: %d readings came late and told of %d problems that are over", found.site, found.readings, count)


def _held_of(watched: Iterable[Watched], fences: Mapping[int, int]) -> dict[int, int]:
    """The leases under which these farms were judged."""
    shards = {one.shard for one in watched}
    if missing := shards - fences.keys():
        raise LeaseLost(frozenset(missing))
    return {shard: fences[shard] for shard in shards}
