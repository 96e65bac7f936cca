"""A worker that dies at any step leaves the book that an undisturbed one leaves; with the real store and registry."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from analytics import alert_book
from analytics.farm import Farm, FarmDevice, Placed
from analytics.holes import fill
from analytics.judge import Judge
from analytics.rules import FarmRules
from collectors.registry import Registry, alerts, open_registry
from collectors.registry.schema import Alert, AlertEvent
from collectors.registry.sites import SiteSpec, apply_site
from collectors.registry.viewer import Service
from collectors.store import Store, open_store
from makiba.reading import Reading, Series
from makiba.rule import SEVERITIES, load_rules
from makiba.settings import configs_dir

ME = Service("analytics")
T0 = 1_700_000_000_000
POLL_MS = 10_000
RULES = load_rules(configs_dir() / "rules")
OVERRIDES = {"tank.hold": {"for": "60s", "clear_for": "40s"}}

# A value, and where the worker dies in this step: not at all, before the commit, after it, or after it remembered.
STEPS = st.lists(
    st.tuples(
        st.sampled_from([4.0, 4.0, 4.8, 7.0, 7.0, 7.0]), st.sampled_from(["", "", "", "before", "after", "late"])
    ),
    min_size=5,
    max_size=45,
)


class Worker:
    """The steps of the real worker, one at a time, for one farm."""

    def __init__(self, site: str, registry: Registry, store: Store) -> None:
        self.site, self.registry, self.store = site, registry, store
        device = FarmDevice("tank-1", "gw-1", "gw-1.milk", POLL_MS, ("tank-1",))
        placed = {"tank-1": Placed("tank-room", "tank-room")}
        self.farm = Farm(site, frozenset({"gw-1"}), {"tank-1": device}, placed)
        self.snapshot: dict[str, object] | None = None
        self.start(T0)

    def start(self, now_ms: int) -> None:
        self.judge = Judge(self.farm, FarmRules(RULES, OVERRIDES))
        if self.snapshot is not None:
            self.judge.recall(self.snapshot)
        with self.registry.read() as session:
            rows = alerts.open_alerts(session, ME, self.site)
        self.judge.forget_unless({(r.rule, r.subject) for r in rows})
        for row in rows:
            severity = next(s for s in SEVERITIES if s == row.severity)
            self.judge.adopt(row.rule, row.subject, row.onset_ms, severity)
        fill(self.judge, self.store, self.site, now_ms)

    def step(self, reading: Reading, death: str) -> None:
        now_ms = reading.time_ms
        self.store.write([reading])
        self.judge.feed([reading])
        if death == "before":
            self.start(now_ms)
        decisions = self.judge.tick(now_ms)
        with self.registry.write() as session:
            written = [alert_book.write(session, ME, d, now_ms) for d in decisions]
        if death == "after":
            self.start(now_ms)
        else:
            for decision, entry in zip(decisions, written, strict=True):
                self.judge.confirm(decision, entry.onset_ms)
        if death == "late":
            self.start(now_ms)

    def run(self, steps: Sequence[tuple[float, str]], snapshot_every: int) -> list[tuple[int, int | None, list[str]]]:
        series = Series(self.site, "tank-1", "milk_temperature")
        for number, (value, death) in enumerate(steps):
            self.step(Reading(series, T0 + number * POLL_MS, value), death)
            if number % snapshot_every == snapshot_every - 1:
                self.snapshot = self.judge.memory()
        with self.registry.read() as session:
            rows = session.scalars(select(Alert).where(Alert.site_id == self.site).order_by(Alert.onset_ms)).all()
            kinds = {
                r.id: list(
                    session.scalars(
                        select(AlertEvent.kind).where(AlertEvent.alert_id == r.id).order_by(AlertEvent.id)
                    )
                )
                for r in rows
            }
        return [(r.onset_ms - T0, r.ended_ms and r.ended_ms - T0, kinds[r.id]) for r in rows]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Registry, Store]:
    folder: Path = tmp_path_factory.mktemp("restart")
    return open_registry(f"sqlite:{folder / 'registry.db'}", migrate=True), open_store(
        f"sqlite:{folder / 'store.db'}"
    )


_number = itertools.count()


def new_worker(parts: tuple[Registry, Store]) -> Worker:
    registry, store = parts
    site = f"farm-{next(_number)}"
    with registry.write() as session:
        apply_site(session, Service("console"), SiteSpec(site, site, site), T0)
    return Worker(site, registry, store)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.sampled_from([1, 3, 1000]))
@example([(7.0, "")] * 7 + [(4.0, "after")] * 7 + [(7.0, "before")] * 8 + [(4.0, "late")] * 6, 3)
def test_the_book_does_not_show_where_a_worker_died(
    parts: tuple[Registry, Store], steps: list[tuple[float, str]], snapshot_every: int
) -> None:
    disturbed = new_worker(parts).run(steps, snapshot_every)
    undisturbed = new_worker(parts).run([(value, "") for value, _ in steps], snapshot_every)
    assert disturbed == undisturbed
