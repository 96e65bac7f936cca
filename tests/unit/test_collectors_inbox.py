"""The collector's inbox between the network's thread and the worker's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from collectors import inbox as module
from collectors.inbox import Inbox
from tests.parts import wait_until


class Item:
    qos = 1


def items(count: int) -> list[Any]:
    return [Item() for _ in range(count)]


def test_a_connection_that_breaks_while_packs_are_gathered_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.3)
    inbox = Inbox(100, enough=50)
    with ThreadPoolExecutor(1) as worker:
        inbox.put(items(1))
        assert len(inbox.take(50)) == 1  # what comes next is gathered
        inbox.put(items(1))
        taken = worker.submit(inbox.take, 50)
        wait_until(lambda: inbox._wanted == 50, what="the worker gathers")
        inbox.forget()
        wait_until(lambda: inbox._wanted == 1 or taken.done(), what="the worker waits for something again")
        inbox.put(items(2))
        assert taken.result(10)


def test_what_is_in_it_at_the_end_is_given_out_and_then_nothing() -> None:
    inbox = Inbox(100, enough=50)
    inbox.put(items(3))
    inbox.end()
    assert len(inbox.take(2)) == 2
    assert len(inbox.take(2)) == 1
    assert inbox.take(2) == []
