"""What a farm says of itself: milking times, pick-up days, what stands where. Its own people see it, no one else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter

from api.centre import CentreNow
from api.etags import Changing, Tagging
from api.problems import FieldError, Refused, existing
from api.routes.consents import require_insider
from api.sessions import SignedIn, writing
from api.shapes import Names
from api.shapes.settings import KeyOut, SettingsIn, SettingsOut, SettingWrong
from collectors.registry import said
from collectors.registry.schema import Site
from makiba.farm_settings import Key, keys

router = APIRouter(tags=["farm settings"])

WHAT: Final[Mapping[str, Names]] = {
    "settings.changed": Names(ja="牧場の 設定を 直しました", en="changed the farm's settings"),
}


@router.get("/sites/{site}/settings")
def settings(site: str, viewer: SignedIn, centre: CentreNow, tags: Tagging) -> SettingsOut:
    """What the farm says of itself, with its version as ETag, and all that it may say."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        row = existing(said.get_settings(session, viewer, site))
        tags.version(row.settings_version)
        return _shown(row, said.problems_of(session, row, row.settings))


@router.put("/sites/{site}/settings")
def change(site: str, given: SettingsIn, viewer: SignedIn, centre: CentreNow, tags: Changing) -> SettingsOut:
    """Makes the farm say what is given, all of it. For owner and family."""
    require_insider(viewer, site)
    with writing(centre, viewer, site) as session:
        row = existing(said.get_settings(session, viewer, site, to_change=True))
        tags.expect(row.settings_version)
        try:
            said.change_settings(session, viewer, row, given.settings, centre.clock())
        except said.Wrong as error:
            errors = [FieldError(where=f"settings.{name}" if name else "", why=why) for name, why in error.problems]
            raise Refused(422, str(error), slug="invalid", errors=errors) from None
        tags.changed(row.settings_version)
        return _shown(row, said.problems_of(session, row, row.settings))


def _shown(row: Site, wrong: list[tuple[str, str]]) -> SettingsOut:
    return SettingsOut(
        settings=row.settings,
        version=row.settings_version,
        said_by="people" if row.settings_edited_ms is not None else "file" if row.settings else "nobody",
        wrong=[SettingWrong(setting=name, why=why) for name, why in wrong],
        keys=[_key(name, key) for name, key in keys().items()],
    )


def _key(name: str, key: Key) -> KeyOut:
    return KeyOut(
        key=name, kind=key.kind, unit=key.unit,
        lowest=key.range[0] if key.range else None, highest=key.range[1] if key.range else None,
        choices={word: Names(**names) for word, names in key.words.items()},
        scopes=["farm", *key.also], name=Names(ja=key.ja, en=key.en), ask=Names(ja=key.ask_ja, en=key.ask_en),
    )  # fmt: skip
