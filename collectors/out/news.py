"""New steps of alerts and new refusals, asked of the registry now and then: what `makiba tail` shows beside readings.

The first question only finds where the book and the letters end; what was there before is not news. Where several
writers commit at once (PostgreSQL), a row that becomes visible after a later one may not be told.
"""

from __future__ import annotations

from collections.abc import Mapping

from collectors.console import CONSOLE
from collectors.out.lines import AlertStep, Language, Refused
from collectors.registry import Registry, alerts, dead_letters, sites
from makiba.rule import Rule

AT_ONCE = 200


class News:
    """Of one farm, or of all of them where `site` is None."""

    def __init__(self, registry: Registry, site: str | None, rules: Mapping[str, Rule], language: Language) -> None:
        self._registry, self._site, self._rules, self._language = registry, site, rules, language
        with registry.read() as session:
            self._last_event = alerts.last_event_id(session, CONSOLE)
            newest = dead_letters.list_letters(session, CONSOLE, limit=1)
        self._last_letter = newest[0].id if newest else 0

    def alert_steps(self) -> list[AlertStep]:
        """Steps since the last time, in order. `RegistryError` when it does not answer; nothing is lost then."""
        with self._registry.read() as session:
            events = alerts.events_since(session, CONSOLE, self._last_event, AT_ONCE)
            found: list[AlertStep] = []
            for event in events:
                alert = alerts.get_alert(session, CONSOLE, event.alert_id)
                if alert is None or (self._site is not None and event.site_id != self._site):
                    continue
                rule = self._rules.get(alert.rule)
                title = getattr(rule.title, self._language) if rule else alert.rule
                found.append(
                    AlertStep(
                        event.at_ms, alert.site_id, alert.subject, alert.rule, alert.severity, event.kind, title
                    )
                )
        if events:
            self._last_event = events[-1].id
        return found

    def refused(self) -> list[Refused]:
        """Refusals since the last time, in order; of very many at once the newest."""
        with self._registry.read() as session:
            letters = dead_letters.list_letters(session, CONSOLE, limit=AT_ONCE)
            own = None
            if self._site is not None:
                own = {row.id for row in sites.list_gateways(session, CONSOLE, self._site)}
        new = [row for row in reversed(letters) if row.id > self._last_letter]
        if new:
            self._last_letter = new[-1].id
        return [
            Refused(row.received_ms, row.gateway_id, row.name, row.reason)
            for row in new
            if own is None or row.gateway_id in own
        ]
