"""The routes, a module for each resource.

A module has a `router`, and a `WHAT` if a farm's data is read or changed by it: {route's template or change: its
words for the farm's audit}. A new one stands in `PARTS`, and that is all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.routes import (
    alert_charts,
    alerts,
    animals,
    audit,
    book,
    browsers,
    comparisons,
    completeness,
    consents,
    contacts,
    data,
    deliveries,
    devices,
    exports,
    fields,
    groups,
    herd_events,
    imports,
    incidents,
    invitations,
    leaving,
    line,
    maintenance,
    members,
    messages,
    oidc,
    overview,
    people,
    placements,
    places,
    push,
    rota,
    sent_charts,
    series,
    session,
    settings,
    sign_in,
    stream,
    tokens,
    voice,
    wishes,
)
from api.shapes import Names

PARTS: Final = (
    session,
    sign_in,
    browsers,
    overview,
    comparisons,
    places,
    series,
    data,
    exports,
    alerts,
    alert_charts,
    deliveries,
    book,
    wishes,
    messages,
    line,
    push,
    voice,
    sent_charts,
    incidents,
    stream,
    consents,
    audit,
    leaving,
    contacts,
    rota,
    maintenance,
    placements,
    devices,
    completeness,
    settings,
    animals,
    groups,
    herd_events,
    imports,
    fields,
    tokens,
    members,
    invitations,
    people,
    oidc,
)


def what_is_done() -> Mapping[str, Names]:
    """What the rows of an audit tell of, in words."""
    return {name: words for part in PARTS for name, words in getattr(part, "WHAT", {}).items()}
