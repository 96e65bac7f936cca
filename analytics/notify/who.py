"""Who may be told of a farm's alerts, in which order, by what, and for whom it waits: what plans need to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from analytics.notify import plan
from analytics.notify.begin import ME
from analytics.notify.escalate import Candidate, spell_who
from analytics.notify.plan import Reach
from analytics.notify.port import Channel
from collectors.registry import addresses, book, outbox, rota
from collectors.registry.addresses import Reachable
from collectors.registry.rota_times import on_call
from collectors.registry.schema import Alert
from collectors.registry.schema.notify import Outbox
from makiba.rule import Rule

RESERVE: Final = 0.2
"""Of a counted month, for critical alerts only."""
_BY_ROLE: Final = ("owner", "family", "worker")
_MONTHS: Final = timedelta(hours=9)  # vendors of Japan count Japan's months


@dataclass(frozen=True, slots=True)
class Ways:
    """What the notifier works with: the open channels, the rules, the address of the pages."""

    channels: Mapping[str, Channel]
    rules: Mapping[str, Rule]
    address: str = ""
    months: Mapping[str, int | None] | None = None
    """What was found out of each channel's `monthly`, which may ask the vendor: nobody waits for that with a lock."""

    def monthly(self, name: str) -> int | None:
        """How many messages of the channel a month has; None: not counted, or not known yet."""
        if self.months is not None:
            return self.months.get(name)
        return self.channels[name].monthly if name in self.channels else None

    def falls_into_night(self, rule: str) -> bool:
        """Whether what this rule warns of may happen before the morning: it looks ahead, or is about the night."""
        found = self.rules.get(rule)
        if found is None:
            return True
        looks_ahead = any(getattr(signal, "forecast", None) for signal in found.signals.values())
        return looks_ahead or getattr(found, "hours", None) is not None


def month_of(now_ms: int) -> str:
    """Japan's month: `2026-11`."""
    return (datetime.fromtimestamp(now_ms / 1000, UTC) + _MONTHS).strftime("%Y-%m")


def is_kept(session: Session, ways: Ways, channel: str, severity: str, now_ms: int) -> bool:
    """Whether the channel's month is used up, or what is left of it is kept for what is more urgent."""
    monthly = ways.monthly(channel)
    if monthly is None:
        return False
    left = monthly - outbox.used(session, ME, channel, month_of(now_ms))
    return left <= (0 if severity == "critical" else int(monthly * RESERVE))


def closed_for(session: Session, ways: Ways, severity: str, now_ms: int) -> frozenset[str]:
    """The channels on which nothing of this severity goes out now: not open, or their month is used up."""
    closed = set(plan.CHANNELS) - set(ways.channels)
    closed |= {name for name in ways.channels if is_kept(session, ways, name, severity, now_ms)}
    return frozenset(closed)


@dataclass(frozen=True, slots=True)
class Order:
    """Who may be asked about a farm, in order, those first who are on call; technicians; the farm's zone."""

    usual: tuple[Reachable, ...]
    technicians: tuple[Reachable, ...]
    zone: ZoneInfo

    def find(self, spelled: str) -> Reachable | None:
        """The one called so."""
        return next((one for one in (*self.usual, *self.technicians) if spell_who(one.who) == spelled), None)


def order_of(session: Session, site: str, now_ms: int, first: int | None = None) -> Order:
    """Who may be asked about `site` now; `first`: whose it is to do."""
    desk = rota.desk_of(session, ME, site)
    people = {who: one for who, one in addresses.of_site(session, ME, site, now_ms).items() if one.may_see}
    away = {line.who for line in desk.rota.lines if line.kind == "absence" and line.from_ms <= now_ms < line.to_ms}
    calls = [people[turn.who] for turn in on_call(desk.rota, now_ms) if turn.who in people]
    others = [
        one
        for role in _BY_ROLE
        for one in sorted(people.values(), key=lambda p: (p.name, p.who))
        if one.role == role and one not in calls and one.who not in away
    ]
    usual = sorted([*calls, *others], key=lambda one: one.person_id is None or one.person_id != first)
    technicians = [one for one in people.values() if one.role == "technician" and one not in calls]
    return Order(tuple(usual), tuple(sorted(technicians, key=lambda p: p.who)), desk.rota.zone)


def reaches_of(one: Reachable) -> tuple[Reach, ...]:
    """The addresses of a person as plans take them."""
    return tuple(Reach(address, channel) for address, channel in one.addresses)


def candidates(
    session: Session, ways: Ways, alert: Alert, order: Order, now_ms: int
) -> tuple[list[Candidate], dict[str, plan.Wait]]:
    """Those of `order` who can be reached about `alert`, and for whom it waits."""
    everybody = (*order.usual, *order.technicians)
    numbers = [one.person_id for one in everybody if one.person_id is not None]
    woken = outbox.woken(session, ME, numbers, [plan.night_of(now_ms, order.zone)])
    lately = outbox.told_lately(session, ME, numbers, now_ms - plan.FLOOD_MS)
    closed = closed_for(session, ways, alert.severity, now_ms)
    standing = book.standings(session, ME, [alert.site_id]).get((alert.site_id, alert.rule))
    found: list[Candidate] = []
    waiting: dict[str, plan.Wait] = {}
    for one in everybody:
        if not plan.order_of(alert.severity, one.wishes, reaches_of(one), closed):
            continue
        number = one.person_id or 0
        wait = plan.waits(
            alert.severity, one.wishes, order.zone, now_ms,
            woken=woken.get(number, 0),
            told_lately=lately.get(number, 0),
            in_morning_list=standing is not None and standing.is_demoted,
            falls_into_night=ways.falls_into_night(alert.rule),
        )  # fmt: skip
        if wait is not None:
            waiting[spell_who(one.who)] = wait
        is_technician = one.role == "technician"
        found.append(Candidate(one.who, is_technician, one in order.technicians, wait is not None))
    return found, waiting


def who_of(session: Session, row: Outbox, now_ms: int) -> Reachable | None:
    """Whom a message is for, with the addresses that work now; None: nobody any more."""
    if row.person_id is not None:
        found = addresses.of_persons(session, ME, [row.person_id], now_ms)
    else:
        found = addresses.of_site(session, ME, row.site_id or "", now_ms)
    whose = (row.person_id, row.contact_id)
    return next((one for one in found.values() if (one.person_id, one.contact_id) == whose), None)
