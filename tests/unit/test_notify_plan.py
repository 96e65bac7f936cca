"""How one person is told of one thing, as tables: channels, the night, quiet hours, the budget, what takes over."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.notify import plan
from analytics.notify.plan import Reach
from analytics.notify.port import Message
from collectors.registry.wishes import DEFAULT, Wishes, check_wishes

TOKYO = ZoneInfo("Asia/Tokyo")  # no summer time
BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = 60_000


def at(clock: str, day: str = "2026-02-10", zone: ZoneInfo = TOKYO) -> int:
    return int(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=zone).timestamp()) * 1000


def clock(at_ms: int, zone: ZoneInfo = TOKYO) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).strftime("%d %H:%M")


def wishes(quiet: tuple[str, str] | None = None, budget: int = 2) -> Wishes:
    def minute(text: str) -> int:
        return int(text[:2]) * 60 + int(text[3:])

    return Wishes(DEFAULT.channels, (minute(quiet[0]), minute(quiet[1])) if quiet else None, budget)


@pytest.mark.parametrize(
    ("now", "severity", "quiet", "woken", "until"),
    [
        # a critical alert waits for nothing
        ("03:00", "critical", None, 9, None),
        ("03:00", "critical", ("21:00", "06:00"), 9, None),
        # a warning, by night: the budget
        ("23:00", "warning", None, 0, None),
        ("23:00", "warning", None, 1, None),
        ("23:00", "warning", None, 2, "11 05:30"),
        ("02:00", "warning", None, 2, "10 05:30"),
        ("04:59", "warning", None, 2, "10 05:30"),
        ("05:00", "warning", None, 2, None),
        ("20:59", "warning", None, 2, None),
        ("21:00", "warning", None, 2, "11 05:30"),
        # quiet hours, over midnight and not, their ends in the night and by day
        ("22:30", "warning", ("22:00", "04:00"), 0, "11 05:30"),
        ("01:00", "warning", ("22:00", "04:00"), 0, "10 05:30"),
        ("04:00", "warning", ("22:00", "04:00"), 0, None),
        ("21:59", "warning", ("22:00", "04:00"), 0, None),
        ("23:00", "warning", ("22:00", "07:00"), 0, "11 07:00"),
        ("12:30", "warning", ("12:00", "13:00"), 0, "10 13:00"),
        ("13:00", "warning", ("12:00", "13:00"), 0, None),
        ("00:00", "warning", ("00:00", "06:15"), 0, "10 06:15"),
        # an advisory: by day at once, by night the list
        ("12:00", "advisory", None, 0, None),
        ("20:59", "advisory", None, 0, None),
        ("21:00", "advisory", None, 0, "11 05:30"),
        ("00:00", "advisory", None, 0, "10 05:30"),
        ("04:59", "advisory", None, 0, "10 05:30"),
        ("05:10", "advisory", None, 0, None),
        ("12:30", "advisory", ("12:00", "13:00"), 0, "10 13:00"),
        # info: always the list
        ("12:00", "info", None, 0, "11 05:30"),
        ("05:29", "info", None, 0, "10 05:30"),
        ("05:30", "info", None, 0, "11 05:30"),
    ],
)
def test_what_waits_and_until_when(
    now: str, severity: str, quiet: tuple[str, str] | None, woken: int, until: str | None
) -> None:
    wait = plan.waits(severity, wishes(quiet), TOKYO, at(now), woken=woken)
    assert (clock(wait.until_ms) if wait else None) == until


def test_what_warns_of_the_night_itself_is_said_in_the_night_unless_somebody_is_quiet() -> None:
    assert plan.waits("advisory", wishes(), TOKYO, at("22:00"), falls_into_night=True) is None
    assert plan.waits("advisory", wishes(budget=0), TOKYO, at("22:00"), falls_into_night=True) is not None
    quiet = plan.waits("advisory", wishes(("21:00", "05:00")), TOKYO, at("22:00"), falls_into_night=True)
    assert quiet is not None
    assert quiet.why == "quiet hours"


def test_a_rule_of_the_morning_list_waits_also_by_day_and_a_flood_for_ten_minutes() -> None:
    morning = plan.waits("warning", wishes(), TOKYO, at("12:00"), in_morning_list=True)
    assert morning is not None
    assert clock(morning.until_ms) == "11 05:30"
    flood = plan.waits("warning", wishes(), TOKYO, at("12:00"), told_lately=plan.FLOOD)
    assert flood is not None
    assert clock(flood.until_ms) == "10 12:10"
    assert plan.waits("critical", wishes(), TOKYO, at("12:00"), told_lately=99, in_morning_list=True) is None


@pytest.mark.parametrize(
    ("day", "now", "night", "morning"),
    [
        ("2026-02-10", "20:59", "", "11 05:30"),
        ("2026-02-10", "21:00", "2026-02-10", "11 05:30"),
        ("2026-02-11", "00:00", "2026-02-10", "11 05:30"),
        ("2026-02-11", "04:59", "2026-02-10", "11 05:30"),
        ("2026-02-11", "05:00", "", "11 05:30"),
        ("2026-02-28", "23:00", "2026-02-28", "01 05:30"),
    ],
)
def test_a_night_is_one_over_midnight(day: str, now: str, night: str, morning: str) -> None:
    assert plan.night_of(at(now, day), TOKYO) == night
    assert clock(plan.next_list_ms(at(now, day), TOKYO)) == morning


def test_the_list_is_at_half_past_five_also_when_clocks_change() -> None:
    evening = at("22:00", "2026-03-28", BERLIN)  # they jump at 02:00
    assert clock(plan.next_list_ms(evening, BERLIN), BERLIN) == "29 05:30"
    assert plan.next_list_ms(evening, BERLIN) - evening == (6 * 60 + 30) * MINUTE


REACHES = tuple(Reach(f"{name}-1", name) for name in ("push", "line", "mail", "sms", "voice"))


@pytest.mark.parametrize(
    ("severity", "wanted", "there", "closed", "first"),
    [
        ("critical", ("push", "line", "voice"), "push line voice", "", [("push", 0), ("line", 0), ("voice", 5)]),
        ("critical", ("push", "line", "voice"), "push line voice", "push line", [("voice", 0)]),
        (
            "critical",
            ("line",),
            "line mail",
            "line",
            [("mail", 0)],
        ),  # a way that they did not name is better than none
        ("critical", ("mail", "voice"), "mail voice", "", [("mail", 0), ("voice", 5)]),
        ("critical", ("push",), "sms voice", "", [("sms", 0), ("voice", 5)]),
        ("warning", ("push", "line", "mail"), "push line mail", "", [("push", 0), ("line", 0)]),
        ("warning", ("mail", "push"), "push mail", "", [("push", 0)]),
        ("warning", ("push", "mail"), "mail", "", [("mail", 0)]),
        ("warning", ("push",), "mail", "", []),
        ("warning", (), "push", "", []),
        ("advisory", ("push", "line"), "push line", "", [("push", 0)]),
        ("advisory", ("line", "push"), "push line", "", [("line", 0)]),
        ("advisory", ("line", "push"), "push line", "line", [("push", 0)]),
    ],
)
def test_what_goes_out_first(
    severity: str, wanted: tuple[str, ...], there: str, closed: str, first: list[tuple[str, int]]
) -> None:
    reaches = [one for one in REACHES if one.channel in there.split()]
    order = plan.order_of(severity, Wishes({severity: wanted}), reaches, closed.split())
    rows = plan.rows(severity, order, reaches, 0)
    assert [(row.channel, row.due_ms // MINUTE) for row in rows] == first


def test_each_phone_is_told_and_the_next_channel_takes_over_once() -> None:
    reaches = (Reach("a", "push"), Reach("b", "push"), Reach("m", "mail"), Reach("s", "sms"))
    order = plan.order_of("warning", Wishes({"warning": ("push", "mail", "sms")}), reaches, ())
    rows = plan.rows("warning", order, reaches, 0)
    assert [row.address for row in rows] == ["a", "b"]
    assert rows[0].then == ("mail", "sms")
    assert [row.address for row in plan.take_over(rows[0].then, {"push"}, reaches, 0)] == ["m"]
    assert [row.address for row in plan.take_over(rows[0].then, {"push", "mail"}, reaches, 0)] == ["s"]
    assert plan.take_over(rows[0].then, {"push", "mail", "sms"}, reaches, 0) == ()


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_retry_key_is_a_uuid_and_the_same_for_the_same_message(about: str, channel: str) -> None:
    made = [plan.row_id(plan.telling_id(about), channel, "a") for _ in range(2)]
    keys = {
        Message(one, {}, "alert", "critical", "ja", "t", "b", "u", "g").retry_key for one in made
    }  # fmt: skip
    assert len(keys) == 1
    assert [len(part) for part in next(iter(keys)).split("-")] == [8, 4, 4, 4, 12]


@pytest.mark.parametrize(
    "wrong",
    [
        Wishes({**DEFAULT.channels, "critical": ()}),
        Wishes({**DEFAULT.channels, "warning": ("pigeon",)}),
        Wishes({**DEFAULT.channels, "warning": ("push", "push")}),
        Wishes({**DEFAULT.channels, "urgent": ("push",)}),
        Wishes(DEFAULT.channels, quiet=(60, 60)),
        Wishes(DEFAULT.channels, quiet=(0, 1440)),
        Wishes(DEFAULT.channels, night_budget=-1),
    ],
)
def test_wishes_that_cannot_be_are_refused(wrong: Wishes) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_wishes(wrong)
