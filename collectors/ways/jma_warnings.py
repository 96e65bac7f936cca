"""From bulletins to what is in force: which warnings began, go on, ended. Pure; the same for JSON and XML.

A bulletin says all there is about the kinds of its telegram for an area: a kind of that telegram that it does not
name is not in force. So a warning ends by a bulletin that lifts it, that names its area without it, or that says none
is in force; never because nothing was heard. A bulletin that is not younger than what is known ends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from collectors.ways.jma_codes import kind_of

NOT_IN_FORCE: Final = frozenset({"解除", "発表警報・注意報はなし", "なし"})
"""Statuses that say it is over; `発表`, `継続` and what names a change (`警報から注意報`) say that it is in force."""
LIFTED_CODE: Final = "00"


@dataclass(frozen=True, slots=True)
class Bulletin:
    """What one telegram says about one area: (code, status) of each kind. `telegram` empty: of unknown kind."""

    area: str
    telegram: str
    reported_ms: int
    kinds: tuple[tuple[str, str], ...]
    source: str


@dataclass(frozen=True, slots=True)
class InForce:
    """A warning that is in force, as it is known."""

    area: str
    code: str
    since_ms: int
    status: str
    reported_ms: int
    source: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What to write: warnings that began or go on with another word or report, and those that ended, when."""

    kept: tuple[InForce, ...] = ()
    ended: tuple[tuple[InForce, int], ...] = ()


def changes(
    known: Iterable[InForce], bulletins: Sequence[Bulletin], ended_ms: Mapping[tuple[str, str], int] | None = None
) -> Changes:
    """What `bulletins` change about the warnings that are `known` to be in force.

    `ended_ms` says for an area and code when the last one that is not in force any more ended: a bulletin that is
    not younger does not bring it back.
    """
    before = {(one.area, one.code): one for one in known}
    now = dict(before)
    over_ms = dict(ended_ms or {})
    ended: list[tuple[InForce, int]] = []
    for bulletin in sorted(bulletins, key=lambda b: b.reported_ms):
        at_ms, area = bulletin.reported_ms, bulletin.area
        active = {code: status for code, status in bulletin.kinds if is_active(code, status)}
        lifted = {code for code, _ in bulletin.kinds} - active.keys()
        for code, status in active.items():
            one = now.get((area, code))
            if one is None and at_ms > over_ms.get((area, code), -1):
                now[area, code] = InForce(area, code, at_ms, status, at_ms, bulletin.source)
            elif one is not None and at_ms >= one.reported_ms:
                now[area, code] = InForce(area, code, one.since_ms, status, at_ms, bulletin.source)
        for (where, code), one in list(now.items()):
            if where != area or code in active or at_ms <= one.reported_ms:
                continue
            if code in lifted or (bulletin.telegram and kind_of(code).telegram == bulletin.telegram):
                del now[area, code]
                over_ms[area, code] = at_ms
                if before.get((area, code), one).since_ms == one.since_ms and (area, code) in before:
                    ended.append((before[area, code], at_ms))
    kept = tuple(one for key, one in sorted(now.items()) if before.get(key) != one)
    return Changes(kept, tuple(ended))


def is_active(code: str, status: str) -> bool:
    """Whether a kind of a bulletin is in force."""
    return bool(code) and code != LIFTED_CODE and status not in NOT_IN_FORCE


def spell(codes: Iterable[str]) -> str:
    """Warnings in one line, the gravest first; `なし` for none."""
    order: Mapping[str, int] = {"special": 0, "danger": 1, "warning": 2, "unknown": 3, "advisory": 4}
    kinds = sorted((kind_of(code) for code in set(codes)), key=lambda kind: (order[kind.level], kind.code))
    return "、".join(kind.name_ja for kind in kinds)[:200] or "なし"
