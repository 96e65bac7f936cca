"""Runs a farm's year through the judge and prints how it did; or writes the year as files for `makiba backtest`."""

from __future__ import annotations

import argparse
import time
from datetime import datetime
from pathlib import Path

from analytics.replay import Outcome, alerts_of
from makiba.rule import load_rules
from makiba.settings import Settings
from tests.farm_year.drive import decisions
from tests.farm_year.hazards import hazards_of
from tests.farm_year.labels import Label, labels_of
from tests.farm_year.plan import KINDS
from tests.farm_year.score import Score, score
from tests.farm_year.weather import TOKYO
from tests.farm_year.year import make_year, start_of


def clock(time_ms: int | None) -> str:
    return "-" if time_ms is None else datetime.fromtimestamp(time_ms / 1000, TOKYO).strftime("%m-%d %H:%M")


def show(result: Score, *, full: bool) -> None:
    """The tables, and each alert and fault that went wrong."""
    print(f"{'rule':22}{'cause':>7}{'also':>7}{'right':>7}{'flood':>7}{'silly':>7}")
    for rule, row in result.by_rule().items():
        print(f"{rule:22}" + "".join(f"{row[c] or '':>7}" for c in ("cause", "also", "right", "flood", "silly")))
    print(f"\n{'fault':22}{'found':>7}{'late':>7}{'missed':>7}{'unseen':>7}")
    for kind, row in result.by_kind().items():
        print(f"{kind:22}" + "".join(f"{row[c] or '':>7}" for c in ("found", "late", "missed", "unseen")))
    if full:
        for label, found, told in result.faults:
            if found in ("late", "missed"):
                print("  " + _fault(label, found, told))
        for alert in result.alerts:
            if alert.what in ("silly", "flood"):
                print(f"  {alert.what}: {_alert(alert.outcome)} {alert.why}")
    share = 100 * result.found / max(1, result.to_find)
    print(f"\nfound {result.found} of {result.to_find} ({share:.0f} %), silly {len(result.silly)},"
          f" floods {len(result.of('flood', pushed=True))}, alerts {len(result.alerts)}")  # fmt: skip


def _fault(label: Label, found: str, told: int | None) -> str:
    seen, due = clock(label.visible_ms), clock(label.deadline_ms)
    when = f"{clock(label.start_ms)}, seen from {seen}, by {due}, told {clock(told)}"
    return f"{found}: {label.kind} {label.target} {when}; expected {', '.join(sorted(label.expected))}"


def _alert(o: Outcome) -> str:
    said = {n: s["value"] for n, s in o.decision.signals.items()} if o.decision else {}
    values = ", ".join(f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in said.items())
    when = f"{clock(o.onset_ms)} raised {clock(o.raised_ms)} ended {clock(o.ended_ms)}"
    return f"{o.rule} {o.severity} {o.subject} {when} ({values})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.farm_year", description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--farm", choices=KINDS, default="tie-stall")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--from", dest="start", default="2026-01-01", help="first day, YYYY-MM-DD")
    parser.add_argument("--no-faults", action="store_true")
    parser.add_argument("--full", action="store_true", help="a farm with every sensor")
    parser.add_argument("--rules", type=Path, default=Settings().rules_dir, help="a folder of rules; default: ours")
    parser.add_argument("--csv", type=Path, help="write the readings into this folder instead")
    parser.add_argument("--brief", action="store_true", help="only tables")
    options = parser.parse_args()
    started = time.process_time()
    first = start_of(*map(int, options.start.split("-")))
    year = make_year(
        options.seed, options.farm, options.days, start_ms=first, faults=not options.no_faults, full=options.full
    )
    life = year.life
    done = f"{len(life.milkings)} milkings, {len(life.pickups)} pick-ups, {len(life.washes)} washes"
    print(f"{options.farm}, {year.plan.cows} cows, seed {options.seed}: {done}, {len(year.faults)} faults")
    if options.csv:
        from tests.farm_year.export import write

        print(f"{write(year, options.csv)} readings in {options.csv}")
        return
    rules = load_rules(options.rules)
    outcomes = alerts_of(decisions(year, rules))
    result = score(outcomes, labels_of(year), hazards_of(year))
    show(result, full=not options.brief)
    print(f"{time.process_time() - started:.0f} CPU seconds")


if __name__ == "__main__":
    main()
