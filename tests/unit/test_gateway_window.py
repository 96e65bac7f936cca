"""Which batch goes next: live first, the backlog in order and at its rate, nothing forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.packs import Batch
from gateway.window import Window, WindowRules
from makiba.wire import BatchId
from tests.often import often

HOT, CARD = "a" * 16, "c" * 16


def batches(*numbers: int, spool: str = HOT) -> list[Batch]:
    return [Batch(BatchId(spool, n), 1, b"[]") for n in numbers]


def ids(window: Window, now_s: float) -> list[BatchId]:
    found = []
    while sending := window.next(now_s, 0.5):
        found.append(sending.batch.id)
    return found


def sent(window: Window, now_s: float) -> list[int]:
    return [i.number for i in ids(window, now_s)]


def fill(window: Window, waiting: Sequence[int]) -> None:
    """Answers what the window asks of the journal."""
    asked = window.wanted()
    if asked:
        after, upto, limit = asked
        window.page(batches(*[n for n in waiting if after < n <= upto][:limit], spool=CARD), asked)


def opened(card: int, *hot: int, rules: WindowRules | None = None) -> Window:
    window = Window(rules or WindowRules())
    window.opened(HOT, batches(*hot))
    window.card_opened(CARD, card)
    return window


def test_nothing_goes_while_the_link_is_down() -> None:
    window = opened(3)
    window.committed(batches(4))
    assert sent(window, 0.0) == []
    assert window.wanted() is None
    assert window.wake_s(0.0) is None


def test_live_goes_before_the_backlog_and_the_backlog_oldest_first_at_its_rate() -> None:
    window = opened(5, rules=WindowRules(backlog_per_s=10))
    window.connect()
    fill(window, [2, 3, 5])
    window.committed(batches(6))
    assert sent(window, 0.0) == [6, 2]
    assert window.acknowledged(BatchId(CARD, 2), 0.02)
    assert sent(window, 0.05) == []
    assert window.wake_s(0.05) is not None
    assert sent(window, 0.11) == [3]
    assert sent(window, 0.22) == [5]
    fill(window, [2, 3, 5])
    assert window.wanted() is None


def test_the_backlog_takes_half_of_the_window_and_live_all_of_it() -> None:
    window = opened(9, rules=WindowRules(size=4, backlog_size=2, backlog_per_s=1e9))
    window.connect()
    fill(window, range(1, 10))
    assert [n for t in (0.0, 0.1, 0.2) for n in sent(window, t)] == [1]
    assert window.acknowledged(BatchId(CARD, 1), 0.2)
    assert [n for t in (0.2, 0.25) for n in sent(window, t)] == [2, 3]
    window.committed(batches(10, 11, 12))
    assert sent(window, 0.3) == [10, 11]
    assert window.acknowledged(BatchId(HOT, 10), 0.3)
    assert sent(window, 0.4) == [12]


def test_a_busy_centre_gets_less_of_the_backlog_and_all_that_is_live() -> None:
    rules = WindowRules(backlog_size=8, backlog_per_s=1e9, resend_s=10, prompt_s=1)
    window = opened(40, rules=rules)
    window.connect()
    now_s, on_the_way = 0.0, []
    for _ in range(8):  # prompt answers: one more each time
        fill(window, range(1, 41))
        went = [n for t in range(8) for n in sent(window, now_s + t / 1e6)]
        on_the_way += went
        assert window.acknowledged(BatchId(CARD, on_the_way.pop(0)), now_s + 0.05)
        now_s += 0.05
    fill(window, range(1, 41))
    on_the_way += [n for t in range(8) for n in sent(window, now_s + t / 1e6)]
    assert len(on_the_way) == 8
    now_s += 4
    for number in on_the_way[:4]:  # late ones: 8, 4, 2, 1
        assert window.acknowledged(BatchId(CARD, number), now_s)
    assert sent(window, now_s) == []
    for number in on_the_way[4:]:  # and then pauses: 4 s, 8 s, at most `resend_s`
        assert window.acknowledged(BatchId(CARD, number), now_s)
    fill(window, range(1, 41))
    (first,) = [n for t in range(8) for n in sent(window, now_s + t / 1e6)]
    assert window.acknowledged(BatchId(CARD, first), now_s + 0.5)
    wake_s = window.wake_s(now_s + 0.5)
    assert wake_s is not None
    assert 8 < wake_s < 12
    window.committed(batches(90, 91))
    assert sent(window, now_s + 0.6) == [90, 91]
    went_on = now_s + 11
    found = 0
    while found < 12:  # prompt again: soon as before
        fill(window, range(1, 41))
        for number in sent(window, went_on):
            found += 1
            window.acknowledged(BatchId(CARD, number), went_on + 0.1)
        went_on += 0.2
    assert went_on < now_s + 45


def test_a_batch_without_an_answer_goes_again_after_n_seconds() -> None:
    window = opened(0, rules=WindowRules(resend_s=10))
    window.connect()
    window.committed(batches(1, 2))
    assert sent(window, 0.0) == [1, 2]
    assert sent(window, 9.9) == []
    assert window.wake_s(4.0) == 6.0
    assert window.acknowledged(BatchId(HOT, 1), 4.0)
    assert sent(window, 10.0) == [2]
    window.committed(batches(3))
    assert sent(window, 12.0) == [3]
    assert sent(window, 21.9) == []
    assert sent(window, 22.0) == [3]  # its first time, though another one waits longer
    assert sent(window, 29.9) == []
    assert window.wake_s(29.0) == 1.0
    assert sent(window, 30.0) == [2]  # twice as long, and then four times
    assert sent(window, 42.0) == [3]
    assert sent(window, 69.9) == []
    assert sent(window, 70.0) == [2]
    assert sent(window, 109.9) == [3]
    assert sent(window, 110.0) == [2]
    assert not window.acknowledged(BatchId(HOT, 1), 4.0)


def test_a_broken_link_makes_everything_backlog_and_what_is_in_memory_is_its_beginning() -> None:
    window = opened(3, rules=WindowRules(backlog_per_s=1e9))
    window.connect()
    window.committed(batches(1, 2))
    assert sent(window, 0.0) == [1, 2]
    window.disconnect()
    window.committed(batches(3))
    window.connect()
    fill(window, [3])
    went = []
    for t in range(1, 6):
        for found in ids(window, float(t)):
            went.append(found)
            window.acknowledged(found, t + 0.5)
    assert went == [
        *(BatchId(HOT, n) for n in (1, 2, 3)),
        BatchId(CARD, 3),
    ]


def test_what_went_to_the_journal_goes_from_there_and_its_old_number_no_more() -> None:
    window = opened(7, rules=WindowRules(backlog_per_s=1e9))
    window.connect()
    fill(window, [])
    window.committed(batches(1, 2, 3))
    assert sent(window, 0.0) == [1, 2, 3]
    window.journaled(2, 8)
    fill(window, [8])
    assert ids(window, 1.0) == [BatchId(CARD, 8)]
    assert ids(window, 10.0) == [BatchId(HOT, 3)]


def test_a_held_batch_waits_until_its_time_is_known() -> None:
    window = opened(0)
    window.connect()
    held = Batch(BatchId(HOT, 1), 1, b"[]", is_held=True)
    window.committed([held])
    assert sent(window, 0.0) == []
    window.committed(batches(1))
    assert sent(window, 0.0) == [1]


def test_while_nobody_listens_one_batch_a_second_asks_and_everything_goes_once_somebody_does() -> None:
    window = opened(0)
    window.connect()
    window.committed(batches(1, 2, 3))
    assert sent(window, 0.0) == [1, 2, 3]
    for number in (1, 2, 3):
        window.nobody_listens(BatchId(HOT, number), 0.01, 1.0)
    wake_s = window.wake_s(0.02)
    assert wake_s is not None
    assert wake_s < 1.0
    assert sent(window, 0.5) == []
    assert sent(window, 0.8) == [1]  # a probe
    window.nobody_listens(BatchId(HOT, 1), 0.81, 1.0)
    assert sent(window, 2.0) == []
    assert sent(window, 2.4) == [2]
    assert window.acknowledged(BatchId(HOT, 2), 2.4)
    assert sorted(sent(window, 2.41)) == [1, 3]


def test_pauses_for_nobody_grow_and_end() -> None:
    window = opened(0)
    window.connect()
    window.committed(batches(1))
    assert sent(window, 0.0) == [1]
    now_s, pauses = 0.0, []
    for _ in range(8):
        window.nobody_listens(BatchId(HOT, 1), now_s, 1.0)
        pause_s = window.wake_s(now_s)
        assert pause_s is not None
        pauses.append(pause_s)
        now_s += pause_s + 0.001
        assert sent(window, now_s) == [1]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 10.0


class Delivery(RuleBasedStateMachine):
    """Against a set: whatever happens, what is not acknowledged can still be sent, and nothing acknowledged is."""

    def __init__(self) -> None:
        super().__init__()
        self.window = opened(
            0, rules=WindowRules(size=4, backlog_size=2, resend_s=10, backlog_per_s=100, live_most=5, page_size=3)
        )
        self.hot: list[int] = []
        self.card: list[int] = []
        self.under_way: list[BatchId] = []
        self.number, self.card_number, self.now_s = 0, 0, 0.0

    @rule(count=st.integers(1, 4))
    def commit(self, count: int) -> None:
        numbers = list(range(self.number + 1, self.number + count + 1))
        self.number += count
        self.hot += numbers
        self.window.committed(batches(*numbers))

    @rule(share=st.floats(0, 1))
    def move_to_the_journal(self, share: float) -> None:
        moved = self.hot[: int(len(self.hot) * share)]
        if moved:
            self.hot = self.hot[len(moved) :]
            self.card_number += 1
            self.card.append(self.card_number)
            self.under_way = [i for i in self.under_way if i.spool == CARD or i.number > moved[-1]]
            self.window.journaled(moved[-1], self.card_number)

    @rule()
    def merge_the_journal(self) -> None:
        if len(self.card) > 1:
            self.card_number += 1
            self.card = [self.card_number]
            self.window.journaled(0, self.card_number)

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
        fill(self.window, self.card)

    @rule(seconds=st.floats(0, 12))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        for sent_id in ids(self.window, self.now_s):
            # A batch of the journal that was merged meanwhile may go out once more; none of the hot file's may.
            assert sent_id.spool == CARD or sent_id.number in self.hot
            if sent_id not in self.under_way:
                self.under_way.append(sent_id)

    @rule(pick=st.integers(0, 10))
    def acknowledge(self, pick: int) -> None:
        if self.under_way:
            batch = self.under_way.pop(pick % len(self.under_way))
            where = self.hot if batch.spool == HOT else self.card
            if batch.number in where:
                where.remove(batch.number)
            assert self.window.acknowledged(batch, self.now_s)

    @rule(pick=st.integers(0, 10))
    def have_nobody(self, pick: int) -> None:
        if self.under_way:
            self.window.nobody_listens(self.under_way[pick % len(self.under_way)], self.now_s, 0.5)

    @invariant()
    def the_window_is_not_too_large(self) -> None:
        assert len(self.under_way) <= 4

    def teardown(self) -> None:
        """With a link that works, everything arrives, each batch at most once more."""
        self.window.connect()
        for _ in range(4 * (len(self.hot) + len(self.card)) + 8):
            fill(self.window, self.card)
            self.now_s += 0.1
            for batch in ids(self.window, self.now_s):
                (self.hot if batch.spool == HOT else self.card).remove(batch.number)
                assert self.window.acknowledged(batch, self.now_s)
        assert (self.hot, self.card) == ([], [])


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=often(60), stateful_step_count=40, deadline=None)
