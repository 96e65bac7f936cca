"""The outbox against what it promises, with alerts, answers and kills in any order.

A message that is due is accepted exactly once by a channel that knows it by its retry key; none is begun after an
answer was committed; and whatever is critical and unanswered comes again within ten minutes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from analytics.notify import send
from analytics.notify.port import Message, Sent
from makiba.rule import Severity
from tests.service.notify_parts import NOON, OWNER, Centre, Killed, centre, new_registry

SUBJECTS = ("tank-1", "tank-2")
SEVERITY = st.sampled_from(["warning", "critical"])


class Lives(RuleBasedStateMachine):
    """Two tanks, an owner with push and LINE, family with LINE; the notifier dies wherever hypothesis likes."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.registry = new_registry(Path(self.folder.name))
        self.farm: Centre = centre(self.registry, "push", "line")
        self.farm.person(1, "Owner", "owner", "push", "line")
        self.farm.person(2, "Family", "family", "line")
        self.dies = ""
        self.answered: set[str] = set()
        for channel in self.farm.channels.values():
            channel.answer = self._hand_over
        self.open: dict[str, tuple[str, Severity]] = {}
        self.began: list[tuple[str, bool]] = []

    def _hand_over(self, message: Message) -> Sent | None:
        """What happens between our taking a row and our writing down what became of it."""
        self.began.append((str(message.alert_id), message.alert_id in self.answered))
        if self.dies == "before":
            self.dies = ""
            raise Killed
        if self.dies == "after":
            self.dies = ""
            channel = self.farm.channels["push" if "endpoint" in message.to else "line"]
            if message.id not in {one.id for one in channel.got}:
                channel.got.append(message)
            raise Killed
        return None

    @rule(subject=st.sampled_from(SUBJECTS), severity=SEVERITY)
    def opens_or_worsens(self, subject: str, severity: Severity) -> None:
        known = self.open.get(subject)
        kind = "worsen" if known else "open"
        onset = None if known is None else NOON
        alert = self.farm.opens(severity, subject, kind=kind, onset_ms=onset)  # type: ignore[arg-type]
        if known is None:
            self.open[subject] = (alert, severity)
            self.answered.discard(alert)
        elif known[1] == "warning" and severity == "critical":
            self.open[subject] = (known[0], severity)
            self.answered.discard(known[0])

    @rule(subject=st.sampled_from(SUBJECTS))
    def somebody_answers(self, subject: str) -> None:
        if subject in self.open:
            self.farm.acknowledges(self.open[subject][0], OWNER)
            self.answered.add(self.open[subject][0])

    @rule(subject=st.sampled_from(SUBJECTS))
    def it_ends(self, subject: str) -> None:
        if subject in self.open:
            alert, severity = self.open.pop(subject)
            self.farm.opens(severity, subject, kind="end", onset_ms=NOON)
            self.answered.add(alert)

    @rule(where=st.sampled_from(["after", "before", ""]), subject=st.sampled_from(SUBJECTS), severity=SEVERITY)
    def the_notifier_dies_over_it(self, where: str, subject: str, severity: Severity) -> None:
        self.opens_or_worsens(subject, severity)
        self.the_notifier_works(where)

    @rule(where=st.sampled_from(["", "before", "after"]))
    def the_notifier_works(self, where: str) -> None:
        self.dies = where
        try:
            self.farm.step()
        except Killed:
            self.farm.now_ms += send.LEASE_MS  # another one takes it when the lease is over
        self.dies = ""

    @rule(minutes=st.sampled_from([31, 10, 1]), where=st.sampled_from(["", "before", "after"]))
    def time_goes_on(self, minutes: int, where: str) -> None:
        self.farm.now_ms += minutes * 60_000
        self.the_notifier_works(where)

    @invariant()
    def nothing_is_begun_after_the_answer(self) -> None:
        assert not [alert for alert, was_answered in getattr(self, "began", []) if was_answered]

    def teardown(self) -> None:
        if not hasattr(self, "farm"):
            return
        try:
            self.farm.now_ms += send.LEASE_MS
            self.farm.step()
            got = [one.id for channel in self.farm.channels.values() for one in channel.got]
            assert len(got) == len(set(got))
            rows = {row.id: row for row in self.farm.rows()}
            assert set(got) <= set(rows)
            for row in rows.values():
                # Each is accepted, or was not needed any more: never forgotten, and none is still to be sent.
                assert row.state in ("accepted", "withdrawn", "failed", "held", "listed"), row.state
                assert (row.id in got) >= (row.state == "accepted")
                if row.state == "failed":
                    assert row.reason == "too late"
            for alert, severity in self.open.values():
                if alert not in self.answered:
                    mine = [m for c in self.farm.channels.values() for m in c.got if m.alert_id == alert]
                    held = [row for row in rows.values() if row.alert_id == alert and row.state in ("held", "listed")]
                    assert mine or held
                    if severity == "critical":
                        assert [m for m in mine if m.severity == "critical"]
        finally:
            self.registry.close()
            self.folder.cleanup()


def test_each_message_is_accepted_once_and_none_after_the_answer() -> None:
    run_state_machine_as_test(
        Lives, settings=hypothesis_settings(max_examples=8, stateful_step_count=20, deadline=None)
    )


@pytest.mark.long
def test_each_message_is_accepted_once_and_none_after_the_answer_in_long_lives() -> None:
    run_state_machine_as_test(
        Lives, settings=hypothesis_settings(max_examples=300, stateful_step_count=40, deadline=None)
    )
