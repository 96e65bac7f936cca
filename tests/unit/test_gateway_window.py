"""Which batch goes next: live first, the backlog in order and at its rate, nothing forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.spool_file import Batch
from gateway.window import Window, WindowRules
from makiba.wire import BatchId


def batches(*numbers: int) -> list[Batch]:
    return [Batch(BatchId("a" * 16, n), 1, b"[]") for n in numbers]


def sent(window: Window, now_s: float) -> list[int]:
    found = []
    while sending := window.next(now_s, 0.5):
        found.append(sending.batch.id.number)
    return found


def fill(window: Window, waiting: Sequence[int]) -> None:
    """Answers what the window asks of the file."""
    asked = window.wanted()
    if asked:
        after, upto, limit = asked
        window.page(batches(*[n for n in waiting if after < n <= upto][:limit]), asked)


def test_nothing_goes_while_the_link_is_down() -> None:
    window = Window()
    window.opened(3)
    window.committed(batches(4))
    assert sent(window, 0.0) == []
    assert window.wanted() is None
    assert window.wake_s(0.0) is None


def test_live_goes_before_the_backlog_and_the_backlog_oldest_first_at_its_rate() -> None:
    window = Window(WindowRules(backlog_per_s=10))
    window.opened(5)
    window.connect()
    fill(window, [2, 3, 5])
    window.committed(batches(6))
    assert sent(window, 0.0) == [6, 2]
    assert sent(window, 0.05) == []
    assert window.wake_s(0.05) is not None
    assert sent(window, 0.11) == [3]
    assert sent(window, 0.22) == [5]
    fill(window, [2, 3, 5, 6])
    assert window.wanted() is None


def test_the_backlog_takes_half_of_the_window_and_live_all_of_it() -> None:
    window = Window(WindowRules(size=4, backlog_size=2, backlog_per_s=1e9))
    window.opened(9)
    window.connect()
    fill(window, range(1, 10))
    assert [n for t in (0.0, 0.1, 0.2) for n in sent(window, t)] == [1, 2]
    window.committed(batches(10, 11, 12))
    assert sent(window, 0.3) == [10, 11]
    assert window.acknowledged(10)
    assert sent(window, 0.4) == [12]


def test_a_batch_without_an_answer_goes_again_after_n_seconds() -> None:
    window = Window(WindowRules(resend_s=10))
    window.connect()
    window.committed(batches(1, 2))
    assert sent(window, 0.0) == [1, 2]
    assert sent(window, 9.9) == []
    assert window.wake_s(4.0) == 6.0
    assert window.acknowledged(1)
    assert sent(window, 10.0) == [2]
    assert sent(window, 19.9) == []
    assert not window.acknowledged(1)


def test_a_broken_link_makes_everything_backlog() -> None:
    window = Window(WindowRules(backlog_per_s=1e9))
    window.connect()
    window.committed(batches(1, 2))
    assert sent(window, 0.0) == [1, 2]
    window.disconnect()
    window.committed(batches(3))
    window.connect()
    fill(window, [1, 2, 3])
    assert [n for t in range(1, 5) for n in sent(window, float(t))] == [1, 2, 3]


class Delivery(RuleBasedStateMachine):
    """Against a set: whatever happens, what is not acknowledged can still be sent, and nothing acknowledged is."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(
            WindowRules(size=4, backlog_size=2, resend_s=10, backlog_per_s=100, live_most=5, page_size=3)
        )
        self.waiting: list[int] = []
        self.under_way: list[int] = []
        self.number, self.now_s = 0, 0.0

    @rule(count=st.integers(1, 4))
    def commit(self, count: int) -> None:
        numbers = list(range(self.number + 1, self.number + count + 1))
        self.number += count
        self.waiting += numbers
        self.window.committed(batches(*numbers))

    @rule()
    def connect(self) -> None:
        self.window.connect()
        self.under_way = []

    @rule()
    def disconnect(self) -> None:
        self.window.disconnect()
        self.under_way = []

    @rule()
    def answer_a_page(self) -> None:
        fill(self.window, self.waiting)

    @rule(seconds=st.floats(0, 12))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        for number in sent(self.window, self.now_s):
            assert number in self.waiting
            if number not in self.under_way:
                self.under_way.append(number)

    @rule(pick=st.integers(0, 10))
    def acknowledge(self, pick: int) -> None:
        if self.under_way:
            number = self.under_way.pop(pick % len(self.under_way))
            self.waiting.remove(number)
            assert self.window.acknowledged(number)

    @invariant()
    def the_window_is_not_too_large(self) -> None:
        assert len(self.under_way) <= 4

    def teardown(self) -> None:
        """With a link that works, everything arrives, each batch at most once more."""
        self.window.connect()
        self.under_way = []
        for _ in range(3 * len(self.waiting) + 5):
            fill(self.window, self.waiting)
            self.now_s += 0.1
            for number in sent(self.window, self.now_s):
                self.waiting.remove(number)
                assert self.window.acknowledged(number)
        assert self.waiting == []


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
