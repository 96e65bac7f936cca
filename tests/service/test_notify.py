"""From the alert book to people, on a real registry: who is told when, by what, and what happens when a way fails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from analytics import alert_book, alert_talk
from analytics.decision import Decision
from analytics.notify import lists, send
from analytics.notify.begin import ME
from analytics.notify.port import Sent
from collectors.registry import Registry, addresses, consent, late, outbox, recovery, wishes
from collectors.registry.schema import PersonRow
from collectors.registry.schema.book import RuleStanding
from collectors.registry.schema.notify import Address, Escalation, Outbox
from collectors.registry.viewer import Service
from collectors.registry.wishes import DEFAULT, Wishes
from tests.service.notify_parts import (
    FAMILY,
    MINUTE,
    NIGHT,
    NOON,
    OWNER,
    SITE,
    Centre,
    Recorder,
    centre,
    new_registry,
)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = new_registry(tmp_path)
    yield registry
    registry.close()


@pytest.fixture
def farm(registry: Registry) -> Centre:
    """An owner with push and LINE, family with LINE."""
    made = centre(registry, "push", "line", "voice")
    made.person(1, "Owner", "owner", "push", "line")
    made.person(2, "Family", "family", "line")
    return made


def wish(farm: Centre, person: int, **changed: object) -> None:
    with farm.registry.write() as session:
        values = {"channels": DEFAULT.channels, "quiet": None, "night_budget": 2, "morning_list": True, **changed}
        wishes.put_wishes(session, OWNER if person == 1 else FAMILY, Wishes(**values), NOON)  # type: ignore[arg-type]


def to(farm: Centre, channel: str) -> list[int]:
    """Who got something by `channel`, by number, in order."""
    got = farm.channels[channel].got
    return [int(next(iter(one.to.values())).rsplit("-")[-1]) for one in got]


# ------------------------------------------------------------------------------------------- critical


def test_a_critical_alert_goes_out_by_push_and_line_at_once_and_says_what_where_and_what_to_do(farm: Centre) -> None:
    alert = farm.opens()
    farm.step()
    assert (to(farm, "push"), to(farm, "line")) == ([1], [1])
    message = farm.channels["push"].got[0]
    assert message.alert_id == alert
    assert message.tag == alert
    assert message.url == f"https://makiba.example/#/alerts/{alert}"
    assert message.title.startswith("【緊急】")
    assert "さくら牧場" in message.title
    assert "から" in message.body
    assert [one.action for one in message.buttons] == ["open", "acknowledge", "snooze"]


def test_the_duty_to_tell_is_in_the_transaction_of_the_event(farm: Centre) -> None:
    with farm.registry.write() as session:
        alert_book.write(session, ME, Decision("open", SITE, "tank.hold", "tank-1", NOON, NOON, "critical"), NOON)
        assert session.query(Escalation).count() == 1
        session.rollback()
    farm.step()
    assert not farm.rows()


def test_an_unanswered_critical_alert_is_called_and_then_reaches_the_second_person_and_goes_round(
    farm: Centre,
) -> None:
    with farm.registry.write() as session:
        addresses.put(session, ME, 1, "voice", {"phone": "number-1"}, NOON, verified=True)
    farm.opens()
    farm.step()
    farm.later(4.9)
    assert to(farm, "voice") == []
    farm.later(0.2)
    assert to(farm, "voice") == [1]
    farm.later(4.9)
    assert to(farm, "line") == [1, 2]
    farm.later(10)
    assert to(farm, "line") == [1, 2, 1]
    farm.later(10)
    assert to(farm, "line") == [1, 2, 1, 2]


def test_the_second_person_is_reached_in_time_though_the_first_channel_is_dead(farm: Centre) -> None:
    farm.channels["push"].answer = lambda _: Sent("retry", "no answer")
    farm.channels["line"].answer = lambda m: Sent("refused", "blocked") if m.to["user"] == "user-1" else None
    farm.opens()
    farm.step()
    farm.later(0.5)  # push twice without an answer: nobody waits ten minutes for that
    assert to(farm, "line") == [2]


def test_nothing_goes_out_after_somebody_answered(farm: Centre) -> None:
    alert = farm.opens()
    farm.step()
    farm.acknowledges(alert, FAMILY)
    farm.later(60)
    assert (to(farm, "push"), to(farm, "line")) == ([1], [1])
    assert farm.carried(alert).next_ms is None


@pytest.mark.parametrize("how", ["acknowledge", "end", "snooze"])
def test_what_waits_is_withdrawn_with_the_answer(farm: Centre, how: str) -> None:
    alert = farm.opens()
    farm.carry()
    if how == "acknowledge":
        farm.acknowledges(alert)
    elif how == "end":
        farm.opens(kind="end")
    else:
        with farm.registry.write() as session:
            alert_book.snooze(session, OWNER, alert, farm.now_ms + 30 * MINUTE, farm.now_ms, is_life_safety=False)
    assert {row.state for row in farm.rows()} == {"withdrawn"}
    farm.later(11)
    assert not farm.channels["push"].calls
    if how == "snooze":
        farm.later(20)
        with farm.registry.write() as session:
            assert alert_book.wake(session, ME, farm.now_ms) == 1
        farm.step()
        assert to(farm, "push") == [1]


def test_one_that_gets_worse_begins_anew_and_one_that_was_acknowledged_then_too(farm: Centre) -> None:
    alert = farm.opens("warning")
    farm.step()
    farm.acknowledges(alert)
    farm.opens("critical", kind="worsen")
    farm.step()
    assert [m.severity for m in farm.channels["push"].got] == ["warning", "critical"]


def test_when_nobody_of_the_farm_can_be_reached_it_is_the_co_op_on_duty(registry: Registry) -> None:
    farm = centre(registry, "push", "voice")
    farm.person(1, "Owner", "owner")  # no address at all
    farm.person(2, "Family", "family", "push")
    farm.contact("coop")
    farm.on_call("owner", person=1)
    farm.on_call("family", person=2)
    farm.on_call("coop", contact="coop")
    farm.channels["push"].answer = lambda _: Sent("gone", "410")
    farm.opens()
    farm.step()
    assert [one.to["phone"] for one in farm.channels["voice"].got] == ["+81156661234"]
    assert farm.rows()[0].reason.startswith("gone")
    with registry.read() as session:
        gone = session.query(Address).filter(Address.person_id == 2).one()
    assert gone.gone_ms is not None


def test_nobody_at_all_is_told_to_administrators_and_tried_again(registry: Registry) -> None:
    farm = centre(registry, "push", "mail")
    farm.person(1, "Owner", "owner")
    farm.person(9, "Admin", "", "mail", admin=True)  # type: ignore[arg-type]
    farm.opens()
    farm.step()
    (told,) = farm.channels["mail"].got
    assert (told.kind, told.alert_id) == ("unreachable", None)
    assert "tank" not in told.title + told.body
    with registry.write() as session:
        addresses.put(session, ME, 1, "push", {"endpoint": "push-1", "p256dh": "k", "auth": "a"}, NOON, verified=True)
    farm.later(11)
    assert to(farm, "push") == [1]
    assert len(farm.channels["mail"].got) == 1


def test_who_is_absent_is_not_asked_and_whose_shift_begins_is(farm: Centre) -> None:
    farm.on_call("owner", person=1)
    farm.on_call("family", person=2, from_ms=NOON + 15 * MINUTE)
    farm.on_call("owner", person=1, kind="absence", from_ms=NOON - MINUTE, to_ms=NOON + 25 * MINUTE)
    farm.person(3, "Worker", "worker", "line")
    farm.opens()
    farm.step()
    assert to(farm, "line") == [2]  # nobody is on call: the farm's own people, without who is away
    farm.later(10.1)
    assert to(farm, "line") == [2, 3]
    farm.later(20)
    assert to(farm, "line")[2:] == [1, 2] or to(farm, "line")[2:] == [2, 1]


# ------------------------------------------------------------------------------------------- the others


def test_a_warning_is_said_once_more_after_half_an_hour_and_then_a_technician_hears_of_it(farm: Centre) -> None:
    farm.person(5, "Technician", "technician", "line")
    with farm.registry.write() as session:
        consent.give(session, OWNER, SITE, classes=["alerts"], now_ms=NOON - MINUTE, role="technician")
    farm.opens("warning")
    farm.step()
    assert (to(farm, "push"), to(farm, "line")) == ([1], [1])
    farm.later(31)
    assert to(farm, "line") == [1, 1]
    assert "もう一度" in farm.channels["line"].got[1].title
    farm.later(31)
    assert to(farm, "line") == [1, 1, 5]
    farm.later(120)
    assert to(farm, "line") == [1, 1, 5]


def test_an_advisory_of_the_night_comes_in_the_morning_in_one_message(farm: Centre) -> None:
    farm.now_ms = NIGHT
    farm.opens("advisory", "tank-1")
    farm.opens("advisory", "tank-2")
    ended = farm.opens("advisory", "tank-3")
    farm.step()
    farm.later(6 * 60)
    farm.opens("advisory", "tank-3", kind="end")
    assert not farm.channels["push"].got
    farm.later(31)  # 05:31
    (message,) = farm.channels["push"].got
    assert (message.kind, message.title) == ("list", "けさの お知らせ 2件")
    assert "tank-1" in message.body
    assert "tank-3" not in message.body
    assert ended not in message.body
    assert to(farm, "line") == []


def test_a_list_that_nobody_needs_any_more_is_not_sent(farm: Centre) -> None:
    farm.now_ms = NIGHT
    alerts = [farm.opens("advisory", subject) for subject in ("tank-1", "tank-2")]
    farm.step()
    farm.now_ms += 7 * 3_600_000
    farm.fold()
    for alert in alerts:
        farm.acknowledges(alert)
    farm.step()
    assert not farm.channels["push"].calls
    assert [row.state for row in farm.rows() if row.kind == "list"] == ["withdrawn"]


def test_a_night_has_so_many_wake_ups_and_a_critical_alert_is_none_of_them(farm: Centre) -> None:
    farm.now_ms = NIGHT
    wish(farm, 1, night_budget=2)
    wish(farm, 2, night_budget=0)
    for number in range(3):
        farm.opens("warning", f"tank-{number}")
        farm.step()
    assert to(farm, "push") == [1, 1]
    assert to(farm, "line") == [1, 1]
    worst = farm.opens("critical", "tank-9")
    farm.step()
    assert to(farm, "push") == [1, 1, 1]
    farm.acknowledges(worst)
    farm.later(6.6 * 60)
    assert [m.title for m in farm.channels["push"].got if m.kind == "list"] == []
    late = [m for m in farm.channels["push"].got if m.kind == "alert" and m.severity == "warning"][2:]
    assert len(late) == 1  # one thing alone is told as itself


def test_quiet_hours_hold_a_warning_for_one_and_another_is_asked_and_a_critical_alert_passes(farm: Centre) -> None:
    wish(farm, 1, quiet=(11 * 60, 13 * 60))
    farm.opens("warning")
    farm.step()
    assert (to(farm, "push"), to(farm, "line")) == ([], [2])
    farm.opens("critical", "tank-2")
    farm.step()
    assert to(farm, "push") == [1]
    farm.later(61)
    assert [m.severity for m in farm.channels["push"].got].count("warning") == 1


def test_a_rule_of_the_morning_list_wakes_nobody_until_it_is_critical(farm: Centre) -> None:
    with farm.registry.write() as session:
        session.add(
            RuleStanding(site_id=SITE, rule="tank.hold", mode="by-labels", is_demoted=True, since_ms=0, useful=0,
                         judged=9, version=1)
        )  # fmt: skip
    farm.opens("warning")
    farm.step()
    assert not farm.channels["push"].got
    farm.opens("critical", kind="worsen")
    farm.step()
    assert to(farm, "push") == [1]
    assert alert_talk.MODES


def test_many_at_once_become_one(farm: Centre) -> None:
    for number in range(10):
        farm.opens("warning", f"tank-{number}")
    farm.step()
    assert len(to(farm, "push")) == 6
    farm.later(11)
    assert to(farm, "line").count(2) == 0
    assert [m.kind for m in farm.channels["push"].got][6:] == ["list"]
    assert "4" in farm.channels["push"].got[6].title


# ------------------------------------------------------------------------------------------- ways that fail


def test_a_channel_that_refuses_is_taken_over_at_once(farm: Centre) -> None:
    farm.channels["push"].answer = lambda _: Sent("refused", "too long")
    farm.opens("advisory")
    farm.step()
    assert to(farm, "line") == [1]


def test_a_channel_that_does_not_answer_is_tried_again_with_the_same_id(farm: Centre) -> None:
    answers = [Sent("retry", "503")]
    seen: list[str] = []

    def answer(message: object) -> Sent | None:
        seen.append(message.id)  # type: ignore[attr-defined]
        return answers.pop() if answers else None

    farm.channels["push"].answer = answer
    farm.opens("warning")
    farm.step()
    assert len(seen) == 1
    farm.later(0.2)
    assert len(seen) == 2
    assert len(set(seen)) == 1


def test_who_may_not_see_it_any_more_or_is_shut_out_hears_nothing(farm: Centre) -> None:
    farm.opens()
    farm.carry()
    with farm.registry.write() as session:
        session.execute(update(PersonRow).where(PersonRow.id == 1).values(disabled_ms=NOON))
    farm.send()
    assert not farm.channels["push"].calls
    farm.later(10.1)
    assert to(farm, "line") == [2]


def test_words_that_cannot_be_made_do_not_keep_an_alert_from_anybody(
    farm: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.notify.render.describe", lambda *_: 1 / 0)
    farm.opens()
    farm.step()
    assert "tank.hold" in farm.channels["push"].got[0].title


def test_a_counted_month_keeps_a_reserve_for_what_is_urgent_and_administrators_hear(registry: Registry) -> None:
    farm = centre(registry, "line", "mail")
    farm.channels["line"].monthly = 10
    farm.person(1, "Owner", "owner", "line", "mail")
    farm.person(9, "Admin", "", "mail", admin=True)  # type: ignore[arg-type]
    for number in range(12):
        farm.now_ms += 11 * MINUTE
        farm.opens("advisory", f"tank-{number}")
        farm.step()
    assert len(farm.channels["line"].got) == 8
    assert [m.kind for m in farm.channels["mail"].got if m.to["mail"] == "mail-1"] == ["alert"] * 4
    told = [m.title for m in farm.channels["mail"].got if m.kind == "quota"]
    assert [word for title in told for word in title.split() if word.startswith("残り") or "通" in word] != []
    assert len(told) == 2  # at a half, at the reserve
    farm.opens("critical", "tank-99")
    farm.step()
    assert len(farm.channels["line"].got) == 9


def test_a_message_that_is_refused_is_not_counted(registry: Registry) -> None:
    farm = centre(registry, "line")
    farm.channels["line"] = Recorder("line", monthly=10, answer=lambda _: Sent("refused", "no"))
    farm.person(1, "Owner", "owner", "line")
    farm.opens("warning")
    farm.step()
    with registry.read() as session:
        assert outbox.used(session, ME, "line", "2025-11") == 0


def test_what_became_of_a_message_is_in_its_log(farm: Centre) -> None:
    alert = farm.opens("advisory")
    farm.step()
    (row,) = farm.rows(alert)
    with farm.registry.write() as session:
        assert outbox.note_receipt(session, ME, "seen", NOON, channel="push", provider_id=row.provider_id or "")
        assert not outbox.note_receipt(session, ME, "delivered", NOON, outbox_id=row.id)
    with farm.registry.read() as session:
        logs = outbox.logs_of(session, OWNER, [row])[row.id]
        assert [line.step for line in logs] == ["written", "sent", "accepted", "seen"]
        assert session.get_one(Outbox, row.id).state == "seen"


def test_who_cannot_get_in_is_mailed_a_link_that_holds_once_and_nobody_else_is(registry: Registry) -> None:
    farm = centre(registry, "mail", "push")
    farm.person(1, "Owner", "owner", "mail", "push")
    farm.person(2, "Family", "family", "push")
    farm.person(9, "Admin", "", "mail", admin=True)  # type: ignore[arg-type]
    api = Service("api")
    with registry.write() as session:
        for number, login in ((1, "owner"), (2, "family"), (9, "admin")):
            session.execute(update(PersonRow).where(PersonRow.id == number).values(login=login))
        for login in (" Owner", "family", "admin", "nobody"):
            recovery.ask(session, api, login, NOON)
            recovery.ask(session, api, login, NOON + 1)
    for _ in range(3):
        with registry.write() as session:
            lists.tell_who_asked(session, farm.ways, NOON - MINUTE, NOON)
        farm.step()
    (message,) = farm.channels["mail"].got
    assert (message.kind, message.to["mail"]) == ("recovery", "mail-1")
    assert not farm.channels["push"].got
    code = message.url.partition("#join=")[2]
    assert code in message.body
    with registry.write() as session:
        hashed = hashlib.sha256(code.encode()).hexdigest()
        assert recovery.use_link(session, api, hashed, NOON) == 1
        assert recovery.use_link(session, api, hashed, NOON) is None
        assert code not in str([row.content for row in session.query(Outbox)])


def test_what_was_while_the_line_was_down_is_told_once(farm: Centre) -> None:
    ended = [{"alert": "a" * 32, "rule": "tank.hold", "subject": "tank-1", "severity": "critical",
              "onset_ms": NOON - 60 * MINUTE, "ended_ms": NOON - 30 * MINUTE}] * 12  # fmt: skip
    with farm.registry.write() as session:
        late.add(session, ME, SITE, NOON - 90 * MINUTE, NOON, 9_000, ended, NOON)
        late.add(session, ME, SITE, NOON - 290 * MINUTE, NOON - 200 * MINUTE, 9_000, [], NOON)
    for _ in range(2):
        with farm.registry.write() as session:
            lists.tell_late(session, farm.ways, NOON)
        farm.step()
    (message,) = farm.channels["push"].got
    assert message.kind == "late"
    assert "10:30–12:00" in message.body
    assert not farm.channels["line"].got


def test_one_that_was_taken_and_not_sent_in_time_is_anothers(farm: Centre) -> None:
    farm.opens("advisory")
    farm.carry()
    with farm.registry.write() as session:
        slow = outbox.take(session, ME, "push", "a" * 32, farm.now_ms, send.LEASE_MS)
        assert slow is not None
        assert outbox.take(session, ME, "push", "b" * 32, farm.now_ms, send.LEASE_MS) is None
    farm.now_ms += send.LEASE_MS
    with farm.registry.write() as session:
        assert outbox.take(session, ME, "push", "b" * 32, farm.now_ms, send.LEASE_MS) is not None
    # The first comes back: it is not its any more, and is not handed over twice at once.
    assert send.prepared(farm.registry, farm.ways, slow.id, "a" * 32, lambda: farm.now_ms) is None
    assert send.prepared(farm.registry, farm.ways, slow.id, "b" * 32, lambda: farm.now_ms) is not None
    send.settle(farm.registry, farm.ways, slow.id, Sent("accepted"), lambda: farm.now_ms)
    send.settle(farm.registry, farm.ways, slow.id, Sent("retry"), lambda: farm.now_ms)
    assert [row.state for row in farm.rows()] == ["accepted"]
