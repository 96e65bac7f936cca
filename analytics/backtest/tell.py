"""What a backtest found, as tables for people and as JSON for programs. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Literal

from analytics.backtest.changes import Difference
from analytics.backtest.labels import Score
from analytics.backtest.work import UNUSUAL, RuleCount
from analytics.replay import Outcome
from analytics.texts import FarmNames
from collectors.out.clock import IsoTimes
from collectors.out.lines import plain
from makiba.quantities import catalogue
from makiba.rule import Rule

Language = Literal["ja", "en"]
KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "level": ("高さ", "level"), "spike": ("急な 動き", "spike"), "drift": ("ゆっくりした ずれ", "drift"),
    "noise": ("ゆれ", "noise"), "stuck": ("動かない", "stuck"), "silent": ("来ない", "silent"),
    "no-number": ("数が ない", "no number"),
}  # fmt: skip
_SEVERITIES: Final[Mapping[str, str]] = {
    "critical": "危険",
    "warning": "警告",
    "advisory": "注意",
    "info": "お知らせ",
}
_MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Speech:
    """How things are called: times in the farm's zone, rules' titles, the farm's names."""

    iso: IsoTimes
    language: Language
    rules: Mapping[str, Rule]
    names: FarmNames

    def time(self, time_ms: int) -> str:
        return self.iso(time_ms)[:16].replace("T", " ")

    def titles(self, alert: Outcome) -> dict[str, str]:
        rule = self.rules.get(alert.rule)
        if rule is None:
            return _unusual(alert) if alert.rule == UNUSUAL else {"ja": alert.rule, "en": alert.rule}
        step = next((w for w in rule.worse if w.severity == alert.severity and w.title), None)
        title = step.title if step and step.title else rule.title
        return {"ja": title.ja, "en": title.en}

    def name(self, subject: str) -> str:
        """What the farm calls it, and its own name."""
        called = self.names.of(subject)[self.language]
        return plain(called if called == subject else f"{called} ({subject})")

    def severity(self, alert: Outcome) -> str:
        return _SEVERITIES[alert.severity] if self.language == "ja" else alert.severity

    def lasted(self, alert: Outcome) -> str:
        """How long, from its onset; still there at the end of the readings: a plus behind it."""
        end_ms = alert.ended_ms
        if end_ms is None:
            return "…"
        minutes = round((end_ms - alert.onset_ms) / _MINUTE_MS)
        days, rest = divmod(minutes, 1440)
        hours, minutes = divmod(rest, 60)
        return f"{days}d {hours:02d}:{minutes:02d}" if days else f"{hours}:{minutes:02d}"


def _unusual(alert: Outcome) -> dict[str, str]:
    """What a detector found, with the quantity and the kind of it."""
    told = next(iter(alert.decision.signals.values()), {}) if alert.decision else {}
    word = catalogue().get(str(told.get("quantity")))
    kind = KINDS.get(str(told.get("kind")), ("", ""))
    names = word.names if word else {"ja": "値", "en": "values"}
    return {
        "ja": f"{names['ja']}が いつもと ちがいます（{kind[0]}）",
        "en": f"{names['en']} not as usual ({kind[1]})",
    }


def alert_lines(alerts: Sequence[Outcome], speech: Speech, most: int) -> Iterator[str]:
    """The alerts as a table, `most` of them."""
    if not alerts:
        yield "no alerts"
        return
    rows = [
        (
            speech.time(a.raised_ms), a.rule, speech.name(a.subject), speech.severity(a), speech.lasted(a),
            speech.titles(a)[speech.language],
        )
        for a in alerts[:most]
    ]  # fmt: skip
    yield from table(("raised", "rule", "subject", "severity", "lasted", "title"), rows)
    if len(alerts) > most:
        yield f"… and {len(alerts) - most} more (--rows, or --json for all)"


def count_lines(counts: Mapping[str, RuleCount], after: Mapping[str, RuleCount] | None = None) -> Iterator[str]:
    """Per rule: alerts, and per sensor-month; with `after`, beside what they would have been."""
    rows = []
    for name, count in sorted(counts.items(), key=lambda item: (-item[1].alerts, item[0])):
        other = after.get(name) if after is not None else None
        more = () if after is None else ((str(other.alerts), f"{other.per_month:.2f}") if other else ("-", "-"))
        rows.append(
            (name, str(count.watched), f"{count.months:.1f}", str(count.alerts), f"{count.per_month:.2f}", *more)
        )
    heads = ("rule", "sensors", "sensor-months", "alerts", "a sensor-month")
    yield from table(heads if after is None else (*heads, "changed", "a sensor-month"), rows)


def difference_lines(difference: Difference, speech: Speech, most: int) -> Iterator[str]:
    """What a change would have done, alert by alert."""
    d = difference
    yield f"{len(d.gained)} gained, {len(d.lost)} lost, {len(d.moved)} moved, {d.same} the same"
    rows: list[tuple[str, ...]] = [
        ("+", speech.time(a.raised_ms), a.rule, speech.name(a.subject), a.severity, speech.lasted(a))
        for a in d.gained
    ]
    rows += [
        ("-", speech.time(a.raised_ms), a.rule, speech.name(a.subject), a.severity, speech.lasted(a)) for a in d.lost
    ]
    for one in d.moved:
        old, new = one.before, one.after
        when = speech.time(old.raised_ms)
        if new.raised_ms != old.raised_ms:
            when += f" {_moved(new.raised_ms - old.raised_ms)}"
        severity = old.severity if old.severity == new.severity else f"{old.severity} → {new.severity}"
        lasted = (
            speech.lasted(old)
            if speech.lasted(old) == speech.lasted(new)
            else f"{speech.lasted(old)} → {speech.lasted(new)}"
        )
        rows.append(("~", when, old.rule, speech.name(old.subject), severity, lasted))
    if rows:
        yield from table(
            ("", "raised", "rule", "subject", "severity", "lasted"), sorted(rows, key=lambda r: r[1])[:most]
        )
    if len(rows) > most:
        yield f"… and {len(rows) - most} more (--rows, or --json for all)"


def _moved(ms: int) -> str:
    minutes = ms / _MINUTE_MS
    return f"{minutes:+.0f} min" if abs(minutes) >= 1 else f"{ms / 1000:+.0f} s"


def score_lines(score: Score) -> Iterator[str]:
    """What was found of what is known to have been wrong."""
    n, found = len(score.faults), [f for f in score.faults if f.found is not None]
    in_time = sum(f.is_in_time for f in score.faults)
    share = f" ({100 * in_time / n:.0f} %)" if n else ""
    yield f"faults: {n}; found in time {in_time}{share}, late {len(found) - in_time}, missed {n - len(found)}"
    delays = [f.delay_ms for f in found if f.delay_ms is not None]
    if delays:
        yield f"delay from the first sign: {median(delays) / _MINUTE_MS:.0f} min (median)"
    per_month = f"{score.false_per_month:.2f} a sensor-month"
    yield f"false alarms: {len(score.false)} in {score.months:.1f} sensor-months = {per_month}"
    rows = [(name, str(n), str(f), str(t)) for name, (n, f, t) in score.by_fault().items()]
    if rows:
        yield ""
        yield from table(("fault", "known", "found", "in time"), rows)
    kinds = [
        (kind or "-", str(count), f"{months:.1f}", f"{count / months if months else 0:.2f}")
        for kind, (count, months) in sorted(score.by_kind.items())
    ]
    if kinds:
        yield ""
        yield from table(("kind", "false alarms", "sensor-months", "a sensor-month"), kinds)


# --------------------------------------------------------------------------------------------------------- JSON


def alert_json(alert: Outcome, speech: Speech) -> dict[str, Any]:
    return {
        "rule": alert.rule,
        "subject": alert.subject,
        "severity": alert.severity,
        "title": speech.titles(alert),
        "onset_ms": alert.onset_ms,
        "raised_ms": alert.raised_ms,
        "ended_ms": alert.ended_ms,
        "raised": speech.iso(alert.raised_ms),
    }


def counts_json(counts: Mapping[str, RuleCount]) -> dict[str, Any]:
    return {
        name: {
            "alerts": c.alerts, "sensors": c.watched, "sensor_months": round(c.months, 4),
            "per_sensor_month": round(c.per_month, 4),
        }
        for name, c in counts.items()
    }  # fmt: skip


def difference_json(difference: Difference, speech: Speech) -> dict[str, Any]:
    return {
        "gained": [alert_json(a, speech) for a in difference.gained],
        "lost": [alert_json(a, speech) for a in difference.lost],
        "moved": [
            {"before": alert_json(m.before, speech), "after": alert_json(m.after, speech)} for m in difference.moved
        ],
        "same": difference.same,
    }


def score_json(score: Score) -> dict[str, Any]:
    return {
        "faults": len(score.faults),
        "found": sum(f.found is not None for f in score.faults),
        "in_time": sum(f.is_in_time for f in score.faults),
        "false": len(score.false),
        "sensor_months": round(score.months, 4),
        "false_per_sensor_month": round(score.false_per_month, 4),
        "by_fault": {n: {"known": k, "found": f, "in_time": t} for n, (k, f, t) in score.by_fault().items()},
        "by_kind": {k: {"false": n, "sensor_months": round(m, 4)} for k, (n, m) in score.by_kind.items()},
        "missed": [
            {"file": f.file, "fault": f.fault.name, "start": f.fault.start} for f in score.faults if not f.found
        ],
        "false_alarms": [
            {"file": name, "rule": a.rule, "subject": a.subject, "raised_ms": a.raised_ms} for name, a in score.false
        ],
    }


# -------------------------------------------------------------------------------------------------------- tables


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Columns under their heads; a Japanese character is two wide. The last column is as long as it is."""
    rows = [heads, *rows]
    widths = [max(width(row[i]) for row in rows) for i in range(len(heads) - 1)]
    for row in rows:
        cells = [cell + " " * (wide - width(cell)) for cell, wide in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def width(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
