"""Several people enter at the same moment: each number, key and stay is there once. SQLite and PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from collectors.registry import Registry, animals, groups, herd_events, open_registry
from collectors.registry.herd_events import KeyRace, Told
from collectors.registry.sites import SiteSpec, apply_site
from collectors.registry.viewer import Service
from makiba.herd_event import Heat, Move

CONSOLE = Service("console")
SITE = "shikaoi-001"
NOW_MS = 1_790_000_000_000
WRITERS = 6
T = TypeVar("T")


@pytest.fixture(params=["sqlite", "postgres"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    if request.param == "sqlite":
        yield from _opened(f"sqlite:{tmp_path}/registry.db")
    else:
        yield from _opened(request.getfixturevalue("postgres").ready(f"herd_{secrets.token_hex(4)}"))


def _opened(url: str) -> Iterator[Registry]:
    made = open_registry(url, migrate=True)
    with made.write() as session:
        apply_site(session, CONSOLE, SiteSpec(SITE, "牧場", "farm"), 1)
    yield made
    made.close()


def at_once(work: Callable[[int], T]) -> list[T | Exception]:
    """What came of `work` for each of several writers."""

    def tried(n: int) -> T | Exception:
        try:
            return work(n)
        except (animals.Taken, KeyRace) as error:
            return error

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(tried, range(WRITERS)))


def add(registry: Registry, **fields: Any) -> str:
    with registry.write() as session:
        return animals.add(session, CONSOLE, SITE, fields, NOW_MS).id


def test_a_number_is_given_once(registry: Registry) -> None:
    for field, value in {"national_id": "1409876543", "tag": "392000140987654", "number": "305"}.items():
        made = at_once(lambda _, field=field, value=value: add(registry, **{field: value}))  # type: ignore[misc]
        refused = [one for one in made if isinstance(one, animals.Taken)]
        assert len(refused) == WRITERS - 1
        assert {one.field for one in refused} == {field}


def test_a_key_is_one_event_whoever_enters_it(registry: Registry) -> None:
    cow = add(registry, number="1")
    others = [add(registry, number=f"2{n}") for n in range(WRITERS)]

    def enter(animal: str, key: str) -> str:
        with registry.write() as session:
            row = animals.find(session, CONSOLE, SITE, animal)
            assert row is not None
            return herd_events.enter(session, CONSOLE, row, Told(NOW_MS, Heat()), NOW_MS, key=key)[0].id

    same = at_once(lambda _: enter(cow, "a"))
    assert len(set(same)) == 1  # the cow's row is locked: who comes second finds it
    different = at_once(lambda n: enter(others[n], "b"))
    assert len({one for one in different if isinstance(one, str)}) == 1
    with registry.read() as session:
        assert len(herd_events.list_events(session, CONSOLE, SITE, limit=99)) == 2


def test_moves_at_once_leave_an_animal_in_one_group(registry: Registry) -> None:
    cow = add(registry, number="1")
    with registry.write() as session:
        named = {"name_ja": "群", "name_en": "group", "kind": "other"}
        ids = [groups.add(session, CONSOLE, SITE, named, NOW_MS).id for _ in range(WRITERS)]

    def move(n: int) -> None:
        with registry.write() as session:
            row = animals.find(session, CONSOLE, SITE, cow)
            assert row is not None
            herd_events.enter(session, CONSOLE, row, Told(NOW_MS - n, Move(group=ids[n])), NOW_MS)

    assert at_once(move) == [None] * WRITERS
    with registry.read() as session:
        row = animals.find(session, CONSOLE, SITE, cow)
        assert row is not None
        stays = groups.stays_of(session, CONSOLE, row)
        assert [stay.group_id for stay in stays] == ids
        assert [stay.to_ms for stay in stays] == [None, *(stay.from_ms for stay in stays[:-1])]
        assert row.version == 1 + WRITERS
