"""Parts for tests of telling people: a farm with people, addresses and a rota; channels that keep what they get."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import select

from analytics import alert_book
from analytics.decision import Decision, Kind
from analytics.notify import lists
from analytics.notify.begin import ME
from analytics.notify.carry import carry_one
from analytics.notify.port import ChannelName, Message, Sent
from analytics.notify.send import send_one
from analytics.notify.who import Ways
from collectors.registry import Registry, addresses, open_registry, outbox
from collectors.registry.schema import PersonRow, RoleRow
from collectors.registry.schema.farm import Contact, Shift
from collectors.registry.schema.notify import Escalation, Outbox
from collectors.registry.sites import SiteSpec, apply_site
from collectors.registry.viewer import Person, Role, Service
from makiba.rule import Rule, Severity, load_rules
from makiba.settings import configs_dir

SITE = "farm"
MINUTE = 60_000
NOON = 1_763_953_200_000
"""2025-11-24, 12:00 in Japan."""
NIGHT = NOON + 11 * 3_600_000  # 23:00
OWNER = Person(1, "Owner", {SITE: "owner"})
FAMILY = Person(2, "Family", {SITE: "family"})
RULES: Mapping[str, Rule] = load_rules(configs_dir() / "rules")


class Killed(BaseException):
    """The process dies here."""


@dataclass
class Recorder:
    """A channel that keeps what it accepted, each message once, as LINE does with its retry key."""

    name: ChannelName
    exactly_once: bool = True
    monthly: int | None = None
    answer: Callable[[Message], Sent | None] = lambda _: None
    got: list[Message] = field(default_factory=list)
    calls: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message: Message) -> Sent:
        with self.lock:
            self.calls += 1
            if (sent := self.answer(message)) is not None:
                return sent
            if message.id in {one.id for one in self.got}:
                return Sent("duplicate")
            self.got.append(message)
            return Sent("accepted", provider_id=f"{self.name}-{len(self.got)}")

    @property
    def alerts(self) -> list[str | None]:
        return [one.alert_id for one in self.got]


@dataclass
class Centre:
    """A registry, its channels and a clock that stands still; `step` does what a notifier does."""

    registry: Registry
    channels: dict[str, Recorder]
    now_ms: int = NOON
    rules: Mapping[str, Rule] = field(default_factory=lambda: RULES)

    @property
    def ways(self) -> Ways:
        return Ways(self.channels, self.rules, "https://makiba.example")

    def step(self) -> None:
        """Everything that is due now, until nothing is."""
        while self.carry() or self.fold() or self.send():
            pass

    def carry(self) -> bool:
        with self.registry.write() as session:
            return carry_one(session, self.ways, self.now_ms)

    def fold(self) -> bool:
        with self.registry.read() as session:
            whose = outbox.held_due(session, ME, self.now_ms)
        for person, contact in whose:
            with self.registry.write() as session:
                lists.fold(session, self.ways, person, contact, self.now_ms)
        return bool(whose)

    def send(self) -> bool:
        with self.registry.read() as session:
            due = outbox.channels_due(session, ME, self.now_ms)
        sent = [send_one(self.registry, self.ways, name, "0" * 32, lambda: self.now_ms) for name in due]
        return any(sent)

    def later(self, minutes: float) -> None:
        """Time goes on, from one moment at which something is due to the next."""
        end = self.now_ms + int(minutes * MINUTE)
        while self.now_ms < end:
            self.now_ms = min([end, *self._moments()])
            self.step()

    def _moments(self) -> list[int]:
        """When something will be due, later than now."""
        with self.registry.read() as session:
            open_rows = Outbox.state.in_(outbox.OPEN)
            found = [
                *session.scalars(select(Escalation.next_ms).where(Escalation.next_ms > self.now_ms)),
                *session.scalars(select(Outbox.due_ms).where(open_rows, Outbox.due_ms > self.now_ms)),
                *session.scalars(
                    select(Outbox.leased_until_ms).where(open_rows, Outbox.leased_until_ms > self.now_ms)
                ),
            ]
        return [moment for moment in found if moment is not None]

    # ------------------------------------------------------------------------------------- the book

    def opens(self, severity: Severity = "critical", subject: str = "tank-1", rule: str = "tank.hold",
              kind: Kind = "open", onset_ms: int | None = None) -> str:  # fmt: skip
        with self.registry.write() as session:
            onset = self.now_ms if onset_ms is None else onset_ms
            return alert_book.write(
                session, ME, Decision(kind, SITE, rule, subject, onset, self.now_ms, severity), self.now_ms
            ).alert_id

    def acknowledges(self, alert: str, who: Person = OWNER) -> None:
        with self.registry.write() as session:
            alert_book.acknowledge(session, who, alert, self.now_ms)

    def rows(self, alert: str | None = None) -> Sequence[Outbox]:
        with self.registry.read() as session:
            query = select(Outbox).order_by(Outbox.created_ms, Outbox.channel)
            return session.scalars(query if alert is None else query.where(Outbox.alert_id == alert)).all()

    def carried(self, alert: str) -> Escalation:
        with self.registry.read() as session:
            return session.get_one(Escalation, alert)

    # ------------------------------------------------------------------------------------- people

    def person(self, number: int, name: str, role: Role, *channels: str, admin: bool = False) -> None:
        with self.registry.write() as session:
            session.add(
                PersonRow(id=number, public_id=f"p{number}", login=name, name=name, created_ms=NOON, is_admin=admin)
            )
            session.flush()
            if role:
                session.add(RoleRow(person_id=number, site_id=SITE, role=role))
            for channel in channels:
                addresses.put(session, ME, number, channel, address_of(channel, number), NOON, verified=True)

    def contact(self, name: str, phone: str = "+81156661234", mail: str = "") -> None:
        with self.registry.write() as session:
            session.add(
                Contact(
                    id=name, site_id=SITE, name=name, kind="coop", phone=phone, mail=mail, created_ms=0, version=1
                )
            )

    def on_call(self, tier: str, *, person: int | None = None, contact: str | None = None, position: int = 0,
                kind: str = "dated", from_ms: int = 0, to_ms: int = 4_000_000_000_000) -> None:  # fmt: skip
        with self.registry.write() as session:
            session.add(
                Shift(
                    id=f"{kind}-{tier}-{person}-{contact}-{from_ms}", site_id=SITE, kind=kind, tier=tier,
                    position=position, person_id=person, contact_id=contact, from_ms=from_ms, to_ms=to_ms,
                    created_ms=0, version=1,
                )
            )  # fmt: skip


def address_of(channel: str, number: int) -> dict[str, Any]:
    return {name: f"{name}-{number}" for name in addresses.SHAPES[channel]}


@cache
def _made() -> Path:
    path = Path(tempfile.mkdtemp()) / "registry.db"
    filled(open_registry(f"sqlite:{path}", migrate=True)).close()
    return path


def new_registry(folder: Path) -> Registry:
    """A registry with the farm in it, copied: making one takes longer than most of what is tried on it."""
    shutil.copy(_made(), folder / "registry.db")
    return open_registry(f"sqlite:{folder / 'registry.db'}")


def filled(registry: Registry) -> Registry:
    with registry.write() as session:
        apply_site(session, Service("console"), SiteSpec(SITE, "さくら牧場", "Sakura Farm"), NOON)
    return registry


def centre(registry: Registry, *names: ChannelName) -> Centre:
    return Centre(registry, {name: Recorder(name) for name in names or ("push", "line")})
