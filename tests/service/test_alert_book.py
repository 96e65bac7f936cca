"""The alert book on a real registry: one problem is one alert, however often it is written and whoever is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import delete, select

from analytics import alert_book
from analytics.decision import Decision, Kind
from collectors.registry import Registry, open_registry
from collectors.registry.schema import Alert, AlertEvent, PersonRow, RoleRow
from collectors.registry.sites import SiteSpec, apply_site
from collectors.registry.viewer import Person, Service
from makiba.rule import SEVERITIES, Severity
from tests.parts import ROOT

ME = Service("analytics")
SITE = "farm"
T0 = 1_700_000_000_000
OWNER = Person(1, "Owner", {SITE: "owner"})
STRANGER = Person(2, "Stranger", {"other": "owner"})


def new_registry(folder: Path) -> Registry:
    registry = open_registry(f"sqlite:{folder / 'registry.db'}", migrate=True)
    with registry.write() as session:
        for site in (SITE, "other"):
            apply_site(session, Service("console"), SiteSpec(site, site, site), T0)
        for person in (OWNER, STRANGER):
            session.add(PersonRow(id=person.id, login=person.name, name=person.name, created_ms=T0))
            session.flush()
            session.add(RoleRow(person_id=person.id, site_id=next(iter(person.roles)), role="owner"))
    return registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = new_registry(tmp_path)
    yield registry
    registry.close()


def decision(kind: Kind = "open", onset: int = T0, at: int = T0, severity: Severity = "advisory", value: float = 6.0,
             subject: str = "tank-1") -> Decision:  # fmt: skip
    signals = {"t": {"quantity": "milk_temperature", "subject": subject, "value": value, "time_ms": at,
                     "toward": "above"}}  # fmt: skip
    return Decision(kind, SITE, "tank.hold", subject, onset, at, severity, "tank-room", signals=signals)


def write(registry: Registry, what: Decision, now: int = T0) -> alert_book.Written:
    with registry.write() as session:
        return alert_book.write(session, ME, what, now)


def rows(registry: Registry) -> list[Alert]:
    with registry.read() as session:
        return list(session.scalars(select(Alert).order_by(Alert.onset_ms)))


def kinds(registry: Registry, alert_id: str | None = None) -> list[str]:
    query = select(AlertEvent.kind).order_by(AlertEvent.id)
    with registry.read() as session:
        return list(session.scalars(query.where(AlertEvent.alert_id == alert_id) if alert_id else query))


def test_opening_twice_is_one_alert_with_one_event(registry: Registry) -> None:
    first = write(registry, decision())
    again = write(registry, decision())
    assert (first.changed, again.changed) == (True, False)
    assert first.alert_id == again.alert_id == alert_book.alert_id("tank.hold", SITE, "tank-1", T0)
    assert kinds(registry) == ["opened"]


def test_another_onset_of_an_open_problem_is_the_same_alert(registry: Registry) -> None:
    first = write(registry, decision())
    again = write(registry, decision(onset=T0 + 5_000))
    assert (again.alert_id, again.onset_ms) == (first.alert_id, T0)


def test_the_worst_value_stays_when_the_newest_is_milder(registry: Registry) -> None:
    write(registry, decision(value=6.0))
    write(registry, decision("seen", value=8.0))
    write(registry, decision("seen", value=5.5))
    signal_ = rows(registry)[0].signals["t"]
    assert (signal_["value"], signal_["worst"]) == (5.5, 8.0)
    assert kinds(registry) == ["opened"]


def test_only_a_person_of_the_farm_acknowledges_and_the_first_has_it(registry: Registry) -> None:
    alert = write(registry, decision()).alert_id
    with registry.write() as session:
        assert alert_book.acknowledge(session, STRANGER, alert, T0 + 1) is None
        assert alert_book.acknowledge(session, OWNER, "no such alert", T0 + 1) is None
        row = alert_book.acknowledge(session, OWNER, alert, T0 + 2)
        assert row is not None
        assert (row.acknowledged_ms, row.acknowledged_by) == (T0 + 2, OWNER.id)
        again = alert_book.acknowledge(session, replace(OWNER, id=2), alert, T0 + 3)
        assert again is not None
        assert again.acknowledged_by == OWNER.id
    with registry.write() as session, pytest.raises(TypeError):
        alert_book.acknowledge(session, ME, alert, T0 + 4)  # type: ignore[arg-type]
    assert kinds(registry) == ["opened", "acknowledged"]
    with registry.read() as session:
        assert list(session.scalars(select(AlertEvent.who))) == ["service:analytics", "person:1"]


def test_an_alert_that_worsens_is_nobody_s_again(registry: Registry) -> None:
    alert = write(registry, decision()).alert_id
    with registry.write() as session:
        alert_book.acknowledge(session, OWNER, alert, T0)
    write(registry, decision("worsen", severity="critical"))
    write(registry, decision("worsen", severity="critical"))
    row = rows(registry)[0]
    assert (row.severity, row.acknowledged_ms, row.acknowledged_by) == ("critical", None, None)
    assert kinds(registry) == ["opened", "acknowledged", "worsened"]


def test_an_alert_never_becomes_milder_while_it_is_open(registry: Registry) -> None:
    write(registry, decision(severity="warning"))
    write(registry, decision("seen", severity="advisory"))
    assert rows(registry)[0].severity == "warning"


def test_an_end_is_written_once_and_one_that_nobody_opened_is_nothing(registry: Registry) -> None:
    assert write(registry, decision("end", at=T0 + 9)).changed is False
    write(registry, decision())
    assert write(registry, decision("end", at=T0 + 9), T0 + 10).changed is True
    assert write(registry, decision("end", at=T0 + 99), T0 + 100).changed is False
    assert rows(registry)[0].ended_ms == T0 + 9
    assert kinds(registry) == ["opened", "ended"]


def test_the_same_problem_seen_again_is_reopened_and_not_doubled(registry: Registry) -> None:
    alert = write(registry, decision()).alert_id
    with registry.write() as session:
        alert_book.acknowledge(session, OWNER, alert, T0)
    write(registry, decision("end", at=T0 + 9))
    write(registry, decision())
    row = rows(registry)[0]
    assert (row.ended_ms, row.acknowledged_ms) == (None, None)
    assert kinds(registry) == ["opened", "acknowledged", "ended", "reopened"]


def test_a_change_and_its_event_are_there_together_or_not_at_all(registry: Registry) -> None:
    with pytest.raises(RuntimeError):  # noqa: PT012 (the block is the transaction)
        with registry.write() as session:
            alert_book.write(session, ME, decision(), T0)
            raise RuntimeError("killed before the commit")
    assert rows(registry) == []
    assert kinds(registry) == []


def gas(kind: Kind, onset: int = T0, at: int = T0, ppm: float = 12.0, severity: Severity = "critical") -> Decision:
    signals = {"h2s": {"quantity": "hydrogen_sulfide", "subject": "pit", "value": ppm * 1e-6, "time_ms": at}}
    return Decision(kind, SITE, "gas.h2s2", "pit", onset, at, severity, signals=signals, by_hand=True)


def press(registry: Registry, alert: str, now: int) -> Alert:
    with registry.write() as session:
        row = alert_book.acknowledge(session, OWNER, alert, now)
        assert row is not None
        session.expunge(row)
    return row


def test_a_life_safety_alert_is_over_by_itself_and_ends_by_a_person(registry: Registry) -> None:
    alert = write(registry, gas("open")).alert_id
    press(registry, alert, T0 + 1)
    over = gas("end", at=T0 + 2)
    assert write(registry, over, T0 + 3).changed
    assert not write(registry, over, T0 + 4).changed
    (row,) = rows(registry)
    # Who took care of it said so while the gas was there; that it is safe now is another thing.
    assert (row.ended_ms, row.over_ms, row.acknowledged_ms) == (None, T0 + 2, None)
    row = press(registry, alert, T0 + 9)
    assert (row.ended_ms, row.acknowledged_by) == (T0 + 9, OWNER.id)
    assert kinds(registry) == ["opened", "acknowledged", "over", "reset"]
    press(registry, alert, T0 + 10)
    assert kinds(registry) == ["opened", "acknowledged", "over", "reset"]


def test_nobody_resets_gas_that_is_still_there(registry: Registry) -> None:
    alert = write(registry, gas("open")).alert_id
    assert press(registry, alert, T0 + 1).ended_ms is None
    assert press(registry, alert, T0 + 2).ended_ms is None
    assert kinds(registry) == ["opened", "acknowledged"]


def test_gas_that_comes_again_before_the_reset_is_the_same_alert_and_nobody_s(registry: Registry) -> None:
    first = write(registry, gas("open"))
    write(registry, gas("end", at=T0 + 2), T0 + 3)
    again = write(registry, gas("open", onset=T0 + 50, at=T0 + 50), T0 + 51)
    assert (again.alert_id, again.onset_ms, again.changed) == (first.alert_id, T0, True)
    (row,) = rows(registry)
    assert (row.over_ms, row.ended_ms, row.acknowledged_ms) == (None, None, None)
    assert press(registry, first.alert_id, T0 + 60).ended_ms is None
    assert kinds(registry) == ["opened", "over", "again", "acknowledged"]


def test_an_old_judge_does_not_bring_back_what_is_over(registry: Registry) -> None:
    write(registry, gas("open"))
    write(registry, gas("end", at=T0 + 2), T0 + 3)
    assert not write(registry, gas("seen", at=T0 + 1), T0 + 4).changed
    assert rows(registry)[0].over_ms == T0 + 2


class Book(RuleBasedStateMachine):
    """Any order of decisions and answers, each perhaps twice, against a model of one subject's life."""

    registry: Registry

    def __init__(self) -> None:
        super().__init__()
        self.severity: str | None = None  # of the open alert
        self.acknowledged = False
        self.onset = T0
        self.events: list[str] = []
        self.alerts: set[str] = set()

    @initialize()
    def clear(self) -> None:
        with self.registry.write() as session:
            session.execute(delete(Alert))

    def current(self) -> str:
        return alert_book.alert_id("tank.hold", SITE, "tank-1", self.onset)

    @rule(severity=st.sampled_from(SEVERITIES), later=st.integers(0, 2), times=st.integers(1, 2))
    def opened(self, severity: Severity, later: int, times: int) -> None:
        onset = self.onset + later
        for _ in range(times):
            write(self.registry, decision(onset=onset, severity=severity))
        if self.severity is None:
            self.onset = onset
            self.events.append("reopened" if self.current() in self.alerts else "opened")
            self.alerts.add(self.current())
            self.severity, self.acknowledged = severity, False
        else:
            self.worse(severity)

    @rule(severity=st.sampled_from(SEVERITIES), times=st.integers(1, 2))
    def worsened(self, severity: Severity, times: int) -> None:
        for _ in range(times):
            write(self.registry, decision("worsen", onset=self.onset, severity=severity))
        if self.severity is not None:
            self.worse(severity)

    def worse(self, severity: str) -> None:
        assert self.severity
        order = [str(s) for s in SEVERITIES]
        if order.index(severity) > order.index(self.severity):
            self.severity, self.acknowledged = severity, False
            self.events.append("worsened")

    @rule(times=st.integers(1, 2))
    def acknowledge(self, times: int) -> None:
        for _ in range(times):
            with self.registry.write() as session:
                alert_book.acknowledge(session, OWNER, self.current(), T0)
        if self.severity is not None and not self.acknowledged:
            self.acknowledged = True
            self.events.append("acknowledged")

    @rule(times=st.integers(1, 2))
    def ended(self, times: int) -> None:
        for _ in range(times):
            write(self.registry, decision("end", onset=self.onset, at=self.onset + 1))
        if self.severity is not None:
            self.events.append("ended")
            self.severity = None

    @invariant()
    def the_book_tells_the_same_story(self) -> None:
        found = rows(self.registry)
        assert {row.id for row in found} == self.alerts
        open_ = [(r.severity, r.acknowledged_ms is not None) for r in found if r.ended_ms is None]
        assert open_ == ([(self.severity, self.acknowledged)] if self.severity else [])
        assert kinds(self.registry) == self.events


def test_any_order_of_steps_keeps_the_book_right(registry: Registry) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Book.registry = registry
    limits = hypothesis_settings(max_examples=12, stateful_step_count=15, deadline=None)
    run_state_machine_as_test(Book, settings=limits)


WRITER = """
    import sys
    from pathlib import Path
    from analytics import alert_book
    from collectors.registry import open_registry
    from tests.service.test_alert_book import ME, T0, decision, rows

    registry = open_registry(f"sqlite:{Path(sys.argv[1]) / 'registry.db'}")
    done = {row.subject for row in rows(registry) if row.ended_ms is not None}
    for number in range(100_000):
        subject = f"tank-{number}"
        if subject in done:
            continue
        for what in (decision(subject=subject), decision("worsen", severity="critical", subject=subject),
                     decision("end", at=T0 + 5, subject=subject)):
            with registry.write() as session:
                alert_book.write(session, ME, what, T0 + number)
        print(number, flush=True)
"""


def test_a_writer_that_is_killed_again_and_again_leaves_every_alert_with_its_events(tmp_path: Path) -> None:
    registry = new_registry(tmp_path)
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
    for lines in (1, 4, 2):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
            assert writer.stdout
            for _ in range(lines):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            writer.wait()
    found = rows(registry)
    assert len(found) >= 7
    for row in found:
        expected = ["opened"]
        expected += ["worsened"] if row.severity == "critical" else []
        expected += ["ended"] if row.ended_ms is not None else []
        assert kinds(registry, row.id) == expected
    assert sum(row.ended_ms is None for row in found) <= 1
    registry.close()
