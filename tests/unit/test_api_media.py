"""`Accept` as RFC 9110 reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.media import choose, parse

JSON, SENML, CBOR = "application/json", "application/senml+json", "application/senml+cbor"
OFFERED = (JSON, SENML, CBOR)


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (SENML, SENML),
        ("Application/SenML+JSON", SENML),
        (f"{SENML};q=0.5, {CBOR}", CBOR),
        (f"{SENML} ; q=0.5 , {CBOR};q=0.51", CBOR),
        (f"{JSON};q=0, */*", SENML),
        (f"{JSON};q=0, {SENML};q=0.000, application/*;q=0.1", CBOR),
        ("*/*;q=0", None),
        (f"{SENML};q=0", None),
        (f"{SENML};q=0, */*;q=0.1", JSON),
        ("text/html", None),
        ("text/html, */*;q=0.001", JSON),
        (f"{SENML};q=1.5", None),
        (f"{SENML};q=abc, {CBOR};q=0.1", CBOR),
        ("*/json", None),
        (f'{SENML};profile="a,b;q=0", {CBOR};q=0.2', CBOR),
        (f"{SENML};charset=utf-8", SENML),
        (",,;;=, ", None),
        ("application", None),
    ],
)
def test_the_best_form_is_chosen(header: str, chosen: str | None) -> None:
    assert choose(header, OFFERED) == chosen


@given(st.text(max_size=300))
def test_any_header_is_read_and_chooses_something_offered_or_nothing(header: str) -> None:
    assert choose(header, OFFERED) in (*OFFERED, None)


@given(st.lists(st.tuples(st.sampled_from([*OFFERED, "*/*", "application/*"]), st.integers(0, 1000)), max_size=8))
def test_the_chosen_form_is_liked_as_much_as_any_other(wanted: list[tuple[str, int]]) -> None:
    header = ", ".join(f"{name};q={q / 1000:.3f}" for name, q in wanted)
    assert parse(header) == [(*name.split("/"), q / 1000) for name, q in wanted]

    def liked(name: str) -> int:
        for pattern in (name, "application/*", "*/*"):
            qualities = [q for said, q in wanted if said == pattern]
            if qualities:
                return max(qualities)
        return 0

    chosen = choose(header, OFFERED)
    best = max(liked(name) for name in OFFERED)
    if not wanted:
        assert chosen == JSON
    elif best == 0:
        assert chosen is None
    else:
        assert chosen == next(name for name in OFFERED if liked(name) == best)


def test_a_long_header_costs_no_time() -> None:
    assert choose("a/b" + ";x=" * 5_000, OFFERED) is None
    assert choose('a/b;x="' * 3_000, OFFERED) is None
    assert choose("," * 60_000, OFFERED) is None
