"""Tells of an incident across farms: each farm is asked once what it needs, and who helps is told of all in one.

Guarantees: whoever runs this, and however often, each of these is said once to a person: the question to a farm's
people, the incident to those who help (the co-op's and the town's people who see the farm's alerts), how many it
became when that doubles, a farm's call for a generator or for people, and the end. A helper hears of the farms that
they may see, and of no number besides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from sqlalchemy.orm import Session

from analytics.notify.begin import ME
from analytics.notify.tell import put_incident
from analytics.notify.who import Ways, order_of
from collectors.registry import addresses, incidents
from collectors.registry.incidents import FarmIn, Shown

GATHER_MS: Final = 20_000
"""Who helps is told when so much has passed: power fails on all farms in the same moment, and their boxes say so one
after the other."""
ASKED: Final = 3
"""People of a farm who are asked what it needs: those who are on call first."""
HELPERS: Final = frozenset({"coop", "town"})
MOST_NAMED: Final = 5
PATH: Final = "#/incidents"

_TITLES: Final = {
    "power": ("停電の疑い {}戸", "{} farms without power"),
    "link": ("通信が 止まった 牧場 {}戸", "{} farms without a link"),
}
_ASK_JA: Final = "開いて 答えて ください: だいじょうぶ・発電機が 要る・人が 要る。"
_ASK_EN: Final = "Open and answer: all right, we need a generator, we need people."
_QUESTION: Final = {
    "power": {
        "title": {
            "ja": "停電の ようです。だいじょうぶですか",
            "en": "It seems that the power is out. Are you all right?",
        },
        "body": {
            "ja": f"近くの 牧場も 停電です。\n{_ASK_JA}\n牛乳の 冷却と 水を 見てください。",
            "en": f"Farms around you have no power either.\n{_ASK_EN}\nLook at the milk's cooling and the water.",
        },
    },
    "link": {
        "title": {
            "ja": "通信が 止まっています。だいじょうぶですか",
            "en": "Your link is down. Are you all right?",
        },
        "body": {
            "ja": "近くの 牧場も つながりません。停電かも しれません。\n"
            f"{_ASK_JA}\nいまは 自分の 目で 見てください。",
            "en": "Farms around you cannot be reached either. It may be a power cut.\n"
            f"{_ASK_EN}\nLook for yourself for now.",
        },
    },
}
_NEEDS: Final = {"generator": ("発電機が 要ります", "needs a generator"), "people": ("人が 要ります", "needs people")}


def title_of(kind: str, farms: int) -> tuple[str, str]:
    """What it is called, in Japanese and English."""
    ja, en = _TITLES[kind]
    return ja.format(farms), en.format(farms)


def is_to_tell(session: Session, now_ms: int) -> bool:
    """Whether an incident goes on, or ended a moment ago; cheap."""
    return bool(incidents.lately(session, ME, now_ms, limit=1))


def tell_incidents(session: Session, ways: Ways, now_ms: int) -> int:
    """Writes what is to be said of incidents now; how many people were told something."""
    told = _ask_farms(session, ways, now_ms)
    for shown in incidents.lately(session, ME, now_ms):
        told += _tell_helpers(session, ways, shown, now_ms)
    return told


def _ask_farms(session: Session, ways: Ways, now_ms: int) -> int:
    told = 0
    for farm in incidents.not_told(session, ME):
        kind = incidents.kind_of(session, ME, farm.incident_id)
        people = order_of(session, farm.site_id, now_ms).usual
        persons = [one.person_id for one in people if one.person_id is not None][:ASKED]
        asked = _QUESTION[kind]
        told += put_incident(
            session, ways, farm.incident_id, f"ask:{farm.site_id}:{farm.joined_ms}", persons, "critical",
            asked["title"], asked["body"], PATH, now_ms,
        )  # fmt: skip
        farm.told_ms = now_ms
    session.flush()
    return told


def _tell_helpers(session: Session, ways: Ways, shown: Shown, now_ms: int) -> int:
    if now_ms - shown.row.opened_ms < GATHER_MS and shown.row.ended_ms is None:
        return 0
    sees: dict[int, list[FarmIn]] = defaultdict(list)
    for farm in shown.farms:
        for one in addresses.of_site(session, ME, farm.site.id, now_ms).values():
            if one.role in HELPERS and one.may_see and one.person_id is not None:
                sees[one.person_id].append(farm)
    told = 0
    for person, farms in sees.items():
        kind, (ja, en) = shown.row.kind, title_of(shown.row.kind, len(farms))
        if shown.row.ended_ms is not None:
            step, title = "over", {"ja": f"終わりました: {ja}", "en": f"Over: {en}"}
        else:
            step, title = f"{kind}:{len(farms).bit_length()}", {"ja": ja, "en": en}
        severity = "critical" if shown.row.ended_ms is None else "advisory"
        body = {"ja": _list(farms, "ja"), "en": _list(farms, "en")}
        told += put_incident(session, ways, shown.row.id, step, [person], severity, title, body, PATH, now_ms)
        for farm in farms:
            if farm.row.answer in _NEEDS and farm.row.ended_ms is None:
                told += _call(session, ways, shown, farm, person, now_ms)
    return told


def _call(session: Session, ways: Ways, shown: Shown, farm: FarmIn, person: int, now_ms: int) -> int:
    need_ja, need_en = _NEEDS[farm.row.answer or ""]
    names = {"ja": farm.site.name_ja, "en": farm.site.name_en}
    title = {"ja": f"{names['ja']}: {need_ja}", "en": f"{names['en']} {need_en}"}
    body = {"ja": "一覧を 開いて、だれが 行くか 決めて ください。", "en": "Open the list and decide who goes."}
    step = f"need:{farm.site.id}:{farm.row.answer}"
    return put_incident(session, ways, shown.row.id, step, [person], "critical", title, body, PATH, now_ms)


def _list(farms: Sequence[FarmIn], language: str) -> str:
    """The farms to be helped first, by name."""
    ja = language == "ja"
    lines = []
    for farm in [f for f in farms if f.row.ended_ms is None][:MOST_NAMED]:
        generator = {None: "", True: "発電機 あり" if ja else "has a generator"}.get(
            farm.generator, "発電機 なし" if ja else "no generator"
        )
        lines.append(
            "・" + " ".join(part for part in (farm.site.name_ja if ja else farm.site.name_en, generator) if part)
        )
    left = sum(f.row.ended_ms is None for f in farms) - len(lines)
    if left > 0:
        lines.append(f"ほか {left}戸" if ja else f"and {left} more")
    return "\n".join(lines) or ("どの 牧場も 戻りました。" if ja else "All farms are back.")
