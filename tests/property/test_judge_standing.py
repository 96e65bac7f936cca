"""The scalar judge against a model that looks at the whole history each time."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from makiba.standing import Held, Pace, Standing, Truths, observe, settle

FOR, CLEAR, STALE = 50, 30, 40
PACE = Pace(FOR, CLEAR, STALE)

# (time since the reading before, what it says): high raises, low clears, middle does neither, bad is unknown.
READINGS = st.lists(st.tuples(st.integers(1, 60), st.sampled_from(["high", "low", "middle", "bad"])), max_size=60)


def says(word: str) -> Truths:
    return {
        "high": Truths(True, False),
        "low": Truths(False, True),
        "middle": Truths(False, False),
        "bad": Truths(None, None),
    }[word]


@dataclass
class Model:
    """Knows every reading so far, and since when a problem is raised."""

    history: list[tuple[int, str]] = field(default_factory=list)
    onset: int | None = None

    def since(self, word: str) -> int | None:
        """Since when readings say `word` without another one or a hole between them; bad ones are passed over."""
        run: list[int] = []
        for time, said in reversed([h for h in self.history if h[1] != "bad"]):
            if said != word or (self.onset is not None and word == "low" and time <= self.onset):
                break
            if run and run[-1] - time > STALE:
                break
            run.append(time)
        return run[-1] if run else None


def step(model: Model, standing: Standing, gap: int, word: str) -> tuple[Standing, list[str], list[str]]:
    """One reading and a look at the clock right after it: what the judge did, what the model says it should."""
    now = (model.history[-1][0] if model.history else 1000) + gap
    did: list[str] = []
    should: list[str] = []
    # An end that was due before this reading came.
    low_since = model.since("low")
    known = [t for t, w in model.history if w != "bad"]
    if model.onset is not None and low_since is not None and now - low_since >= CLEAR and now - known[-1] <= STALE:
        should.append(f"end {low_since + CLEAR}")
        model.onset = None
    standing = observe(PACE, standing, says(word), now)
    if standing.end_ms is not None:
        verdict = settle(PACE, standing, says(word), now)
        assert verdict
        did.append(f"{verdict.kind} {verdict.at_ms}")
        standing = standing.ended()
    model.history.append((now, word))
    verdict = settle(PACE, standing, says(word), now)
    if verdict:
        did.append(f"{verdict.kind} {verdict.at_ms}")
        standing = standing.raised(verdict.at_ms) if verdict.kind == "raise" else standing.ended()
    high, low = model.since("high"), model.since("low")
    if model.onset is None and word == "high" and high is not None and now - high >= FOR:
        should.append(f"raise {high}")
        model.onset = high
    elif model.onset is not None and word == "low" and low is not None and now - low >= CLEAR:
        should.append(f"end {low + CLEAR}")
        model.onset = None
    return standing, did, should


@given(READINGS)
def test_the_judge_says_what_the_whole_history_says(readings: list[tuple[int, str]]) -> None:
    model, standing = Model(), Standing()
    for gap, word in readings:
        standing, did, should = step(model, standing, gap, word)
        assert did == should


@given(READINGS)
def test_what_is_not_confirmed_is_decided_again(readings: list[tuple[int, str]]) -> None:
    model, standing = Model(), Standing()
    for gap, word in readings:
        standing, _, _ = step(model, standing, gap, word)
        now = model.history[-1][0]
        assert settle(PACE, standing, says(word), now) == settle(PACE, standing, says(word), now)


@given(READINGS, st.integers(0, 60))
def test_unknown_raises_nothing_and_ends_nothing(readings: list[tuple[int, str]], later: int) -> None:
    model, standing = Model(), Standing()
    for gap, word in readings:
        standing, _, _ = step(model, standing, gap, word)
    now = (model.history[-1][0] if model.history else 0) + later
    assert settle(PACE, standing, says("bad"), now) is None


def test_a_hole_longer_than_a_value_is_good_for_begins_anew() -> None:
    held = Held().after(True, 100, 40).after(True, 130, 40)
    assert held.since_ms == 100
    assert held.after(True, 171, 40).since_ms == 171
