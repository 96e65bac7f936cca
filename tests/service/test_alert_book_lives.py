"""The alert book on real databases, whatever people and judges do in which order, and whoever is killed meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from analytics import alert_book, alert_talk
from analytics.book_states import Label, Refused
from analytics.decision import Decision, Kind
from collectors.registry import Registry, book, open_registry
from collectors.registry.schema import Alert, AlertEvent, PersonRow, RoleRow
from collectors.registry.schema.book import AlertFeedback
from collectors.registry.sites import SiteSpec, apply_site
from collectors.registry.viewer import Person, Service
from makiba.rule import SEVERITIES, Severity
from tests.parts import ROOT
from tests.service.postgres_parts import Postgres

ME, SITE, T0 = Service("analytics"), "farm", 1_700_000_000_000
PEOPLE = [Person(number, f"p{number}", {SITE: "owner"}) for number in (1, 2)]


class _Killed(Exception):
    """What a kill is to a database: the transaction never commits."""


_numbers = count()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return server.ready(f"book{next(_numbers)}")
    return f"sqlite:{tmp_path / 'registry.db'}"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    registry = open_registry(url, migrate=True)
    with registry.write() as session:
        apply_site(session, Service("console"), SiteSpec(SITE, SITE, SITE), T0)
        for person in PEOPLE:
            session.add(PersonRow(id=person.id, login=person.name, name=person.name, created_ms=T0))
            session.flush()
            session.add(RoleRow(person_id=person.id, site_id=SITE, role="owner"))
    yield registry
    registry.close()


def judged(kind: Kind, severity: Severity = "advisory", subject: str = "tank-1", at_ms: int = T0) -> Decision:
    return Decision(kind, SITE, "heat.stress", subject, T0, at_ms, severity)


def kinds(session: Session, alert_id: str | None = None) -> list[str]:
    query = select(AlertEvent.kind).order_by(AlertEvent.id)
    return list(session.scalars(query.where(AlertEvent.alert_id == alert_id) if alert_id else query))


class Lives(RuleBasedStateMachine):
    """One alert's life against a model of it; each move perhaps twice, and perhaps killed before its commit."""

    registry: Registry

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.state, self.severity, self.until = "none", "info", 0
        self.assigned: int | None = None
        self.labels: dict[int, Label] = {}
        self.events: list[str] = []

    @initialize()
    def clear(self) -> None:
        with self.registry.write() as session:
            session.execute(delete(Alert))

    def move(self, work: Callable[[Session], object], is_killed: bool, times: int) -> bool:
        """Does `work` `times` times; whether it was done. One that is killed or refused leaves nothing."""
        self.now += 1
        for _ in range(times):
            try:
                with self.registry.write() as session:
                    work(session)
                    if is_killed:
                        raise _Killed
            except (_Killed, Refused):
                return False
        return True

    def became(self, kind: str, state: str) -> None:
        self.events.append(kind)
        self.state = state

    @rule(severity=st.sampled_from(SEVERITIES), kind=st.sampled_from(("open", "worsen", "seen")),
          killed=st.booleans(), times=st.integers(1, 2))  # fmt: skip
    def judge(self, severity: Severity, kind: Kind, killed: bool, times: int) -> None:
        done = self.move(lambda s: alert_book.write(s, ME, judged(kind, severity), self.now), killed, times)
        if not done or (kind != "open" and self.state in ("none", "ended")):
            return
        if self.state in ("none", "ended"):
            self.became("opened" if self.state == "none" else "reopened", "open")
            self.severity = severity
        elif SEVERITIES.index(severity) > SEVERITIES.index(self.severity):
            self.became("worsened", "open")
            self.severity = severity

    @rule(killed=st.booleans(), times=st.integers(1, 2))
    def end(self, killed: bool, times: int) -> None:
        done = self.move(lambda s: alert_book.write(s, ME, judged("end"), self.now), killed, times)
        if done and self.state not in ("none", "ended"):
            self.became("ended", "ended")

    @rule(who=st.sampled_from(PEOPLE), killed=st.booleans(), times=st.integers(1, 2))
    def acknowledge(self, who: Person, killed: bool, times: int) -> None:
        done = self.move(lambda s: alert_book.acknowledge(s, who, ALERT, self.now), killed, times)
        if done and self.state in ("open", "snoozed"):
            self.became("acknowledged", "acknowledged")

    @rule(who=st.sampled_from(PEOPLE), ahead=st.integers(3, 6), killed=st.booleans(), times=st.integers(1, 2))
    def snooze(self, who: Person, ahead: int, killed: bool, times: int) -> None:
        until = self.now + ahead
        work = lambda s: alert_book.snooze(s, who, ALERT, until, self.now, is_life_safety=False)  # noqa: E731
        if self.move(work, killed, times) and self.state not in ("none", "ended"):
            if (self.state, self.until) != ("snoozed", until):
                self.became("snoozed", "snoozed")
            self.until = until

    @rule(killed=st.booleans(), times=st.integers(1, 2))
    def wake(self, killed: bool, times: int) -> None:
        done = self.move(lambda s: alert_book.wake(s, ME, self.now), killed, times)
        if done and self.state == "snoozed" and self.until <= self.now:
            self.became("woke", "open")

    @rule(to=st.sampled_from([*PEOPLE, None]), killed=st.booleans(), times=st.integers(1, 2))
    def assign(self, to: Person | None, killed: bool, times: int) -> None:
        done = self.move(lambda s: alert_book.assign(s, PEOPLE[0], ALERT, to, self.now), killed, times)
        if done and self.state not in ("none", "ended") and self.assigned != (to.id if to else None):
            self.assigned = to.id if to else None
            self.events.append("assigned")

    @rule(who=st.sampled_from(PEOPLE), label=st.sampled_from(("useful", "false", "knew", None)),
          killed=st.booleans(), times=st.integers(1, 2))  # fmt: skip
    def feedback(self, who: Person, label: Label | None, killed: bool, times: int) -> None:
        done = self.move(lambda s: alert_talk.feedback(s, who, ALERT, label, {}, self.now), killed, times)
        if done and self.state != "none" and self.labels.get(who.id) != label:
            self.labels.pop(who.id, None)
            self.labels |= {who.id: label} if label else {}
            self.events.append("feedback")

    @invariant()
    def the_book_tells_the_same_story(self) -> None:
        with self.registry.read() as session:
            row = session.get(Alert, ALERT)
            assert kinds(session) == self.events
            assert (row is None) == (self.state == "none")
            if row is not None:
                assert (alert_book.state_of(row).state, row.severity) == (self.state, self.severity)
                assert book.assignees(session, ME, [ALERT]).get(ALERT) == self.assigned
                said = select(AlertFeedback.person_id, AlertFeedback.label)
                assert dict(session.execute(said).all()) == self.labels


ALERT = alert_book.alert_id("heat.stress", SITE, "tank-1", T0)


def test_any_order_of_moves_and_kills_keeps_the_book_right(registry: Registry) -> None:
    Lives.registry = registry
    limits = hypothesis_settings(
        max_examples=7, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    run_state_machine_as_test(Lives, settings=limits)


def test_several_workers_wake_an_alert_once(registry: Registry) -> None:
    with registry.write() as session:
        for number in range(5):
            written = alert_book.write(session, ME, judged("open", subject=f"tank-{number}"), T0)
            alert_book.snooze(session, PEOPLE[0], written.alert_id, T0 + 9, T0, is_life_safety=False)
    with registry.read() as session:
        assert [alert_book.is_to_wake(session, at) for at in (T0 + 8, T0 + 9)] == [False, True]

    def worker(_: int) -> int:
        with registry.write() as session:
            return alert_book.wake(session, ME, T0 + 9)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(worker, range(4))) == [0, 0, 0, 5]
    with registry.read() as session:
        assert kinds(session).count("woke") == 5
        assert not alert_book.is_to_wake(session, T0 + 99)


def test_a_person_who_goes_leaves_labels_and_comments_but_nothing_to_do(registry: Registry) -> None:
    with registry.write() as session:
        alert_book.write(session, ME, judged("open"), T0)
        alert_book.assign(session, PEOPLE[0], ALERT, PEOPLE[1], T0)
        alert_talk.comment(session, PEOPLE[1], ALERT, "見ました", T0)
        alert_talk.feedback(session, PEOPLE[1], ALERT, "useful", {}, T0)
    with registry.write() as session:
        session.execute(delete(PersonRow).where(PersonRow.id == PEOPLE[1].id))
    with registry.read() as session:
        assert book.assignees(session, ME, [ALERT]) == {}
        assert [(c.person_id, c.text) for c in book.comments_of(session, ME, ALERT, 9)] == [(None, "見ました")]
        assert book.label_counts(session, ME, [ALERT]) == {ALERT: {"useful": 1}}
        assert book.assignees(session, Person(9, "stranger", {}), [ALERT]) == {}


WRITER = """
    import sys
    from analytics import alert_book, alert_talk
    from collectors.registry import open_registry
    from tests.service.test_alert_book_lives import ME, PEOPLE, T0, judged

    registry = open_registry(sys.argv[1])
    for number in range(int(sys.argv[2]), 100_000):
        subject, now = f"tank-{number}", T0 + 10 * number
        with registry.write() as session:
            alert = alert_book.write(session, ME, judged("open", subject=subject), now).alert_id
        with registry.write() as session:
            alert_book.snooze(session, PEOPLE[0], alert, now + 5, now, is_life_safety=False)
        with registry.write() as session:
            alert_talk.comment(session, PEOPLE[0], alert, subject, now)
        with registry.write() as session:
            alert_book.wake(session, ME, now + 5)
        with registry.write() as session:
            alert_talk.feedback(session, PEOPLE[1], alert, "useful", {}, now + 6)
        with registry.write() as session:
            alert_book.write(session, ME, judged("end", subject=subject, at_ms=now + 9), now + 9)
        print(number, flush=True)
"""
STORY = ["opened", "snoozed", "commented", "woke", "feedback", "ended"]


def test_a_writer_that_is_killed_leaves_every_step_with_its_change(registry: Registry, url: str) -> None:
    told = 0
    for start, lines in ((0, 1), (1_000, 4), (2_000, 2)):
        command = [sys.executable, "-c", textwrap.dedent(WRITER), url, str(start)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
            assert writer.stdout
            told += sum(bool(writer.stdout.readline()) for _ in range(lines))
            writer.send_signal(signal.SIGKILL)
            writer.wait()
    with registry.read() as session:
        rows = session.scalars(select(Alert)).all()
        stories = [kinds(session, row.id) for row in rows]
        for row, story in zip(rows, stories, strict=True):
            assert story == STORY[: len(story)]
            assert (row.ended_ms is not None) == ("ended" in story)
            assert (row.snoozed_until_ms is not None) == (story[-1] in ("snoozed", "commented"))
            assert len(book.comments_of(session, ME, row.id, 9)) == ("commented" in story)
            assert bool(book.label_counts(session, ME, [row.id])) == ("feedback" in story)
    assert told == 7
    assert stories.count(STORY) >= told
    # Of each killed writer one alert at most stands where it was; and a writer after it woke what was due.
    assert sum(story != STORY for story in stories) <= 3
