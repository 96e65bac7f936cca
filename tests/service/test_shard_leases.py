"""Shards of the farms are leased: one holder each, shared out evenly; an old one cannot write. On both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from collectors.registry import Registry, leases, open_registry
from collectors.registry.leases import LeaseLost, Leases
from collectors.registry.schema.leases import ShardLease, WatchWorker
from collectors.registry.viewer import Service
from makiba.topics import SHARDS
from tests.service.postgres_parts import Postgres

ME = Service("analytics")
ALL = frozenset(range(SHARDS))


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> str:
    return postgres.ready("leases")


@pytest.fixture(params=["sqlite", "postgres"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    is_postgres = request.param == "postgres"
    url = request.getfixturevalue("database") if is_postgres else f"sqlite:{tmp_path / 'registry.db'}"
    made = open_registry(url, migrate=True)
    with made.write() as session:
        session.execute(delete(ShardLease))
        session.execute(delete(WatchWorker))
    yield made
    made.close()


def renew(registry: Registry, worker: str) -> Leases:
    with registry.write() as session:
        return leases.renew(session, ME, worker)


def give_back_surplus(registry: Registry, worker: str, held: Leases) -> None:
    shards = sorted(held.shards)[len(held.shards) - held.surplus :]
    with registry.write() as session:
        leases.give_back(session, ME, worker, {s: held.fences[s] for s in shards}, leaves=False)


def let_time_pass(registry: Registry, worker: str) -> None:
    """As if `worker` had not renewed for a while."""
    with registry.write() as session:
        session.execute(update(ShardLease).where(ShardLease.holder == worker).values(until_ms=1))
        session.execute(update(WatchWorker).where(WatchWorker.name == worker).values(until_ms=1))


def test_one_worker_has_all_and_each_that_comes_gets_its_even_part(registry: Registry) -> None:
    assert renew(registry, "a").shards == ALL
    for workers in (["a", "b"], ["a", "b", "c"]):
        for _ in range(3):
            for worker in workers:
                give_back_surplus(registry, worker, renew(registry, worker))
        held = [renew(registry, worker).shards for worker in workers]
        assert frozenset().union(*held) == ALL
        assert sum(map(len, held)) == SHARDS
        assert max(map(len, held)) - min(map(len, held)) <= 1


def test_a_worker_that_is_gone_is_followed_and_cannot_write_when_it_wakes(registry: Registry) -> None:
    old = renew(registry, "old")
    with registry.write() as session:
        leases.require_held(session, ME, "old", old.fences)
    assert renew(registry, "new").shards == frozenset()
    let_time_pass(registry, "old")
    new = renew(registry, "new")
    assert new.shards == ALL
    assert all(new.fences[s] > old.fences[s] for s in ALL)
    with pytest.raises(LeaseLost) as lost, registry.write() as session:
        leases.require_held(session, ME, "old", {3: old.fences[3]})
    assert lost.value.shards == {3}
    let_time_pass(registry, "new")
    assert renew(registry, "old").shards == ALL
    with pytest.raises(LeaseLost), registry.write() as session:  # what it judged under the old number is of no use
        leases.require_held(session, ME, "old", old.fences)


def test_who_leaves_gives_back_at_once(registry: Registry) -> None:
    held = renew(registry, "a")
    with registry.write() as session:
        leases.give_back(session, ME, "a", held.fences, leaves=True)
    assert renew(registry, "b").shards == ALL


def test_a_shard_is_not_taken_in_the_middle_of_a_write(registry: Registry) -> None:
    """Its holder has looked and not committed yet: whoever takes over waits for that."""
    held = renew(registry, "old")
    let_time_pass(registry, "old")
    taken: list[Leases] = []
    other = threading.Thread(target=lambda: taken.append(renew(registry, "new")))
    with registry.write() as session:
        leases.require_held(session, ME, "old", held.fences)
        other.start()
        other.join(0.3)
        assert taken == []
    other.join(30)
    assert taken[0].shards == ALL


def test_a_crowd_of_workers_never_holds_one_shard_twice(registry: Registry) -> None:
    found: dict[str, Leases] = {}

    def work(name: str) -> None:
        for _ in range(6):
            found[name] = renew(registry, name)
            give_back_surplus(registry, name, found[name])

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for _ in range(4):
        held = [renew(registry, f"w{i}") for i in range(4)]
        for i, one in enumerate(held):
            give_back_surplus(registry, f"w{i}", one)
    parts = [renew(registry, f"w{i}").shards for i in range(4)]
    assert sorted(s for part in parts for s in part) == sorted(ALL)
    assert all(len(part) == SHARDS // 4 for part in parts)
