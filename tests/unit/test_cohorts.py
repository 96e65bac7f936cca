"""What may be published of a group of farms, attacked: random groups, comings and goings, farms of one's own."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.registry.cohorts import (
    BAND,
    COLLUDING,
    Earlier,
    K,
    Party,
    band_of,
    bands_of,
    cohort,
    parties_of,
    told_count,
)
from tests.often import often

numbers = st.floats(0, 1_000).map(lambda v: round(v, 1))


def party(*sites: str) -> Party:
    return frozenset(sites)


@given(st.dictionaries(st.sampled_from([f"s{n}" for n in range(12)]), st.sets(st.integers(0, 8), max_size=3)))
def test_farms_that_share_one_of_their_people_are_one_party(people: dict[str, set[int]]) -> None:
    parties = parties_of(people)
    assert sorted(site for p in parties for site in p) == sorted(people)  # a partition
    where = {site: p for p in parties for site in p}
    for one in people:
        for other in people:
            if people[one] & people[other]:
                assert where[one] == where[other]
    for p in parties:  # and no farm is taken along without a reason
        reached, people_there = {min(p)}, set(people[min(p)])
        while more := {s for s in p - reached if people[s] & people_there}:
            reached |= more
            people_there |= {n for s in more for n in people[s]}
        assert reached == p


@given(st.lists(numbers, max_size=60), st.sampled_from([0.1, 1.0, 5.0]))
def test_each_number_is_a_mean_of_at_least_a_band(values: list[float], step: float) -> None:
    bands = bands_of(values, step)
    assert len(bands) <= len(values) // BAND
    assert list(bands) == sorted(bands)
    if bands:
        whole = sum(values) / len(values)
        assert min(bands) - step <= whole <= max(bands) + step


@given(st.lists(numbers, min_size=BAND, max_size=40), st.integers(0, COLLUDING), st.randoms(use_true_random=False))
def test_three_who_put_their_values_together_learn_of_no_fewer_than_five_others(
    values: list[float], colluding: int, chance: random.Random
) -> None:
    """Two towns that differ in how the values of five others are shared out, with the same sum, look the same."""
    bands = bands_of(values, 0.1)
    if len(bands) != 1:
        return
    own = chance.sample(range(len(values)), colluding)
    others = [n for n in range(len(values)) if n not in own]
    assert len(others) >= K
    one, another = others[:2]
    shift = min(values[one], values[another], 1.0) / 2
    town = list(values)
    town[one], town[another] = town[one] - shift, town[another] + shift
    told = bands_of(town, 0.1)
    assert told == () or len(told) > 1 or abs(told[0] - bands[0]) < 0.11


def test_a_party_that_makes_up_most_of_a_sum_is_not_published() -> None:
    assert bands_of([1.0] * 7 + [100.0], 0.1) == ()
    assert bands_of([1.0] * 7 + [2.0], 0.1) == (1.1,)
    assert len(bands_of([1.0] * 15 + [3.0], 0.1)) == 2
    assert bands_of([1.0] * 15 + [9.0], 0.1) == (1.5,)  # in a band of its neighbours it would stand out
    assert bands_of([0.0] * BAND, 0.1) == (0.0,)


@settings(max_examples=often(300))
@given(st.lists(st.sets(st.integers(0, 30), min_size=0, max_size=31), min_size=2, max_size=12), st.randoms())
def test_whoever_subtracts_two_publications_is_left_with_five_or_nobody(
    history: Sequence[set[int]], chance: random.Random
) -> None:
    """Every sequence of farms that take part: any two published cohorts differ by none or by at least K each way."""
    published: list[Earlier] = []
    for present in history:
        now = {party(f"s{n}") for n in present}
        members = cohort(now, published, chance)
        assert members <= now, "who is not there is in nothing"
        if len(members) < BAND:
            continue  # not published
        for one in published:
            for others in (members - one.parties, one.parties - members):
                assert len(others) == 0 or len(others) >= K
        published.append(Earlier(members))


@given(st.integers(BAND, 30), st.integers(1, K - 1), st.randoms())
def test_farms_that_were_deleted_count_as_gone(count: int, lost: int, chance: random.Random) -> None:
    parties = frozenset(party(f"s{n}") for n in range(count))
    members = cohort(parties, [Earlier(parties, lost)], chance)
    assert lost + len(parties - members) == K


def test_nobody_sits_out_while_nothing_changes_and_few_who_come_wait() -> None:
    parties = frozenset(party(f"s{n}") for n in range(20))
    newcomers = [party(f"new{n}") for n in range(K)]
    chance = random.Random(1)
    assert cohort(parties, [], chance) == parties
    assert cohort(parties, [Earlier(parties)], chance) == parties
    assert cohort({*parties, *newcomers[1:]}, [Earlier(parties)], chance) == parties
    assert cohort({*parties, *newcomers}, [Earlier(parties)], chance) == {*parties, *newcomers}


def test_who_sits_out_is_chosen_by_chance() -> None:
    parties = [party(f"s{n}") for n in range(20)]
    chosen = {cohort(parties[1:], [Earlier(frozenset(parties))], random.Random(seed)) for seed in range(20)}
    assert len(chosen) > 10


def test_the_own_value_is_put_to_the_next_band() -> None:
    assert [band_of(v, (3.0, 4.0, 6.0)) for v in (0.0, 3.4, 3.6, 5.2, 99.0)] == [0, 0, 1, 2, 2]
    assert band_of(1.0, ()) is None


def test_the_number_of_parties_is_told_roughly() -> None:
    assert [told_count(n) for n in (8, 9, 10, 14, 15)] == [5, 5, 10, 10, 15]
