"""A minute of everything that can happen to six gateways, and that the judgement of it can fail."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from tests.chaos.network import why_not
from tests.chaos.town_plan import plan
from tests.chaos.town_verdict import Life, Stored, Verdict, judge
from tests.parts import ROOT

LACKS = why_not()
WALL_S = 1_800_000_000.0
LIFE = Life("gw-0", WALL_S, [(n, 10.0 + n) for n in range(1, 31)], end_s=60.0)


@pytest.mark.long
@pytest.mark.timeout(480)
@pytest.mark.skipif(bool(LACKS), reason=LACKS or "nothing is lacking")
def test_a_minute_of_everything_leaves_every_sample_stored_once() -> None:
    town = subprocess.run(
        [sys.executable, "-m", "tests.chaos.town", "--minutes", "1", "--gateways", "6", "--seed", "20261124"],
        cwd=ROOT, capture_output=True, text=True, timeout=460, check=False,
    )  # fmt: skip
    assert town.returncode == 0, town.stdout + town.stderr[-6000:]
    assert "every sample is stored exactly once" in town.stdout


def test_a_plan_is_the_same_for_the_same_seed_and_has_every_kind() -> None:
    faults = plan(7, 1800, 2.5, "influx1", 20)
    assert faults == plan(7, 1800, 2.5, "influx1", 20)
    assert faults != plan(8, 1800, 2.5, "influx1", 20)
    assert all(fault.at_s >= 0 and fault.at_s + fault.lasts_s <= 1800 for fault in faults)
    assert {"kill", "stop", "disk-full", "loss", "cut-in", "cut-out", "link-down", "delay", "clock-step"} <= {
        fault.kind for fault in faults
    }
    assert {"gw-3", "broker", "relay", "collector-1", "collector-2", "influxd"} <= {fault.target for fault in faults}


# ------------------------------------------------------------------------------------------------ the judgement


def rows(*, off_s: float = 0.0, without: tuple[int, ...] = (), points: int = 2) -> Stored:
    """As a gateway stores it that stamps 20 ms after each answer."""
    one = [(round((WALL_S + at + 0.02 + off_s) * 1000), float(n)) for n, at in LIFE.served if n not in without]
    return {point: list(one) for point in range(points)}


def figures(verdict: Verdict) -> dict[str, int]:
    names = ("lost", "doubled", "altered", "cut_off", "not_measured")
    return {name: count for name in names if (count := getattr(verdict, name))}


def test_what_is_as_it_should_be_is_good() -> None:
    verdict = judge(LIFE, rows(), [])
    assert (verdict.sampled, verdict.stored, figures(verdict), verdict.wrong) == (60, 60, {}, [])


def test_a_missing_number_is_lost_unless_a_death_or_a_state_explains_it() -> None:
    stored = rows(without=(12,))
    assert figures(judge(LIFE, stored, [])) == {"lost": 2}
    assert judge(LIFE, stored, []).wrong == ["gw-0.p0: 12 is lost", "gw-0.p1: 12 is lost"]
    assert figures(judge(replace(LIFE, deaths=[(22.1, 22.9)]), stored, [])) == {"cut_off": 2}
    assert figures(judge(replace(LIFE, deaths=[(24.1, 24.9)]), stored, [])) == {"lost": 2}
    between_ms = round((WALL_S + 22.5) * 1000)
    assert figures(judge(LIFE, stored, [(between_ms, "timeout"), (between_ms + 700, "ok")])) == {"not_measured": 2}
    assert figures(judge(LIFE, stored, [(between_ms, "ok")])) == {"lost": 2}
    assert figures(judge(LIFE, stored, [(between_ms + 5000, "timeout")])) == {"lost": 2}


def test_a_number_stored_twice_is_doubled() -> None:
    stored = {0: [*rows()[0], (rows()[0][-1][0] + 500, 30.0)]}
    verdict = judge(LIFE, stored, [])
    assert verdict.doubled == 1
    assert "gw-0.p0: 30 is stored 2 times" in verdict.wrong


def test_a_number_that_nobody_measured_or_at_a_wrong_time_is_altered() -> None:
    foreign = {0: [*rows()[0][:-1], (rows()[0][-1][0], 30.5)]}
    assert judge(LIFE, foreign, []).altered == 1
    assert judge(LIFE, rows(off_s=-0.2, points=1), []).altered == 30
    assert judge(LIFE, rows(off_s=5.0, points=1), []).altered == 30
    # Stopped until 18.0, it may read then what came before; the first five are stamped until 20.0.
    assert judge(replace(LIFE, stops=[(12.0, 18.0)]), rows(off_s=5.0, points=1), []).altered == 25


def test_a_clock_that_was_set_is_followed_and_time_never_runs_back() -> None:
    ahead = replace(LIFE, steps=[(5.0, 3600.0)])
    assert not judge(ahead, rows(off_s=3600.0), []).wrong
    assert judge(ahead, rows(), []).altered
    # Set back by 20 s at 25.0: half speed for 40 s, so that nothing is stamped before what was there.
    back = replace(LIFE, steps=[(25.0, -20.0)])
    absorbed = [(n, at if at <= 25 else 25 + (at - 25) / 2) for n, at in LIFE.served]
    stamped = {0: [(round((WALL_S + at + 0.02) * 1000), float(n)) for n, at in absorbed]}
    assert not judge(back, stamped, []).wrong
    jumped = [(n, at if at <= 25 else at - 20) for n, at in LIFE.served]
    backwards = {0: sorted((round((WALL_S + at + 0.02) * 1000), float(n)) for n, at in jumped)}
    assert judge(back, backwards, []).altered


def test_a_clock_that_was_set_back_while_the_gateway_was_dead_is_absorbed_from_its_return_on() -> None:
    served = [(n, at) for n, at in LIFE.served if not 15.0 < at < 35.0]
    life = replace(LIFE, served=served, deaths=[(15.1, 15.9)], steps=[(5.0, 60.0), (16.0, 0.0)])
    said = [(n, at + 60 if at < 16 else 35 + 60 + (at - 35) / 2) for n, at in served if at > 11]
    stamped = {0: [(round((WALL_S + at + 0.02) * 1000), float(n)) for n, at in said]}
    verdict = judge(life, stamped, [])
    assert verdict.altered == 0, verdict.wrong
