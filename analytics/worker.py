"""`makiba watch`: takes the committed feed, judges, and keeps the alert book.

Guarantees: an alert that should stand in the book stands there, once, however often this process is killed and
whatever the feed loses. It holds nothing that the store and the registry do not: it fills holes from the store,
writes a decision before it remembers it, and keeps a snapshot only so as not to read more than it must.

While the store or the registry is down it goes on where it was; what is due is written when they are back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from analytics import alert_book
from analytics.farm import Farm, read_farm
from analytics.feed import Feed
from analytics.holes import fill, with_holes
from analytics.judge import Judge
from analytics.metrics import Figures
from analytics.rules import FarmRules
from collectors.registry import Registry, RegistryUnavailable, alerts, sites
from collectors.registry.schema import JudgeSnapshot
from collectors.registry.viewer import Service
from collectors.store import Store, StoreUnavailable
from makiba.reading import Reading
from makiba.rule import SEVERITIES, Rule, Severity

log = logging.getLogger(__name__)

ME: Final = Service("analytics")
TICK_S: Final = 0.2
REREAD_S: Final = 5.0
FILL_S: Final = 30.0
FILL_WITHOUT_FEED_S: Final = 2.0
SNAPSHOT_S: Final = 10.0
WAKE_S: Final = 1.0
MAX_TRACEBACKS: Final = 3
"""How often a defect is told of per farm; a line each 5 s for a week helps nobody."""


@dataclass(slots=True)
class _Watched:
    """A farm and its judge. `ready`: the store has been read once, so that silence means silence."""

    farm: Farm
    judge: Judge
    ready: bool = False
    changed: bool = True  # since the last snapshot
    every_ms: Mapping[str, int] = field(default_factory=dict)
    open_severities: Sequence[str] = ()  # of the alerts in the book, when it was last read


class Worker:
    """One worker for all farms of the registry. `run` blocks until `stop` is set."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        feed: Feed,
        rules: Mapping[str, Rule],
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        figures: Figures | None = None,
    ) -> None:
        self._registry, self._store, self._feed, self._rules = registry, store, feed, rules
        self._now_ms = now_ms
        self._figures = figures or Figures()
        self._watched: dict[str, _Watched] = {}
        self._links = 0
        self._done: dict[str, float] = {}  # when, on the monotonic clock
        self._broken: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._defects: dict[str, int] = {}

    def run(self, stop: threading.Event) -> None:
        self._feed.start()
        try:
            while not stop.is_set():
                self._step(self._feed.take(TICK_S))
        finally:
            self._feed.stop()
            self._guarded("registry", self._save)

    def _step(self, packs: list[list[Reading]]) -> None:
        if self._is_due("reread", REREAD_S) and not self._guarded("registry", self._reread):
            self._done.pop("reread")
        links = self._feed.links
        every_s = FILL_S if self._feed.up.is_set() else FILL_WITHOUT_FEED_S
        lost = links != self._links or not all(w.ready for w in self._watched.values())
        if (self._is_due("fill", every_s) or lost) and self._guarded("store", self._fill):
            self._links = links
        self._figures.feed_up.set(self._feed.up.is_set())
        began_s = time.monotonic()
        if packs and not self._guarded("store", lambda: self._take(packs)):
            self._links = -1  # what was not taken is filled in when the store is back
        self._guarded("registry", self._write)
        if packs:
            self._figures.judging.observe(time.monotonic() - began_s)
        if self._is_due("wake", WAKE_S):
            self._guarded("registry", self._wake)
        if self._is_due("snapshot", SNAPSHOT_S):
            self._guarded("registry", self._save)

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if what in self._done and now - self._done[what] < every_s:
            return False
        self._done[what] = now
        return True

    def _guarded(self, what: str, work: Callable[[], None]) -> bool:
        """Whether `work` was done; a store or registry that is down is told of once, and once when it is back."""
        try:
            work()
        except (StoreUnavailable, RegistryUnavailable) as error:
            if what not in self._broken:
                log.warning("%s: %s; trying again", what, error)
                self._broken.add(what)
            time.sleep(TICK_S)
            return False
        if what in self._broken:
            self._broken.discard(what)
            log.info("%s: is back", what)
        return True

    def _alone(self, site: str, work: Callable[[], None]) -> None:
        """Does `work` for one farm; a defect in it must not leave the other farms unwatched.

        The farm begins anew from its snapshot, and when that is of no use from the store alone.
        """
        try:
            work()
        except (StoreUnavailable, RegistryUnavailable):
            raise
        except Exception:
            self._defects[site] = self._defects.get(site, 0) + 1
            self._figures.defects.inc()
            if self._defects[site] <= MAX_TRACEBACKS:
                log.exception("%s: cannot be judged; beginning anew", site)
            self._watched.pop(site, None)

    # ------------------------------------------------------------------------------------ what the registry says

    def _reread(self) -> None:
        with self._registry.read() as session:
            found = {site.id: dict(site.rules or {}) for site in sites.list_sites(session, ME)}
            for site, overrides in found.items():
                self._alone(site, partial(self._configure, session, site, FarmRules(self._rules, overrides)))
        for site in set(self._watched) - set(found):
            del self._watched[site]
        self._figures.farms.set(len(self._watched))
        self._figures.count_alerts(s for watched in self._watched.values() for s in watched.open_severities)

    def _configure(self, session: Session, site: str, rules: FarmRules) -> None:
        farm = read_farm(session, ME, site)
        for problem in rules.problems:
            if (site, problem[1]) not in self._told:
                self._told.add((site, problem[1]))
                log.error("%s: rules: %s; the rule keeps the numbers it comes with", site, problem[1])
        watched = self._watched.get(site)
        if watched is None:
            watched = self._watched[site] = _Watched(farm, Judge(farm, rules))
            snapshot = session.get(JudgeSnapshot, site)
            if snapshot is not None and self._defects.get(site, 0) < 2:
                watched.judge.recall(snapshot.state)
        watched.judge.configure(farm, rules)
        watched.farm = farm
        watched.every_ms = {s: d.every_ms for d in farm.devices.values() for s in (d.name, *d.subjects)}
        # The book is right: another worker may have written, and a snapshot is older than the last decision.
        rows = alerts.open_alerts(session, ME, site)
        watched.open_severities = [row.severity for row in rows]
        rows = [row for row in rows if row.over_ms is None]  # the others wait for a person, not for a reading
        watched.judge.forget_unless({(row.rule, row.subject) for row in rows})
        for row in rows:
            severity: Severity = next((s for s in SEVERITIES if s == row.severity), "info")
            watched.judge.adopt(row.rule, row.subject, row.onset_ms, severity)

    # ------------------------------------------------------------------------------------------- what was measured

    def _fill(self) -> None:
        for site, watched in list(self._watched.items()):
            self._alone(site, partial(self._fill_one, site, watched))

    def _fill_one(self, site: str, watched: _Watched) -> None:
        count = fill(watched.judge, self._store, site, self._now_ms())
        if not watched.ready:
            log.info("%s: %d readings from the store, watching", site, count)
        self._figures.filled(count, at_start=not watched.ready)
        watched.ready = True
        watched.changed |= count > 0

    def _take(self, packs: list[list[Reading]]) -> None:
        by_site: dict[str, list[Reading]] = {}
        for pack in packs:
            for reading in pack:
                by_site.setdefault(reading.series.site, []).append(reading)
        for site, readings in by_site.items():
            watched = self._watched.get(site)
            if watched is not None and watched.ready:
                self._alone(site, partial(self._take_one, watched, readings))

    def _take_one(self, watched: _Watched, readings: list[Reading]) -> None:
        whole = with_holes(watched.judge, self._store, readings, watched.every_ms)
        watched.judge.feed(whole)
        newest_ms = max(reading.time_ms for reading in readings)
        self._figures.took(len(readings), len(whole) - len(readings), newest_ms, self._now_ms())
        watched.changed = True

    # --------------------------------------------------------------------------------------------- what is written

    def _write(self) -> None:
        for site, watched in list(self._watched.items()):
            if watched.ready:
                self._alone(site, partial(self._write_one, site, watched))

    def _write_one(self, site: str, watched: _Watched) -> None:
        now_ms = self._now_ms()
        decisions = watched.judge.tick(now_ms)
        if not decisions:
            return
        try:
            with self._registry.write() as session:
                written = [alert_book.write(session, ME, d, now_ms) for d in decisions]
        except IntegrityError as error:
            # Another worker was faster, or the farm has just been removed: the registry tells which.
            log.warning("%s: %s; deciding again", site, error.orig)
            self._done.pop("reread", None)
            return
        for decision, entry in zip(decisions, written, strict=True):
            watched.judge.confirm(decision, entry.onset_ms)
            watched.changed = True
            if entry.changed:
                self._figures.decided(decision.kind)
                log.info("%s: %s %s: %s", site, decision.rule, decision.subject, decision.kind)

    def _wake(self) -> None:
        """Opens again what people put off until now; looks first, so that the book is not locked for nothing."""
        now_ms = self._now_ms()
        with self._registry.read() as session:
            is_due = alert_book.is_to_wake(session, now_ms)
        if is_due:
            with self._registry.write() as session:
                alert_book.wake(session, ME, now_ms)

    def _save(self) -> None:
        changed = {site: w for site, w in self._watched.items() if w.ready and w.changed}
        if not changed:
            return
        with self._registry.write() as session:
            known = {site.id for site in sites.list_sites(session, ME)}
            for site, watched in changed.items():
                if site in known:
                    state = watched.judge.memory()
                    session.merge(JudgeSnapshot(site_id=site, saved_ms=self._now_ms(), state=state))
        for watched in changed.values():
            watched.changed = False
