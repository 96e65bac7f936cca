"""`makiba backtest`: what the rules would have done with what was recorded.

Exit codes: 0 when it ran to its end, whatever it found; 3 when values of a file were refused (the rest was judged); 2
where a person has to change something; 1 for any other failure; 130 when stopped.
"""

from __future__ import annotations

import contextlib
import json as json_
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from analytics.backtest import tell, work
from analytics.backtest.changes import Difference, WrongChange, changed, compare
from analytics.backtest.farms import Judged, of_columns, of_registry, of_site_file
from analytics.backtest.files import Found, Reader
from analytics.backtest.labels import Score, load_labels, score
from analytics.backtest.ordered import Ordered
from analytics.backtest.picture import write_picture
from analytics.backtest.store import store_readings
from analytics.backtest.tell import Language, Speech
from analytics.chart_png import NoFont
from analytics.replay import Outcome
from analytics.rules import FarmRules, all_rules
from collectors.console import explained, fail, own_registry
from collectors.out.clock import FORMS, IsoTimes, parse_time, zone_of
from collectors.out.known import known_of
from collectors.out.parquet_form import ParquetMissing
from collectors.registry import RegistryMisconfigured
from collectors.registry.site_file import load_site_file
from collectors.ways.csv_mapping import load_mapping
from makiba.reading import EARLIEST_MS, LATEST_MS
from makiba.rule import Rule
from makiba.settings import Settings, load_settings
from makiba.words import nearest

SHOWN_REFUSALS: Final = 20
REFUSED_EXIT: Final = 3
FEW_COLUMNS: Final = 12
ALL: Final = "*"

backtest = typer.Typer(add_completion=False, rich_markup_mode=None)


@backtest.command()
def run(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE…]", help="CSV or Parquet files of readings", exists=True, dir_okay=False),
    ] = None,
    store: Annotated[bool, typer.Option("--store", help="Read the store instead of files; needs --site")] = False,
    site: Annotated[
        str,
        typer.Option("--site", metavar="SITE", help="The farm: of the registry, or which one of a file with several"),
    ] = "",
    farm: Annotated[
        Path | None,
        typer.Option("--farm", metavar="SITE.yaml", help="The farm's site file; default: the registry's, or a guess"),
    ] = None,
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help=f"Default: the beginning. {FORMS}")] = "",
    end: Annotated[
        str, typer.Option("--to", metavar="TIME", help="Up to and without this time; default: the end")
    ] = "",
    mapping: Annotated[
        Path | None,
        typer.Option("--map", metavar="MAPPING.yaml", help="What the columns are, as for `makiba import readings`"),
    ] = None,
    timezone: Annotated[
        str,
        typer.Option(
            metavar="ZONE", help="Of times without an offset, and of the report; default: the farm's, or Asia/Tokyo"
        ),
    ] = "",
    rule: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="Only these rules; * and ? allowed; may be repeated")
    ] = None,
    detector: Annotated[
        bool, typer.Option("--detector", help="Also look for what is unusual, without any rule (alerts `unusual`)")
    ] = False,
    no_rules: Annotated[bool, typer.Option("--no-rules", help="Only the detector")] = False,
    settings_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="RULE.NUMBER=VALUE", help="What if: run again with this number; may be repeated"
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="LABELS.json", help="What was wrong: score found, in time, missed, false")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="OUT.svg|OUT.png", help="Draw readings, limits and alerts over time")
    ] = None,
    columns: Annotated[
        bool, typer.Option("--columns", help="Show what each column of the files was taken for")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of tables")] = False,
    rows: Annotated[int, typer.Option(metavar="N", min=1, help="How many alerts a table shows")] = 100,
    lang: Annotated[Language, typer.Option(help="en or ja: titles and names")] = "en",
) -> None:
    """Run the rules over recorded readings: what alerts there would have been.

    Nothing is stored and nobody is told. Examples:

        makiba backtest barn-2026.csv --farm site.yaml

        makiba backtest --store --site shikaoi-001 --from 30d --set tank.hold.limit=5.5
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    if bool(files) == store:
        fail("give files to read, or --store" if not store else "either files or --store, not both")
    if store and not site:
        fail("--store needs --site")
    if no_rules and (rule or settings_ or not detector):
        fail("--no-rules: only with --detector, and without --rule and --set")
    if picture is not None and picture.suffix not in (".svg", ".png"):
        fail(f"--picture {picture}: expected a name that ends in .svg or .png")
    asked = _Asked(
        files or [],
        site,
        farm,
        begin,
        end,
        mapping,
        timezone,
        () if no_rules else tuple(rule or (ALL,)),
        detector,
        tuple(settings_ or ()),
    )
    settings = load_settings()
    known_labels = load_labels(labels) if labels is not None else None
    with explained(), contextlib.ExitStack() as stack:
        ordered = stack.enter_context(Ordered())
        try:
            told = _work(asked, settings, ordered, stack)
        except (WrongChange, ParquetMissing) as error:
            fail(str(error))
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        scored = _scored(told, known_labels, ordered) if known_labels is not None else None
        speech = Speech(IsoTimes(zone_of(told.judged.timezone)), lang, told.rules.rules, told.judged.names)
        if picture is not None:
            _draw(picture, told, ordered, speech)
    if json:
        typer.echo(json_.dumps(_json(told, scored, speech), ensure_ascii=False, indent=1))
    else:
        for line in _lines(told, scored, speech, rows, all_columns=columns):
            typer.echo(line)
    if told.found.refused:
        typer.echo(f"{told.found.refused} values or rows were refused; the others were judged", err=True)
        raise typer.Exit(REFUSED_EXIT)


def _draw(file: Path, told: _Told, ordered: Ordered, speech: Speech) -> None:
    courses = ordered.courses
    span = min(c.first_ms for c in courses.values()), max(c.last_ms for c in courses.values()) + 1
    try:
        write_picture(
            file,
            ordered.readings(),
            list(courses),
            span,
            told.judged,
            told.rules,
            told.alerts,
            told.bands or {},
            speech,
        )
    except NoFont as error:
        fail(f"--picture {file}: {error}; an .svg needs none")
    except OSError as error:
        typer.echo(f"{file}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from None


@dataclass(frozen=True, slots=True)
class _Asked:
    files: Sequence[Path]
    site: str
    farm: Path | None
    begin: str
    end: str
    mapping: Path | None
    timezone: str
    rules: tuple[str, ...]
    detector: bool
    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Told:
    """What came of it. `changed`: the rules, alerts and counts with the numbers that were to be tried."""

    judged: Judged
    rules: FarmRules
    found: Found
    alerts: list[Outcome]
    counts: dict[str, work.RuleCount]
    difference: Difference | None
    changed_counts: dict[str, work.RuleCount] | None
    readings: int
    took_s: float
    bands: Any = None


def _work(asked: _Asked, settings: Settings, ordered: Ordered, stack: contextlib.ExitStack) -> _Told:
    rules = _rules(all_rules(settings), asked.rules)
    found = _read(asked, settings, ordered)
    judged = stack.enter_context(_judged(asked, ordered, found))
    own = FarmRules(rules, {n: o for n, o in judged.overrides.items() if n in rules})
    for _, wrong in own.problems:
        typer.echo(f"rules of the farm: {wrong}; the rule keeps the numbers it comes with", err=True)
    tried = FarmRules(rules, changed(own.overrides, asked.settings, rules)) if asked.settings else None
    until_ms = max((c.last_ms for c in ordered.courses.values()), default=0)
    tick_ms = work.tick_for(ordered.courses)
    began_s = time.process_time()
    runs = 1 + (tried is not None) + asked.detector
    bands = None
    with _bar("judging", ordered.count * runs) as at:
        alerts = work.run_rules(judged, own, ordered.readings(), until_ms, tick_ms, at(0))
        after = work.run_rules(judged, tried, ordered.readings(), until_ms, tick_ms, at(1)) if tried else None
        if asked.detector:
            unusual, bands = work.run_detector(judged.timezone, ordered.readings(), until_ms, at(runs - 1))
            alerts = sorted([*alerts, *unusual], key=lambda a: a.raised_ms)
            after = sorted([*after, *unusual], key=lambda a: a.raised_ms) if after is not None else None
    return _Told(
        judged,
        own,
        found,
        alerts,
        work.rule_counts(judged, own, ordered.courses, alerts, asked.detector),
        compare(alerts, after) if after is not None else None,
        work.rule_counts(judged, tried, ordered.courses, after, asked.detector)
        if tried and after is not None
        else None,
        ordered.count,
        time.process_time() - began_s,
        bands,
    )


def _rules(rules: dict[str, Rule], patterns: Sequence[str]) -> dict[str, Rule]:
    """The rules that fit a pattern; none without one."""
    for pattern in patterns:
        if not work.chosen(rules, [pattern]):
            fail(f"--rule {pattern}: there is none{nearest(pattern, rules)}")
    return work.chosen(rules, patterns)


# ------------------------------------------------------------------------------------------- readings and the farm


def _read(asked: _Asked, settings: Settings, ordered: Ordered) -> Found:
    span = _span(asked, settings)
    if not asked.files:
        with _bar("reading", 0) as at:
            found = Found(site=asked.site)
            ordered.add(work.counted(store_readings(settings, asked.site, *span), at(0)))
        if not ordered.count:
            fail(f"the store has no readings of {asked.site} in that time; `makiba store` shows what it has")
        return found
    mapping = load_mapping(asked.mapping) if asked.mapping is not None else None
    shown = [0]

    def say(line: str) -> None:
        shown[0] += 1
        if shown[0] <= SHOWN_REFUSALS:
            typer.echo(line, err=True)

    site = asked.site or (mapping.model.site or "" if mapping else "")
    reader = Reader(site, mapping, asked.timezone or "Asia/Tokyo", say)
    with _bar("reading", sum(file.stat().st_size for file in asked.files)) as at:
        reader = replace(reader, progress=at(0) or (lambda _: None))
        ordered.add(r for r in reader.readings(list(asked.files)) if span[0] <= r.time_ms < span[1])
    reader.found.site = reader.found.site or "farm"
    if shown[0] > SHOWN_REFUSALS:
        typer.echo(f"… and {shown[0] - SHOWN_REFUSALS} more", err=True)
    if not ordered.count:
        fail("no readings in that time" if asked.begin or asked.end else "the files hold no readings")
    return reader.found


def _span(asked: _Asked, settings: Settings) -> tuple[int, int]:
    zone = zone_of(asked.timezone or known_of(settings, asked.site or None).timezone)
    now_ms = time.time_ns() // 1_000_000
    try:
        begin = parse_time(asked.begin, zone, now_ms) if asked.begin else EARLIEST_MS
        return begin, parse_time(asked.end, zone, now_ms) if asked.end else LATEST_MS
    except ValueError as error:
        fail(str(error))


@contextlib.contextmanager
def _judged(asked: _Asked, ordered: Ordered, found: Found) -> Iterator[Judged]:
    """The farm: of its site file, of the registry, or made of the columns."""
    with contextlib.ExitStack() as stack:
        judged: Judged | None = None
        if asked.farm is not None:
            spec = load_site_file(asked.farm)
            if asked.site and asked.site != spec.id:
                fail(f"--site {asked.site}: {asked.farm} is of {spec.id}")
            judged = stack.enter_context(of_site_file(replace(spec, id=found.site), ordered.courses))
        elif asked.site:
            with contextlib.suppress(RegistryMisconfigured):
                registry = stack.enter_context(own_registry())
                judged = stack.enter_context(of_registry(registry, asked.site, ordered.courses))
        if judged is None:
            judged = of_columns(found.site, "Asia/Tokyo", ordered.courses, found.kinds, found.file_of)
        yield replace(judged, timezone=asked.timezone) if asked.timezone else judged


# ----------------------------------------------------------------------------------------------------- what is told


def _scored(told: _Told, labels: Any, ordered: Ordered) -> Score:
    file_of = told.found.file_of
    given = set(file_of.values())
    there = {name: label for name, label in labels.items() if name in given}
    if not there:
        known = ", ".join(list(labels)[:5])
        fail(f"--labels: names none of the files that were read; it has {known}{' …' if len(labels) > 5 else ''}")
    alerts = work.by_file(told.alerts, file_of, told.judged)
    until: dict[str, int] = {}
    for series, course in ordered.courses.items():
        name = file_of.get(series.subject, "")
        until[name] = max(until.get(name, 0), course.last_ms)
    return score(there, alerts, until)


def _lines(told: _Told, scored: Score | None, speech: Speech, most: int, *, all_columns: bool) -> Iterator[str]:
    yield from _taken_for(told.found, all_columns=all_columns)
    yield from tell.alert_lines(told.alerts, speech, most)
    yield ""
    yield from tell.count_lines(told.counts, told.changed_counts)
    if told.difference is not None:
        yield ""
        yield "with the numbers of --set:"
        yield from tell.difference_lines(told.difference, speech, most)
    if scored is not None:
        yield ""
        yield from tell.score_lines(scored)
    yield ""
    yield f"{told.readings:,} readings in {told.took_s:.1f} s of CPU; times are {told.judged.timezone}"


def _taken_for(found: Found, *, all_columns: bool) -> Iterator[str]:
    """What columns were taken for, where that was a guess."""
    rows = [
        (Path(file).name, head, subject, guess.quantity + (f" [{guess.unit}]" if guess.unit else ""), guess.kind)
        for file, guesses in found.guesses.items()
        for head, (subject, guess) in guesses.items()
    ]
    if not rows:
        return
    if all_columns or len(rows) <= FEW_COLUMNS:
        yield "columns were taken for (a mapping says it better: --map):"
        yield from tell.table(("file", "column", "subject", "quantity", "place"), rows)
    else:
        known = sum(not row[3].startswith("value") for row in rows)
        yield f"{len(rows)} columns were guessed at, {known} of a known quantity (--columns lists them; or --map)"
    yield ""


def _json(told: _Told, scored: Score | None, speech: Speech) -> dict[str, Any]:
    found: dict[str, Any] = {
        "site": told.found.site,
        "timezone": told.judged.timezone,
        "readings": told.readings,
        "refused": told.found.refused,
        "alerts": [tell.alert_json(a, speech) for a in told.alerts],
        "rules": tell.counts_json(told.counts),
    }
    if told.difference is not None:
        found["changed"] = tell.difference_json(told.difference, speech)
        found["changed"]["rules"] = tell.counts_json(told.changed_counts or {})
    if scored is not None:
        found["score"] = tell.score_json(scored)
    return found


@contextlib.contextmanager
def _bar(label: str, length: int) -> Iterator[Callable[[int], Callable[[int], None] | None]]:
    """A bar on a terminal, nothing elsewhere. Gives, for the n-th equal part of the work, whom to tell of its
    progress."""
    if not sys.stderr.isatty() or length <= 0:
        yield lambda _: None
        return
    with typer.progressbar(length=length, label=label, file=sys.stderr) as bar:
        done = [0, 0]

        def part(_number: int) -> Callable[[int], None]:
            done[0] = bar.pos

            def at(position: int) -> None:
                if position < done[1]:  # another file begins
                    done[0] = bar.pos
                done[1] = position
                bar.update(done[0] + position - bar.pos)

            done[1] = 0
            return at

        yield part
