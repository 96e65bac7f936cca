"""The registry's tables, a module for each part of them.

Times are UTC in milliseconds. Names that people read come in Japanese and English. The migrations in
`migrations/` bring a database to this shape; a test holds the two equal. Every module with tables is imported here,
so that `Base.metadata` knows them all; the newer ones are named in full by who needs their tables.
"""

from __future__ import annotations

from typing import Final

from collectors.registry.schema import (  # noqa: F401
    access,
    book,
    comparisons,
    farm,
    herd,
    identity,
    imports,
    incidents,
    leases,
    leave,
    notify,
    sign_in,
)
from collectors.registry.schema.alerts import Alert, AlertEvent, JudgeSnapshot
from collectors.registry.schema.base import Base, RowId
from collectors.registry.schema.letters import DeadLetter, DeadLetterDay
from collectors.registry.schema.people import (
    AuditRow,
    Consent,
    Invitation,
    PersonRow,
    RightsVersion,
    RoleRow,
    WebSession,
)
from collectors.registry.schema.stands import Device, Gateway, Place, Placement, Site
from collectors.registry.schema.ways import (
    FetchState,
    Forecast,
    LoraDevice,
    LoraUnknown,
    SiteStore,
    SiteWeather,
    Source,
    SourceBatch,
    StoreServer,
    WeatherWarning,
)

SESSION_TABLES: Final = frozenset({"web_session"})
RIGHTS_TABLES: Final = frozenset({"person", "role", "consent", "place", "placement", "api_token"})
"""What the rights of a viewer are made of; a placement decides of which class a value is."""

__all__ = [
    "RIGHTS_TABLES",
    "SESSION_TABLES",
    "Alert",
    "AlertEvent",
    "AuditRow",
    "Base",
    "Consent",
    "DeadLetter",
    "DeadLetterDay",
    "Device",
    "FetchState",
    "Forecast",
    "Gateway",
    "Invitation",
    "JudgeSnapshot",
    "LoraDevice",
    "LoraUnknown",
    "PersonRow",
    "Place",
    "Placement",
    "RightsVersion",
    "RoleRow",
    "RowId",
    "Site",
    "SiteStore",
    "SiteWeather",
    "Source",
    "SourceBatch",
    "StoreServer",
    "WeatherWarning",
    "WebSession",
]
