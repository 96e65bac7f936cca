"""Which alerts of many farms are one incident."""

from __future__ import annotations

import random

import pytest

from analytics.incidents import FEWEST, WINDOW_MS, Known, group, incident_id, kind_of
from collectors.registry.incidents import Hit

T0 = 1_763_953_200_000
MIN = 60_000


def hit(farm: int, at_min: float, area: str = "0163400", rule: str = "pow.lost", number: str = "a") -> Hit:
    return Hit(f"{farm:04}{number}", f"farm-{farm}", rule, area, T0 + int(at_min * MIN))


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        ([hit(n, 0.1 * n) for n in range(12)], [12]),
        ([hit(1, 0), hit(2, 1)], []),
        ([hit(1, 0), hit(1, 1, number="b"), hit(1, 2, number="c")], []),  # three boxes of one farm
        ([hit(1, 0), hit(2, 9), hit(3, 18)], [3]),  # each within ten minutes of the next
        ([hit(1, 0), hit(2, 1), hit(3, 12)], []),
        ([hit(n, 0) for n in range(3)] + [hit(n, 60) for n in range(5, 9)], [3, 4]),
        ([hit(n, 0, area="a") for n in range(3)] + [hit(n, 0, area="b") for n in range(5, 8)], [3, 3]),
        ([hit(1, 0, area="a"), hit(2, 0, area="a"), hit(3, 0, area="b")], []),
        ([hit(1, 0), hit(2, 1, rule="gateway.silent"), hit(3, 2)], [3]),
    ],
)
def test_farms_that_are_hit_together_are_one(hits: list[Hit], expected: list[int]) -> None:
    random.Random(1).shuffle(hits)
    grouped = group(hits, [])
    assert [len({h.site for h in one}) for one in grouped.new] == expected
    assert grouped.joins == {}
    assert all(len({h.site for h in one}) >= FEWEST for one in grouped.new)


def test_who_is_hit_later_belongs_to_it_while_it_goes_on() -> None:
    known = [Known("x", "0163400", {"farm-1": T0, "farm-2": T0 + 5 * MIN})]
    late = group([hit(9, 14)], known)
    assert {k: [h.site for h in v] for k, v in late.joins.items()} == {"x": ["farm-9"]}
    assert group([hit(9, 16)], known).joins == {}
    assert group([hit(9, 1, area="elsewhere")], known).joins == {}
    assert group([hit(9, 14)], [Known("x", "0163400", {})]).joins == {}
    # Another alert of a farm that is in it, however late: without power its box goes silent in the end.
    assert set(group([hit(2, 300, rule="gateway.silent")], known).joins) == {"x"}


def test_it_is_about_power_as_soon_as_one_farm_says_so() -> None:
    assert kind_of(["gateway.silent", "gateway.silent"]) == "link"
    assert kind_of(["gateway.silent", "pow.lost"]) == "power"


def test_its_id_does_not_depend_on_who_finds_it() -> None:
    hits = [hit(n, n) for n in range(5)]
    assert incident_id("a", hits) == incident_id("a", list(reversed(hits)))
    assert incident_id("a", hits) != incident_id("a", hits[1:])
    assert WINDOW_MS == 10 * MIN
