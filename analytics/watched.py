"""A farm that a worker watches: what the registry says of it, its judge, and its backlogs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from sqlalchemy.orm import Session

from analytics.backlog import AWAY_MS, Backlogs, Outage
from analytics.context import FarmContexts
from analytics.facts import Facts, read_facts
from analytics.farm import Farm, read_farm
from analytics.judge import Judge
from analytics.rules import FarmRules
from analytics.watching import NEVER
from collectors.registry import alerts, maintenance, sites
from collectors.registry.schema import JudgeSnapshot
from collectors.registry.viewer import Service
from makiba.reading import Reading
from makiba.rule import SEVERITIES, Rule, Severity
from makiba.topics import shard_of

ME: Final = Service("analytics")
BACKLOG_LOOK_MS: Final = 1_000
WORK_BEFORE_MS: Final = 86_400_000
"""Work that is over may still hold back what has to last after it."""


@dataclass(slots=True)
class Watched:
    """A farm and its judge. `ready`: the store has been read once, so that silence means silence."""

    NOT_PLANNED: ClassVar[int] = NEVER + 1

    farm: Farm
    rules: FarmRules
    judge: Judge
    facts: Facts | None = None
    ready: bool = False
    changed: bool = True  # since the last snapshot
    every_ms: Mapping[str, int] = field(default_factory=dict)
    open_severities: Sequence[str] = ()  # of the alerts in the book, when it was last read
    backlogs: Backlogs = field(default_factory=Backlogs)
    asked: Outage | None = None  # of which the history is being read
    planned_ms: int = NEVER + 1

    @property
    def site(self) -> str:
        return self.farm.site

    @property
    def shard(self) -> int:
        return shard_of(self.farm.site)

    def next_due_ms(self) -> int:
        """When it has to be looked at next."""
        if self.backlogs.catching_up:
            return 0
        if self.backlogs.finished() is not None and self.asked is None:
            return 0
        return self.judge.next_due_ms()

    # -------------------------------------------------------------------------------------------------- readings

    def feed(self, readings: list[Reading], now_ms: int) -> None:
        """Gives the judge `readings`, and takes note of what came late."""
        gateway = self.judge.stream_of(readings[0].series)
        if gateway is not None:
            self.backlogs.hear(gateway, now_ms)
        if self.backlogs.catching_up or min(r.time_ms for r in readings) <= now_ms - AWAY_MS:
            self.note(readings, now_ms)
        self.judge.feed(readings)

    def note(self, readings: Sequence[Reading], now_ms: int) -> None:
        """Takes note of what came late; before the judge has it."""
        for reading in readings:
            series, gateway = reading.series, self.judge.stream_of(reading.series)
            before_ms = self.judge.newest_ms(series)
            if gateway is not None and reading.time_ms > before_ms:
                self.backlogs.hear(gateway, now_ms)
                self.backlogs.note(gateway, series, before_ms, reading.time_ms, now_ms)
        self.judge.catch_up(self.backlogs.look(now_ms))

    def look_at_backlog(self, now_ms: int) -> Outage | None:
        """The outage that is over now, and of which the history has not been asked for yet."""
        if self.backlogs.catching_up:
            self.judge.catch_up(self.backlogs.look(now_ms))
        outage = self.backlogs.finished()
        if outage is None or self.asked is not None:
            return None
        self.asked = outage
        return outage

    def history_is_written(self) -> None:
        self.asked, self.backlogs.stretch = None, None
        self.changed = True

    # --------------------------------------------------------------------------------------------- over a restart

    def memory(self) -> dict[str, Any]:
        return {**self.judge.memory(), "backlogs": self.backlogs.memory()}

    def recall(self, state: Mapping[str, Any], now_ms: int) -> None:
        self.judge.recall(state)
        if "backlogs" in state:
            self.backlogs.recall(state["backlogs"], now_ms)


# ------------------------------------------------------------------------------------------ what the registry says


def begin(
    session: Session, site: str, rules: Mapping[str, Rule], now_ms: int, *, with_snapshot: bool = True
) -> Watched:
    """The farm `site` as the registry has it, its judge going on from its snapshot."""
    farm = read_farm(session, ME, site)
    found = sites.get_site(session, ME, site)
    own = FarmRules(rules, dict(found.rules or {}) if found else {})
    watched = Watched(farm, own, Judge(farm, own, FarmContexts(farm)))
    tell(session, watched, now_ms)
    snapshot = session.get(JudgeSnapshot, site)
    if snapshot is not None and with_snapshot:
        watched.recall(snapshot.state, now_ms)
    refresh(session, watched, rules, now_ms)
    return watched


def tell(session: Session, watched: Watched, now_ms: int) -> None:
    """Tells the judge what is known of the farm besides readings."""
    watched.facts = read_facts(session, ME, watched.site, now_ms, watched.facts)
    watched.judge.tell(watched.facts)


def refresh(session: Session, watched: Watched, rules: Mapping[str, Rule], now_ms: int) -> None:
    """Brings the judge to what the registry says of the farm now: what stands there, its numbers, its open alerts."""
    site = watched.site
    found = sites.get_site(session, ME, site)
    if found is None:
        return
    farm, judge = read_farm(session, ME, site), watched.judge
    own = FarmRules(rules, dict(found.rules or {}))
    if own != watched.rules:
        watched.rules = own
    judge.configure(farm, watched.rules)
    watched.farm = farm
    watched.every_ms = {s: d.every_ms for d in farm.devices.values() for s in (d.name, *d.subjects)}
    windows = maintenance.windows_of(session, ME, site, now_ms - WORK_BEFORE_MS, now_ms + WORK_BEFORE_MS)
    judge.work(windows, maintenance.farm_of(session, ME, site))
    # The book is right: another worker may have written, and a snapshot is older than the last decision.
    rows = alerts.open_alerts(session, ME, site)
    watched.open_severities = [row.severity for row in rows]
    rows = [row for row in rows if row.over_ms is None]  # the others wait for a person, not for a reading
    judge.forget_unless({(row.rule, row.subject) for row in rows})
    for row in rows:
        severity: Severity = next((s for s in SEVERITIES if s == row.severity), "info")
        judge.adopt(row.rule, row.subject, row.onset_ms, severity)
