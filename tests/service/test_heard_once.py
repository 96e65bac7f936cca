"""What a vendor tells is taken in once, by however many processes at the same moment; on both databases."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from collectors.registry import Registry, open_registry, outbox
from collectors.registry.schema.notify import VendorEvent
from collectors.registry.viewer import Service
from tests.service.postgres_parts import Postgres

ME = Service("api")


@pytest.fixture(params=["sqlite", "postgres"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    url = f"sqlite:{tmp_path / 'registry.db'}"
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.ready("heard_once")
    opened = open_registry(url, migrate=True)
    with opened.write() as session:
        session.execute(delete(VendorEvent))
    yield opened
    opened.close()


def test_an_event_told_to_many_at_once_is_heard_by_one_and_forgotten_after_a_week(registry: Registry) -> None:
    heard: Counter[str] = Counter()
    start = threading.Barrier(4)

    def listen() -> None:
        start.wait()
        for number in range(8):
            event = f"line {number}"
            with registry.write() as session:
                if not outbox.heard_before(session, ME, event, 1_000):
                    heard[event] += 1

    threads = [threading.Thread(target=listen) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert heard == {f"line {number}": 1 for number in range(8)}
    with registry.write() as session:
        assert outbox.heard_before(session, ME, "line 0", outbox.HEARD_MS)
        assert not outbox.heard_before(session, ME, "line 0", 1_000 + outbox.HEARD_MS)


def test_what_was_heard_in_a_transaction_that_failed_was_not_heard(registry: Registry) -> None:
    class Failed(Exception):
        pass

    def fail() -> None:
        with registry.write() as session:
            assert not outbox.heard_before(session, ME, "line x", 1_000)
            raise Failed

    with pytest.raises(Failed):
        fail()
    with registry.write() as session:
        assert not outbox.heard_before(session, ME, "line x", 1_000)
