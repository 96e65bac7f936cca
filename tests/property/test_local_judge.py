"""The gateway and the centre say the same of a life-safety rule, reading by reading."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.farm import Farm, FarmDevice
from analytics.judge import Judge
from analytics.rules import FarmRules
from gateway.outputs import OutputOptions
from gateway.safety import LocalJudge, Watch
from makiba.reading import Reading, Series
from makiba.rule import Rule, load_rules, tuned
from makiba.settings import configs_dir
from makiba.standing import pace

RULES = {name: rule for name, rule in load_rules(configs_dir() / "rules").items() if rule.life_safety}
EVERY_MS = 10_000
START_MS = 1_700_000_000_000

# Seconds since the reading before, and which level it is at: from plainly good to plainly bad.
STEPS = st.lists(st.tuples(st.sampled_from([1, 10, 10, 10, 60, 119, 121, 600, 1800]), st.integers(0, 4)), max_size=60)


def level(rule: str, step: int) -> float:
    if rule == "gas.o2":
        return (0.209, 0.197, 0.194, 0.185, 0.17)[step]
    return (0.0, 2.9e-6, 4.9e-6, 5e-6, 10e-6)[step]


class Centre:
    """The centre's judge of a farm with one gas sensor, whose every decision is written down at once."""

    def __init__(self, rule: Rule, series: Series) -> None:
        device = FarmDevice(series.subject, "gw-1", "gw-1.b", EVERY_MS, (series.subject,))
        farm = Farm(series.site, frozenset({"gw-1"}), {series.subject: device})
        # What explains a rule holds it back centrally; a siren is never held back.
        alone = rule.model_copy(update={"explained_by": []})
        self._judge = Judge(farm, FarmRules({rule.rule: alone}))
        self._onset_ms: int | None = None
        self._step = 0

    def take(self, reading: Reading) -> None:
        self._judge.feed([reading])
        while decisions := [d for d in self._judge.tick(reading.time_ms) if d.kind != "seen"]:
            for decision in decisions:
                self._judge.confirm(decision)
                is_over = decision.kind == "end"
                self._onset_ms, self._step = (None, 0) if is_over else (decision.onset_ms, decision.step)

    def says(self) -> tuple[int | None, int]:
        return self._onset_ms, self._step


def watch_of(name: str) -> Watch:
    rule = RULES[name]
    (signal,) = rule.signals
    series = Series("farm-1", "pit", rule.signals[signal].quantity or "")
    return Watch(tuned(rule), "pit", {series: signal}, pace(tuned(rule), EVERY_MS), ("siren",))


@pytest.mark.parametrize("name", sorted(RULES))
@given(steps=STEPS)
def test_gateway_and_centre_agree(name: str, steps: list[tuple[int, int]]) -> None:
    watch = watch_of(name)
    (series,) = watch.signals
    local, centre = LocalJudge([watch]), Centre(RULES[name], series)
    now_ms = START_MS
    for seconds, at in steps:
        now_ms += seconds * 1000
        reading = Reading(series, now_ms, level(name, at))
        local.take([reading], now_ms)
        centre.take(reading)
        standing = local.standing(watch.key)
        assert (standing.onset_ms, standing.step) == centre.says(), f"at {now_ms - START_MS} ms"


@given(steps=STEPS)
def test_a_latched_alarm_goes_on_until_a_person_says_so(steps: list[tuple[int, int]]) -> None:
    watch = watch_of("gas.h2s2")
    (series,) = watch.signals
    local, now_ms, was_raised = LocalJudge([watch]), START_MS, False
    for seconds, at in steps:
        now_ms += seconds * 1000
        local.take([Reading(series, now_ms, level("gas.h2s2", at))], now_ms)
        was_raised = was_raised or at == 4
        assert local.wanted("siren", now_ms).alarm == was_raised
    local.reset()
    assert local.wanted("siren", now_ms).alarm == bool(local.raised)


@given(alarm=st.booleans(), blind=st.booleans())
def test_what_is_energised_when_all_is_well_is_let_go_when_nobody_knows(alarm: bool, blind: bool) -> None:
    options: dict[str, Any] = {"gpio": 17}
    fail_safe = OutputOptions(fail_safe="energised-when-ok", **options)
    plain = OutputOptions(fail_safe="energised-on-alarm", **options)
    assert fail_safe.energised(alarm=alarm, blind=blind) is (not alarm and not blind)
    assert plain.energised(alarm=alarm, blind=blind) is alarm


def test_a_sensor_that_falls_silent_is_blind_and_not_well() -> None:
    watch = watch_of("gas.h2s2")
    (series,) = watch.signals
    local = LocalJudge([watch])
    assert local.word(START_MS) == "blind"
    local.take([Reading(series, START_MS, 0.0)], START_MS)
    assert local.word(START_MS + 120_000) == "ok"
    assert local.word(START_MS + 120_001) == "blind"
