"""Dead letters in SQLite and PostgreSQL: what is kept, what is counted only, and that a flood has an end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.registry import Registry, dead_letters, open_registry, sites
from collectors.registry.dead_letters import BYTES_A_DAY, DAY_MS, KEPT_DAYS, Letter
from collectors.registry.viewer import Person
from tests.service.collecting import CONSOLE, GATEWAY, SITE, farm

TODAY = 20_000 * DAY_MS
LETTERS_A_DAY = 600


@pytest.fixture(autouse=True)
def _a_day_is_full_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "LETTERS_A_DAY", LETTERS_A_DAY)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder: Path = tmp_path_factory.mktemp("letters")
    if request.param == "sqlite":
        opened = open_registry(f"sqlite:{folder / 'r.db'}", migrate=True)
        yield opened
        opened.close()
        return
    opened = open_registry(request.getfixturevalue("postgres").ready("letters"))
    yield opened
    opened.close()


def letter(gateway: str, number: int, at_ms: int = TODAY, payload: bytes | None = None, reason: str = "no") -> Letter:
    return Letter(gateway, f"b/{number}", 0, at_ms, "name", reason, "record", payload)


def keep(registry: Registry, letters: list[Letter]) -> None:
    with registry.write() as session:
        dead_letters.add(session, CONSOLE, letters)


def kept(registry: Registry, gateway: str) -> tuple[int, dict[int, int]]:
    """How many letters are kept of `gateway`, and how many were left out by day."""
    with registry.read() as session:
        days = dead_letters.list_full_days(session, CONSOLE, gateway=gateway)
        return dead_letters.count(session, CONSOLE, gateway), {d.day: d.left_out for d in days}


def test_of_a_flood_a_day_s_worth_is_kept_and_the_rest_counted_with_its_reason(registry: Registry) -> None:
    flood = [letter("gw-flood", n) for n in range(LETTERS_A_DAY + 50)]
    keep(registry, flood[:500])
    keep(registry, flood[400:500])  # a batch that came again
    keep(registry, [*flood[500:], letter("gw-flood", 1_000_000, reason="the last straw")])
    assert kept(registry, "gw-flood") == (LETTERS_A_DAY, {20_000: 51})
    keep(registry, flood[:300])  # again, on a day that is full: they are here
    assert kept(registry, "gw-flood") == (LETTERS_A_DAY, {20_000: 51})
    with registry.read() as session:
        (day,) = dead_letters.list_full_days(session, CONSOLE, gateway="gw-flood")
    assert (day.last_reason, day.last_ms) == ("the last straw", TODAY)
    keep(registry, [letter("gw-flood", 2_000_000, TODAY + DAY_MS), letter("gw-other", 1)])
    assert kept(registry, "gw-flood") == (LETTERS_A_DAY + 1, {20_000: 51})
    assert kept(registry, "gw-other") == (1, {})


def test_whole_packs_are_kept_while_there_is_room_and_their_reasons_longer(registry: Registry) -> None:
    big = bytes(200_000)
    fit = BYTES_A_DAY // (200_000 + 200)
    for number in range(fit + 5):
        keep(registry, [letter("gw-big", number, payload=big)])
    with registry.read() as session:
        rows = dead_letters.list_letters(session, CONSOLE, gateway="gw-big", limit=1000)
        whole = [row for row in rows if dead_letters.payload_of(session, CONSOLE, row.id) == big]
    assert (len(whole), len(rows)) == (fit, fit + 5)


def test_letters_are_forgotten_after_their_time_and_nothing_else_is(registry: Registry) -> None:
    keep(registry, [letter("gw-old", n, TODAY - KEPT_DAYS * DAY_MS - n) for n in range(3)])
    keep(registry, [letter("gw-old", 10, TODAY)])
    with registry.write() as session:
        dead_letters.forget(session, CONSOLE, TODAY)
    with registry.read() as session:
        rows = dead_letters.list_letters(session, CONSOLE, gateway="gw-old")
    assert {row.batch for row in rows} == {"b/0", "b/10"}


def test_a_farm_s_people_see_their_own_full_days_and_packs_only(registry: Registry) -> None:
    with registry.write() as session:
        sites.apply_site(session, CONSOLE, farm(), 1)
    keep(registry, [letter(GATEWAY, 1, payload=b"mine"), letter("gw-nobody", 1, payload=b"not mine")])
    keep(registry, [letter(GATEWAY, n) for n in range(LETTERS_A_DAY + 1)])
    owner, stranger = Person(1, "o", {SITE: "owner"}), Person(2, "s", {})
    with registry.read() as session:
        rows = {r.gateway_id: r.id for r in dead_letters.list_letters(session, CONSOLE, limit=100_000)
                if r.gateway_id == "gw-nobody" or r.batch == "b/1"}  # fmt: skip
        for viewer, days, packs in ((owner, 1, [b"mine", None]), (stranger, 0, [None, None])):
            assert len([d for d in dead_letters.list_full_days(session, viewer) if d.gateway_id == GATEWAY]) == days
            asked = (rows[GATEWAY], rows["gw-nobody"])
            assert [dead_letters.payload_of(session, viewer, row) for row in asked] == packs
