"""Puts a row of the outbox into words: reads what it is about as it stands now, and makes the message.

`Unneeded`: nobody needs it any more. Whatever goes wrong with the words of an alert, `plain` words are sent: an alert
is not lost by a brace in a text. Codes are made here, at the last moment, and only their hashes are kept.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.notify import plan, words
from analytics.notify.begin import ME, is_nobodys
from analytics.notify.port import Kind, Message
from analytics.notify.who import Ways
from analytics.notify.words import Told, Words
from analytics.texts import describe, farm_names
from collectors.registry import addresses, outbox, people, recovery
from collectors.registry.schema import Alert, PersonRow, Site
from collectors.registry.schema.notify import Outbox
from collectors.registry.viewer import may_see

log = logging.getLogger(__name__)

OF_A_FARM = frozenset({"alert", "list", "late"})


@dataclass(frozen=True, slots=True)
class Unneeded:
    """Why a row is sent no more. `failed`: its address is of no use, so that another takes over."""

    why: str
    failed: bool = False


def render(session: Session, ways: Ways, row: Outbox, now_ms: int) -> Message | Unneeded:
    """The message of `row`, in a session that may write (codes)."""
    to = _address(session, row)
    if to is None:
        return Unneeded("the address is gone", failed=True)
    language = _language(session, row)
    if language is None:
        return Unneeded("this person is shut out")
    if row.kind in OF_A_FARM and row.site_id is not None and not _may_see(session, row, row.site_id, now_ms):
        return Unneeded("this person may not see it any more")
    said = _words(session, ways, row, language, now_ms)
    if isinstance(said, Unneeded):
        return said
    made, path = said
    return Message(
        id=row.id, to=to, kind=cast("Kind", row.kind), severity=row.severity, language=language,
        title=made.title, body=made.body, buttons=made.buttons,
        url=path if path.startswith("http") else f"{ways.address.rstrip('/')}/{path.lstrip('/')}",
        tag=row.alert_id or str((row.content or {}).get("tag") or row.telling),
        site=row.site_id, alert_id=row.alert_id,
    )  # fmt: skip


def plain(session: Session, ways: Ways, row: Outbox, now_ms: int) -> Message | Unneeded:
    """The message of `row` when its words cannot be made."""
    if row.site_id is not None and not _may_see(session, row, row.site_id, now_ms):
        return Unneeded("this person may not see it any more")
    to = _address(session, row)
    if to is None:
        return Unneeded("the address is gone", failed=True)
    language = _language(session, row) or "ja"
    alert = session.get(Alert, row.alert_id) if row.alert_id else None
    made = words.plain(alert.rule if alert else "Makiba", row.site_id or "", language)
    return Message(
        id=row.id, to=to, kind=cast("Kind", row.kind), severity=row.severity, language=language, title=made.title,
        body=made.body, url=f"{ways.address.rstrip('/')}/#/alerts", tag=row.alert_id or row.telling,
        site=row.site_id, alert_id=row.alert_id,
    )  # fmt: skip


def _words(session: Session, ways: Ways, row: Outbox, language: str, now_ms: int) -> tuple[Words, str] | Unneeded:
    content = row.content or {}
    match row.kind:
        case "alert":
            alert = session.get(Alert, row.alert_id)
            if alert is None or not is_nobodys(alert):
                return Unneeded("it was answered")
            told = told_of(session, ways, alert, int(content.get("round", 0)))
            return words.of_alert(told, language, now_ms), f"#/alerts/{alert.id}"
        case "list":
            return _list(session, ways, row, language, now_ms)
        case "late":
            return _late(session, ways, row, language), "#/alerts"
        case "incident":
            made = Words(str(content["title"][language]), str(content["body"][language]))
            return made, str(content.get("path", "#/alerts"))
        case "quota":
            return words.of_quota(
                str(content["channel"]), int(content["left"]), int(content["monthly"]), language
            ), ""
        case "unreachable":
            site = session.get(Site, str(content["site"]))
            name = (site.name_ja if language == "ja" else site.name_en) if site else str(content["site"])
            return words.of_unreachable(name, language), ""
        case "verify":
            return _verify(session, row, language, now_ms)
        case "recovery":
            return _recovery(session, ways, row, language, now_ms)
        case _:
            return words.of_test(language), ""


def told_of(session: Session, ways: Ways, alert: Alert, number: int = 0) -> Told:
    """The alert as words are made of it."""
    site = session.get_one(Site, alert.site_id)
    rule = ways.rules.get(alert.rule)
    return Told(
        describe(alert, rule, farm_names(session, ME, alert.site_id)),
        alert.severity,
        {"ja": site.name_ja, "en": site.name_en},
        alert.onset_ms,
        ZoneInfo(site.timezone),
        number,
        rule is not None and rule.life_safety,
    )


def _list(session: Session, ways: Ways, row: Outbox, language: str, now_ms: int) -> tuple[Words, str] | Unneeded:
    alerts = [session.get(Alert, one.alert_id) for one in outbox.listed_in(session, ME, row.telling) if one.alert_id]
    there = {alert.id: alert for alert in alerts if alert is not None and is_nobodys(alert)}
    shown = [alert for alert in there.values() if _may_see(session, row, alert.site_id, now_ms)]
    if not shown:
        return Unneeded("all of it was answered")
    rank = {"critical": 0, "warning": 1, "advisory": 2}
    shown.sort(key=lambda alert: (rank.get(alert.severity, 3), alert.opened_ms))
    tolds = [told_of(session, ways, alert) for alert in shown]
    is_morning = any(abs(now_ms - plan.next_list_ms(now_ms - 3_600_000, told.zone)) < 3_600_000 for told in tolds)
    return words.of_list(tolds, language, is_morning=is_morning), "#/alerts"


def _late(session: Session, ways: Ways, row: Outbox, language: str) -> Words:
    content = row.content or {}
    site = session.get_one(Site, row.site_id)
    titles = []
    for name in content.get("rules", []):
        rule = ways.rules.get(str(name))
        titles.append({"ja": rule.title.ja, "en": rule.title.en} if rule else {"ja": str(name), "en": str(name)})
    farm = {"ja": site.name_ja, "en": site.name_en}
    return words.of_late(
        farm, int(content["from_ms"]), int(content["to_ms"]), titles, ZoneInfo(site.timezone), language
    )


def _verify(session: Session, row: Outbox, language: str, now_ms: int) -> tuple[Words, str] | Unneeded:
    if row.person_id is None or row.address_id is None:
        return Unneeded("of nobody")
    code = f"{secrets.randbelow(1_000_000):06}"
    addresses.make_code(session, ME, row.person_id, row.channel, hashed(code), now_ms, row.address_id)
    return words.of_code(code, language), ""


def _recovery(session: Session, ways: Ways, row: Outbox, language: str, now_ms: int) -> tuple[Words, str] | Unneeded:
    person = session.get(PersonRow, row.person_id)
    if person is None or person.is_admin:
        return Unneeded("not by mail")
    code = secrets.token_urlsafe(24)
    recovery.answer_by_mail(session, ME, person, code_hash=hashed(code), now_ms=now_ms)
    url = f"{ways.address.rstrip('/')}/#join={code}"
    return words.of_recovery(url, language), url


def hashed(code: str) -> str:
    """What is kept of a code; the API does the same."""
    return hashlib.sha256(code.encode()).hexdigest()


def _address(session: Session, row: Outbox) -> Mapping[str, Any] | None:
    if row.address_id is None:
        return addresses.address_of_contact(session, ME, row.contact_id or "", row.channel)
    found = addresses.get_address(session, ME, row.address_id)
    if found is None or found.gone_ms is not None or (found.verified_ms is None and row.kind != "verify"):
        return None
    return dict(found.address)


def _language(session: Session, row: Outbox) -> str | None:
    """The language of who is told; None: they are shut out."""
    if row.person_id is None:
        return "ja"
    found = session.execute(
        select(PersonRow.language).where(PersonRow.id == row.person_id, PersonRow.disabled_ms.is_(None))
    ).scalar_one_or_none()
    return None if found is None else "en" if found == "en" else "ja"


def _may_see(session: Session, row: Outbox, site: str, now_ms: int) -> bool:
    if row.person_id is None:
        return True
    viewer = people.viewer_of(session, ME, row.person_id, now_ms)
    return viewer is not None and may_see(viewer, site, "alerts")
