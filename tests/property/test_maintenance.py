"""Maintenance windows: what they are about, and when."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from collectors.registry.maintenance_times import Farm, Target, Whereabouts, Window, spans_of, under_maintenance

FARM = Farm({"pt.ch1": Whereabouts("pt", "tank-room"), "pt.ch2": Whereabouts("pt", "barn-1")})
TARGETS: st.SearchStrategy[Target] = st.sampled_from(
    [
        ("site", ""),
        ("device", "pt"),
        ("device", "fan"),
        ("place", "barn-1"),
        ("subject", "pt.ch1"),
        ("subject", "fan"),
    ]
)
WINDOWS = st.lists(
    st.builds(
        lambda name, targets, start, length: Window(name, targets, start, start + length),
        st.text("abc", min_size=1, max_size=3), st.frozensets(TARGETS, min_size=1), st.integers(0, 50),
        st.integers(0, 20),
    ),
    max_size=5,
)  # fmt: skip
ABOUT: dict[Target, set[str]] = {
    ("site", ""): {"pt.ch1", "pt.ch2", "fan", "nobody.ch1"}, ("device", "pt"): {"pt.ch1", "pt.ch2"},
    ("device", "fan"): {"fan"}, ("place", "barn-1"): {"pt.ch2"}, ("subject", "pt.ch1"): {"pt.ch1"},
    ("subject", "fan"): {"fan"},
}  # fmt: skip


@given(WINDOWS, st.sampled_from(["pt.ch1", "pt.ch2", "fan", "nobody.ch1"]), st.integers(0, 80))
def test_a_window_is_about_what_it_names_from_its_beginning_until_its_end(
    windows: list[Window], subject: str, at: int
) -> None:
    found = under_maintenance(windows, FARM, subject, at)
    expected = [
        w for w in windows if w.from_ms <= at < w.until_ms and any(subject in ABOUT[target] for target in w.targets)
    ]
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    assert [w.from_ms for w in found] == sorted(w.from_ms for w in found)


@given(WINDOWS, st.sampled_from(["pt.ch1", "fan"]), st.integers(0, 40), st.integers(1, 40))
def test_spans_are_the_moments_at_which_somebody_works(
    windows: list[Window], subject: str, start: int, length: int
) -> None:
    spans = spans_of(windows, FARM, subject, start, start + length)
    for at in range(start - 2, start + length + 2):
        inside = start <= at < start + length
        assert any(a <= at < b for a, b in spans) == (inside and bool(under_maintenance(windows, FARM, subject, at)))
    assert all(b < c for (_, b), (c, _) in itertools.pairwise(spans))
