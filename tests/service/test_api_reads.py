"""What guests read is written down: many in one commit, with the rights of that moment, or nothing is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, select

from api.reads import Reads
from collectors.registry import RegistryUnavailable, consent, people, rights_version
from collectors.registry.schema import AuditRow
from collectors.registry.viewer import Limit, Person, limited
from makiba.data_class import DataClass
from tests.parts import wait_until
from tests.service.serving import CONSOLE, OTHER, SITE, Centre

TANK: frozenset[DataClass] = frozenset({"tank"})


@pytest.fixture(params=["sqlite", "postgres"])
def centre(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Centre]:
    url = ""
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").ready(f"reads{abs(hash(request.node.name))}")
    centre = Centre(tmp_path, registry_url=url)
    yield centre
    centre.registry.close()
    centre.store.close()


def viewer(centre: Centre, number: int) -> Person:
    with centre.registry.read() as session:
        found = people.viewer_of(session, CONSOLE, number, centre.clock())
    assert found
    return found


def rows(centre: Centre) -> dict[tuple[str, str, str], int]:
    with centre.registry.read() as session:
        found = session.scalars(select(AuditRow).where(AuditRow.kind == "read")).all()
    return {(r.site_id, r.who, r.data_class): r.count for r in found}


def test_those_who_wait_are_written_down_in_one_commit(centre: Centre) -> None:
    guests = [viewer(centre, centre.person(f"g{n}", password=None, shikaoi_001="coop")) for n in range(8)]
    centre.consent(SITE, "tank", role="coop")
    reads, commits, free = Reads(centre.registry), [], threading.Event()
    event.listen(centre.registry.engine, "commit", lambda _: commits.append(1))

    def hold() -> None:  # whoever comes while somebody commits waits, and is taken along
        with centre.registry.write() as session:
            rights_version.hold(session)
            session.execute(select(AuditRow.id).limit(1))
            held.set()
            free.wait(10)

    held, told = threading.Event(), []
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    asking = [
        threading.Thread(target=lambda g=g: told.append(reads.note(g, {SITE: TANK}, "/x", centre.clock())))
        for g in guests
    ]
    if centre.registry_url:
        reads._leading.acquire()  # PostgreSQL lets two writers at it: somebody commits all the while
    for thread in asking:
        thread.start()
    wait_until(lambda: len(reads._waiting) >= len(guests) - 1, 5, "they wait")
    assert told == []
    if centre.registry_url:
        reads._leading.release()
    free.set()
    for thread in (holder, *asking):
        thread.join(10)
    assert told == [frozenset()] * 8
    assert len(rows(centre)) == 8
    assert len(commits) <= 4  # the holder's, one or two of theirs


def test_a_change_of_rights_is_seen_at_once_and_a_read_says_which_farms_are_gone(centre: Centre) -> None:
    number = centre.person("guest", password=None, shikaoi_001="coop", shikaoi_002="coop")
    given = centre.consent(SITE, "tank", role="coop")
    centre.consent(OTHER, "tank", role="coop")
    guest, reads = viewer(centre, number), Reads(centre.registry)

    def gone() -> frozenset[str]:
        return reads.note(guest, {SITE: TANK, OTHER: TANK}, "/x", centre.clock())

    assert gone() == gone() == frozenset()
    with centre.registry.write() as session:
        consent.withdraw(session, CONSOLE, SITE, given, centre.clock())
    assert gone() == {SITE}
    with centre.registry.write() as session:
        people.revoke_role(session, CONSOLE, number, OTHER, centre.clock())
    assert gone() == {SITE, OTHER}
    assert rows(centre) == {(SITE, f"person:{number}", "tank"): 2, (OTHER, f"person:{number}", "tank"): 3}


def test_a_consent_that_ends_by_itself_ends_for_what_is_remembered_too(centre: Centre) -> None:
    number = centre.person("guest", password=None, shikaoi_001="coop")
    with centre.registry.write() as session:
        consent.give(
            session, CONSOLE, SITE, classes=TANK, now_ms=centre.clock(), role="coop", until_ms=centre.clock() + 1_000
        )
    guest, reads = viewer(centre, number), Reads(centre.registry)
    assert reads.note(guest, {SITE: TANK}, "/x", centre.clock() + 999) == frozenset()
    assert reads.note(guest, {SITE: TANK}, "/x", centre.clock() + 1_000) == {SITE}


def test_a_program_reads_no_more_than_its_token_lets_it(centre: Centre) -> None:
    number = centre.person("guest", password=None, shikaoi_001="coop", shikaoi_002="coop")
    for site in (SITE, OTHER):
        centre.consent(site, "tank", "barn", role="coop")
    program = limited(viewer(centre, number), Limit("t1", "desk", frozenset({SITE}), TANK))
    reads = Reads(centre.registry)
    barn: frozenset[DataClass] = frozenset({"barn"})
    assert reads.note(program, {SITE: barn, OTHER: TANK}, "/x", centre.clock()) == {SITE, OTHER}
    assert reads.note(program, {SITE: TANK}, "/x", centre.clock()) == frozenset()
    assert list(rows(centre)) == [(SITE, f"person:{number}/t1", "tank")]


def test_what_cannot_be_written_down_is_not_told(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    number = centre.person("guest", password=None, shikaoi_001="coop")
    centre.consent(SITE, "tank", role="coop")
    guest, reads = viewer(centre, number), Reads(centre.registry)
    real: Callable[..., object] = centre.registry.write

    def away() -> object:
        raise RegistryUnavailable("away")

    monkeypatch.setattr(centre.registry, "write", away)
    with pytest.raises(RegistryUnavailable):
        reads.note(guest, {SITE: TANK}, "/x", centre.clock())
    monkeypatch.setattr(centre.registry, "write", real)
    assert reads.note(guest, {SITE: TANK}, "/x", centre.clock()) == frozenset()
    assert list(rows(centre).values()) == [1]
