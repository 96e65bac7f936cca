"""docs/alerts.md: every alert as people read it, with the values of its first situation in `tests/rule_cases`.

    python -m tests.rule_page        # writes the page anew

A test holds page and rules equal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from analytics.decision import Decision
from analytics.texts import Described, FarmNames, Names, describe
from collectors.registry.schema import Alert
from makiba.located_yaml import spell_duration
from makiba.rule import WHO, Rule
from tests.rule_cases import CASES
from tests.rule_parts import HERE, IT, Bench, Case, rules, seconds

PAGE: Final = Path(__file__).parents[1] / "docs" / "alerts.md"
PLACES: Final = {
    "barn": ("第1牛舎", "Barn 1"),
    "tank-room": ("処理室", "Tank room"),
    "parlour": ("パーラー", "Parlour"),
    "pasture": ("東の 放牧地", "East pasture"),
    "field": ("3号の 畑", "Field 3"),
    "silo": ("サイロ", "Silo yard"),
    "station": ("気象マスト", "Weather mast"),
}
SUBJECTS: Final = {
    "tank.agit": ("撹拌機", "Agitator"),
    "tank": ("バルククーラー", "Milk tank"),
    "cow": ("12番の 牛", "Cow 12"),
    "fan": ("送風機1", "Fan 1"),
    "calf": ("ハッチの 温度計", "Hutch sensor"),
    "fence": ("電気柵", "Electric fence"),
    "vac": ("真空ポンプ", "Vacuum pump"),
    "biogas.inlet": ("原料の 入り口", "Feed inlet"),
    "bus": ("牛舎の 線", "in the barn"),
    "gateway": ("中継機 gw-1", "gateway gw-1"),
    "device": ("温湿度計", "Climate sensor"),
    "sensor": ("温湿度計", "Climate sensor"),
    "gas.agit": ("ふん尿の 撹拌機", "Slurry agitator"),
    "gas": ("ガス計", "Gas sensor"),
    "water": ("水の メーター", "Water meter"),
    "frz.bowl": ("水飲み場", "Drinker"),
    "frz": ("水道管", "Water pipe"),
    "silo": ("配合の サイロ", "Feed silo"),
    "slurry": ("ふん尿タンク", "Slurry store"),
    "biogas.ch4": ("ガスの 管", "Gas line"),
    "biogas.h2s": ("ガスの 管", "Gas line"),
    "biogas.flow": ("ガスの 管", "Gas line"),
    "biogas.holder": ("ガスタンク", "Gasholder"),
    "biogas": ("発酵槽", "Digester"),
    "pow.lost": ("分電盤", "Main board"),
    "pow": ("発電機", "Generator"),
    "ask": ("バルククーラー", "Milk tank"),
}
AREAS: Final = {
    "tank": "The milk tank", "vac": "Milking", "milking": "Milking", "cow": "Cows", "herd": "Cows", "calf": "Calves",
    "heat": "Heat", "air": "The barn's air", "gas": "Gases that kill", "fan": "Fans, water and cold",
    "water": "Fans, water and cold", "frz": "Fans, water and cold", "fence": "Fences", "silo": "Feed and slurry",
    "slurry": "Feed and slurry", "soil": "Soil", "frost": "Frost and blight", "blight": "Frost and blight",
    "weather": "Weather", "biogas": "Biogas", "pow": "Power", "ask": "Questions", "device": "Devices",
    "bus": "Devices", "gateway": "Devices", "sensor": "Devices",
}  # fmt: skip
TRUST: Final = {"verified": "V", "known": "K", "proposed": "P"}
HEAD: Final = """# Alerts: what Makiba tells, and to whom

Made from `firmware_configs/rules/` by `python -m tests.rule_page`; a test holds it equal to them. Values are those
of an example. How to write a rule: [rules.md](rules.md). Numbers and times are defaults: a farm sets its own under
`rules:` in its site file.

Severity: **critical** life, animals or the whole tank now · **warning** loss within hours · **advisory** act today
or tonight · **info** the daily list. Trust: V read in the source named, K general knowledge, P proposed by us. For
whom: {who}.

No number here replaces a certified gas alarm, the tank's own thermometer or a look at the animals.
"""


def page() -> str:
    """The whole page."""
    by_area: dict[str, list[Rule]] = {area: [] for area in AREAS.values()}
    for name in sorted(rules()):
        by_area[AREAS[name.partition(".")[0]]].append(rules()[name])
    parts = [HEAD.format(who=", ".join(f"{k} {v}" for k, v in WHO.items()))]
    for area, found in by_area.items():
        parts.append(f"## {area}\n")
        parts += [_rule(rule) for rule in found]
    return "\n".join(parts)


def _rule(rule: Rule) -> str:
    first, *steps = told(rule)
    lines = [
        f"### {rule.rule}: {first.title['en']}",
        f"**{rule.severity}**, {_times(rule)} For {' '.join(rule.who)}. {TRUST[rule.trust]}: {rule.source}",
        "",
        f"> {first.title['ja']}。{first.message['ja']}{first.action['ja']}{_note(first.note, 'ja')}",
        ">",
        f"> {_sentence(first.title['en'])} {first.message['en']} {first.action['en']}{_note(first.note, 'en')}",
        "",
    ]
    for step, text in zip(rule.worse, steps, strict=True):
        lines += [
            f"Then **{step.severity}**:",
            "",
            f"> {text.title['ja']}。{text.action['ja']}",
            ">",
            f"> {_sentence(text.title['en'])} {text.action['en']}",
            "",
        ]
    return "\n".join(lines)


def _times(rule: Rule) -> str:
    words = [f"after {spell_duration(rule.raise_.for_)}" if rule.raise_.for_ else "at once"]
    words += [f"over after {spell_duration(rule.clear.for_)}"] if rule.clear.for_ else []
    words += [f"{rule.season.from_} to {rule.season.to}"] if rule.season else []
    words += [f"raised from {rule.hours.from_} to {rule.hours.to}"] if rule.hours else []
    words += [f"needs {', '.join(rule.needs)}"] if rule.needs else []
    words += ["ended by hand only"] if rule.reset == "by-hand" else []
    return "; ".join(words) + "."


def _sentence(title: str) -> str:
    return title if title.endswith("?") else f"{title}."


def _note(note: Names | None, language: str) -> str:
    return f"{'' if language == 'ja' else ' '}{note[language]}" if note else ""


def told(rule: Rule) -> list[Described]:
    """What is read when it begins, and at each step: the real texts of the real values."""
    case = next((c for c in CASES if c.rule == rule.rule), None)
    signals = dict(first(case).signals) if case else {"state": {"quantity": "state", "value": "timeout"}}
    names = FarmNames(
        {HERE: _names(PLACES[case.kind if case else "barn"])},
        {IT: _names(_subject(rule.rule)), "below": _names(("温湿度計", "Climate sensor"))},
        frozenset(),
    )
    children = [{"subject": "below"}] if rule.about in ("bus", "gateway") else []
    return [
        describe(
            Alert(
                id="0" * 32, site_id="farm", rule=rule.rule, subject=IT, severity=severity, onset_ms=0,
                place_id=HERE, signals=signals, children=children,
            ),
            rule,
            names,
        )
        for severity in (rule.severity, *(step.severity for step in rule.worse))
    ]  # fmt: skip


def first(case: Case) -> Decision:
    """The decision with which it begins."""
    bench = Bench(case)
    bench.change(case.well)
    bench.run(seconds(case.warm))
    bench.change(case.wrong)
    bench.run(seconds(case.at) + 4 * bench.every_ms / 1000)
    return bench.happened("open")[0][1]


def _subject(rule: str) -> tuple[str, str]:
    return SUBJECTS.get(rule) or SUBJECTS.get(rule.partition(".")[0]) or ("センサー", "Sensor")


def _names(pair: tuple[str, str]) -> Names:
    return {"ja": pair[0], "en": pair[1]}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
