"""Every rule of the catalogue in its situations: raised in time, silent where it has to be, over when it is over."""

from __future__ import annotations

import pytest

from tests.rule_cases import CASES
from tests.rule_page import PAGE, page
from tests.rule_parts import Case, check, check_also, rules, silly

ELSEWHERE = {"bus.down", "device.silent", "gateway.silent", "sensor.fault"}
"""Rules about devices: their situations are in test_rule_on_a_farm.py and on the simulated farm."""


def test_every_rule_has_situations_in_which_it_is_raised_is_silent_and_is_over() -> None:
    assert {case.rule for case in CASES} == set(rules()) - ELSEWHERE
    for case in CASES:
        assert silly(case), f"{case.rule}: no situation in which it must be silent"
        assert case.good, f"{case.rule}: nothing that ends it"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_it_is_raised_in_time_and_is_over(case: Case) -> None:
    check(case)
    for situation, at in case.also:
        check_also(case, situation, at)


@pytest.mark.parametrize(
    ("case", "what"), [(case, what) for case in CASES for what in silly(case)],
    ids=[f"{case.rule}: {what}" for case in CASES for what in silly(case)],
)  # fmt: skip
def test_nobody_is_woken(case: Case, what: str) -> None:
    bench = silly(case)[what]()
    assert not bench.happened("open"), f"{case.rule} is raised by: {what}"


def test_the_page_of_alerts_says_what_the_rules_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m tests.rule_page"
