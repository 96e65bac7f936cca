"""`makiba watch`: takes the committed feed, judges, and keeps the alert book.

Guarantees: an alert that should stand in the book stands there, once, however often this process is killed and
whatever the feed loses. It holds nothing that the store and the registry do not: it fills holes from the store,
writes a decision before it remembers it, and keeps a snapshot only so as not to read more than it must.

Any number of workers share the farms by the shards that they hold (`holding.py`): another's farms are not judged, and
what was judged under a lease that is another's now is not written. Work that comes round for every farm is done in
turns (`pacing.py`), so that thousands of them leave time for judging.

While the store or the registry is down it goes on where it was; what is due is written when they are back.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from analytics import alert_book, incidents
from analytics.feed import Feed
from analytics.history import History
from analytics.holding import Holding
from analytics.holes import fill, with_holes
from analytics.metrics import Figures
from analytics.pacing import Paced
from analytics.watched import ME, Watched, begin, refresh, tell
from analytics.writing import Writing
from collectors.registry import Registry, RegistryUnavailable, sites
from collectors.registry.leases import LeaseLost
from collectors.registry.schema import JudgeSnapshot
from collectors.store import Store, StoreUnavailable
from makiba.reading import Reading
from makiba.rule import Rule
from makiba.topics import SHARDS, shard_of

log = logging.getLogger(__name__)

TICK_S: Final = 0.2
SITES_S: Final = 5.0
REREAD_S: Final = 5.0
FACTS_S: Final = 60.0
FILL_S: Final = 30.0
FILL_WITHOUT_FEED_S: Final = 2.0
SNAPSHOT_S: Final = 10.0
WAKE_S: Final = 1.0
SHARE: Final = 0.05
"""What each kind of work that comes round may take of the time."""
MAX_TRACEBACKS: Final = 3
"""How often a defect is told of per farm; a line each 5 s for a week helps nobody."""


class Worker:
    """One worker for the farms of its shards. `run` blocks until `stop` is set."""

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
        self._holding = Holding(registry, ME)
        self._writing = Writing(registry, self._holding, self._figures)
        self._history = History(store, rules)
        self._fences: dict[int, int] = {}
        """Under which leases the farms in `_watched` are judged."""
        self._watched: dict[str, Watched] = {}
        self._due: list[tuple[int, str]] = []
        self._reread, self._facts = Paced(REREAD_S, SHARE), Paced(FACTS_S, SHARE)
        self._fills, self._saves = Paced(FILL_S, SHARE), Paced(SNAPSHOT_S, SHARE)
        self._links = 0
        self._done: dict[str, float] = {}  # when, on the monotonic clock
        self._broken: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._defects: dict[str, int] = {}

    def run(self, stop: threading.Event) -> None:
        self._holding.start()
        self._history.start()
        try:
            while not stop.is_set():
                self._step(self._feed.take(self._patience_s()))
        finally:
            self._feed.stop()
            self._history.stop()
            self._guarded("registry", partial(self._save, list(self._watched)))
            self._holding.stop()

    def _patience_s(self) -> float:
        """How long to wait for the feed before something else is due."""
        if not self._due:
            return TICK_S
        return min(TICK_S, max(0.0, (self._due[0][0] - self._now_ms()) / 1000))

    def _step(self, packs: list[list[Reading]]) -> None:
        self._holding.alive()
        self._take_leases()
        if self._is_due("sites", SITES_S) and not self._guarded("registry", self._look_for_sites):
            self._done.pop("sites")
        self._guarded("registry", self._take_turns)
        self._guarded("store", self._fill)
        self._figures.feed_up.set(self._feed.up.is_set())
        began_s = time.monotonic()
        if packs and not self._guarded("store", lambda: self._take(packs)):
            self._links = -1  # what was not taken is filled in when the store is back
        self._guarded("registry", self._write)
        if packs:
            self._figures.judging.observe(time.monotonic() - began_s)
        if self._is_due("wake", WAKE_S):
            self._guarded("registry", self._wake)
        self._guarded("registry", lambda: self._save(self._saves.turns()))

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
        except LeaseLost as lost:
            log.warning("%s; leaving their farms", lost)
            self._leave(lost.shards)
            return True
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
        except (StoreUnavailable, RegistryUnavailable, LeaseLost):
            raise
        except Exception:
            self._defects[site] = self._defects.get(site, 0) + 1
            self._figures.defects.inc()
            if self._defects[site] <= MAX_TRACEBACKS:
                log.exception("%s: cannot be judged; beginning anew", site)
            self._watched.pop(site, None)

    # ----------------------------------------------------------------------------------------- whose farms these are

    def _take_leases(self) -> None:
        """Leaves the farms of shards that changed hands, and gives back what is too much for one."""
        held = self._holding.held
        changed = {s for s in self._fences.keys() | held.fences.keys() if self._fences.get(s) != held.fences.get(s)}
        if changed:
            self._leave(changed)
            self._fences = dict(held.fences)
            self._feed.listen(held.shards)
            self._done.pop("sites", None)
            log.info("judging %d of %d shards", len(held.fences), SHARDS)
        elif held.surplus:
            shards = frozenset(sorted(held.shards)[-held.surplus :])
            self._guarded("registry", lambda: self._give_back(shards))

    def _give_back(self, shards: frozenset[int]) -> None:
        self._save([site for site, watched in self._watched.items() if watched.shard in shards])
        self._holding.give_back(shards)

    def _leave(self, shards: Iterable[int]) -> None:
        for shard in shards:
            self._fences.pop(shard, None)
        for site in [site for site, watched in self._watched.items() if watched.shard not in self._fences]:
            del self._watched[site]
        self._keep_turns()

    def _keep_turns(self) -> None:
        for turns in (self._reread, self._facts, self._fills, self._saves):
            turns.keep(self._watched)

    # ------------------------------------------------------------------------------------ what the registry says

    def _look_for_sites(self) -> None:
        with self._registry.read() as session:
            found = {site.id for site in sites.list_sites(session, ME) if shard_of(site.id) in self._fences}
            for site in sorted(found - self._watched.keys()):
                with_snapshot = self._defects.get(site, 0) < 2
                begun = partial(begin, session, site, self._rules, self._now_ms(), with_snapshot=with_snapshot)
                self._alone(site, lambda: self._watched.update({site: begun()}))  # noqa: B023
        for site in set(self._watched) - found:
            del self._watched[site]
        self._keep_turns()
        self._figures.farms.set(len(self._watched))
        self._figures.count_alerts(s for watched in self._watched.values() for s in watched.open_severities)

    def _take_turns(self) -> None:
        for site in self._facts.turns():
            self._with_session(site, lambda session, w: tell(session, w, self._now_ms()))
        for site in self._reread.turns():
            self._with_session(site, lambda session, w: refresh(session, w, self._rules, self._now_ms()))
            watched = self._watched.get(site)
            for problem in watched.rules.problems if watched else ():
                if (site, problem[1]) not in self._told:
                    self._told.add((site, problem[1]))
                    log.error("%s: rules: %s; the rule keeps the numbers it comes with", site, problem[1])

    def _with_session(self, site: str, work: Callable[..., None]) -> None:
        watched = self._watched.get(site)
        if watched is None:
            return

        def do() -> None:
            with self._registry.read() as session:
                work(session, watched)
            self._plan_tick(site, watched)

        self._alone(site, do)

    # ------------------------------------------------------------------------------------------- what was measured

    def _fill(self) -> None:
        """Reads from the store what the feed did not bring, in turns; all farms at once when the link began anew."""
        self._fills.every_s = FILL_S if self._feed.up.is_set() else FILL_WITHOUT_FEED_S
        links = self._feed.links
        if links != self._links:
            for site in self._watched:
                self._fills.hurry(site)
            self._links = links
        for site in self._fills.turns():
            watched = self._watched.get(site)
            if watched is None:
                continue
            try:
                self._alone(site, partial(self._fill_one, site, watched))
            except StoreUnavailable:
                self._fills.hurry(site)
                raise
            self._holding.alive()

    def _fill_one(self, site: str, watched: Watched) -> None:
        now_ms = self._now_ms()
        count = fill(watched.judge, self._store, site, now_ms, lambda readings: watched.note(readings, now_ms))
        if not watched.ready:
            log.info("%s: %d readings from the store, watching", site, count)
            self._saves.hurry(site)
        self._figures.filled(count, at_start=not watched.ready)
        watched.ready = True
        watched.changed |= count > 0
        self._plan_tick(site, watched)

    def _take(self, packs: list[list[Reading]]) -> None:
        by_site: dict[str, list[Reading]] = {}
        for pack in packs:
            for reading in pack:
                by_site.setdefault(reading.series.site, []).append(reading)
        for site, readings in by_site.items():
            watched = self._watched.get(site)
            if watched is not None and watched.ready:
                self._alone(site, partial(self._take_one, site, watched, readings))

    def _take_one(self, site: str, watched: Watched, readings: list[Reading]) -> None:
        now_ms = self._now_ms()
        whole = with_holes(watched.judge, self._store, readings, watched.every_ms)
        watched.feed(whole, now_ms)
        newest_ms = max(reading.time_ms for reading in readings)
        self._figures.took(len(readings), len(whole) - len(readings), newest_ms, now_ms)
        watched.changed = True
        self._plan_tick(site, watched)

    # --------------------------------------------------------------------------------------------- what is written

    def _plan_tick(self, site: str, watched: Watched) -> None:
        due_ms = watched.next_due_ms()
        if due_ms < watched.planned_ms:
            watched.planned_ms = due_ms
            heapq.heappush(self._due, (due_ms, site))

    def _write(self) -> None:
        """Asks the judges of which something is due, and writes what they say."""
        now_ms = self._now_ms()
        asked: dict[str, Watched] = {}
        while self._due and self._due[0][0] <= now_ms:
            due_ms, site = heapq.heappop(self._due)
            watched = self._watched.get(site)
            if watched is not None and watched.planned_ms == due_ms:
                watched.planned_ms = watched.NOT_PLANNED
                if watched.ready:
                    asked[site] = watched
        try:
            for site, watched in asked.items():
                self._alone(site, partial(self._look_at, watched, now_ms))
            self._writing.write(self._fences, now_ms, self._alone, self._reread.hurry)
            self._write_history(now_ms)
        finally:
            for site, watched in asked.items():
                self._plan_tick(site, watched)

    def _look_at(self, watched: Watched, now_ms: int) -> None:
        outage = watched.look_at_backlog(now_ms)
        if outage is not None:
            self._history.ask(watched, outage)
        self._writing.add(watched, watched.judge.tick(now_ms))

    def _write_history(self, now_ms: int) -> None:
        for found in self._history.found():
            watched = self._watched.get(found.site)
            if watched is not None:
                self._alone(found.site, partial(self._writing.write_late, watched, found, self._fences, now_ms))

    def _wake(self) -> None:
        """Opens again what was put off until now; sees what befell many farms. Looks first: the book is locked."""
        now_ms = self._now_ms()
        with self._registry.read() as session:
            is_due = alert_book.is_to_wake(session, now_ms)
            is_crowd = incidents.is_to_look(session, ME)
        if is_due:
            with self._registry.write() as session:
                alert_book.wake(session, ME, now_ms)
        if is_crowd:
            with self._registry.write() as session:
                incidents.look(session, ME, now_ms)

    def _save(self, sites_: Iterable[str]) -> None:
        """Keeps what the judges of these farms remember, as far as it changed."""
        saved: dict[str, Watched] = {}
        states = {}
        for site in sites_:
            watched = self._watched.get(site)
            if watched is not None and watched.ready and watched.changed:
                saved[site], states[site] = watched, watched.memory()
        if not saved:
            return
        with self._registry.write() as session:
            self._holding.require(session, {w.shard: self._fences[w.shard] for w in saved.values()})
            known = sites.known_sites(session, ME, saved)
            for site, state in states.items():
                if site in known:
                    session.merge(JudgeSnapshot(site_id=site, saved_ms=self._now_ms(), state=state))
        for watched in saved.values():
            watched.changed = False
