"""The chart of an alert with its normal band, as SVG, or as PNG for what shows no SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response

from analytics.alert_chart import POINTS, Wanted, Window, chart_of, span_of, wanted
from analytics.chart import Chart, Language, svg
from analytics.chart_png import NoFont, language_for, png
from analytics.rules import FarmRules
from analytics.texts import describe, farm_names
from api.centre import Centre, CentreNow
from api.etags import Tagging
from api.problems import Refused, existing, not_found
from api.routes.series import width_for, windows_in
from api.sessions import SERVICE, Account, Accounting, SignedIn
from api.shapes import Names
from collectors.out.clock import zone_of
from collectors.registry import alerts, people, sites
from collectors.registry.sight import farm_sight
from collectors.registry.viewer import Person
from makiba.data_class import DataClass
from makiba.reading import Series

router = APIRouter(tags=["alerts"])

WHAT: Final[Mapping[str, Names]] = {
    f"/sites/{{site}}/alerts/{{alert_id}}/chart.{form}": Names(
        ja="警報の グラフを 見ました", en="looked at the chart of an alert"
    )
    for form in ("svg", "png")
}
SVG: Final = "image/svg+xml"
PNG: Final = "image/png"
PNG_WIDTH: Final = 960

AlertId = Annotated[str, Path(max_length=64)]
Lang = Annotated[Language | None, Query(description="ja or en; by default as the viewer reads")]


def _content(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}}


@router.get(
    "/sites/{site}/alerts/{alert_id}/chart.svg", response_class=Response, responses=_content(SVG),
)  # fmt: skip
def as_svg(
    site: str,
    alert_id: AlertId,
    viewer: SignedIn,
    centre: CentreNow,
    account: Accounting,
    tags: Tagging,
    lang: Lang = None,
) -> Response:
    """The values that the alert is about, their limits, and when it was there.

    Of what its viewer may not see there is no line in it.
    """
    chart = _chart(centre, viewer, account, site, alert_id, lang)
    return tags.spelled(svg(chart).encode(), SVG)


@router.get(
    "/sites/{site}/alerts/{alert_id}/chart.png", response_class=Response,
    responses={**_content(PNG), 503: {"description": "No font, or nothing to draw with, on this machine"}},
)  # fmt: skip
def as_png(
    site: str,
    alert_id: AlertId,
    viewer: SignedIn,
    centre: CentreNow,
    account: Accounting,
    tags: Tagging,
    lang: Lang = None,
) -> Response:
    """The same as PNG. In English where the machine has no Japanese font, 503 where it has none at all."""
    picture, drawn = png_of(centre, viewer, account, site, alert_id, lang)
    return tags.spelled(picture, PNG, state=drawn)


def png_of(
    centre: Centre, viewer: Person, account: Account, site: str, alert_id: str, lang: Language | None
) -> tuple[bytes, bytes]:
    """The chart as PNG, and as the SVG that it was drawn from. 404; 503 without a font."""
    try:
        drawn = svg(_chart(centre, viewer, account, site, alert_id, lang, language_for))
        return png(drawn, PNG_WIDTH), drawn.encode()
    except NoFont as error:
        raise Refused(503, str(error), slug="no-font") from None


def _chart(
    centre: Centre,
    viewer: Person,
    account: Account,
    site: str,
    alert_id: str,
    lang: Language | None,
    written: Callable[[Language], Language] = lambda language: language,
) -> Chart:
    now_ms = centre.clock()
    with centre.registry.read() as session:
        row = existing(alerts.get_alert(session, viewer, alert_id))
        farm = sites.get_site(session, viewer, site, "alerts")
        if farm is None or row.site_id != site:
            raise not_found()
        names = farm_names(session, SERVICE, site)
        sight = farm_sight(session, SERVICE, viewer, site)
        person = people.get_person(session, SERVICE, viewer.id)
        language: Language = written(lang or ("en" if person and person.language == "en" else "ja"))
        rule = centre.rules.get(row.rule)
        tuned = FarmRules(centre.rules, farm.rules or {}).tuned(row.rule, row.subject) if rule else None
        words = describe(row, rule, names)
        session.expunge(row)
        zone = zone_of(farm.timezone)
    span = span_of(row, now_ms)
    panels: list[Wanted] = wanted(row, rule, centre.store.series(site))
    width_ms = width_for(*span, POINTS)
    seen: dict[Series, list[Window]] = {}
    classes: set[DataClass] = {"alerts"}
    for series in {s for panel in panels for s in panel.series}:
        spans = sight.spans(series.subject, series.quantity)
        found = windows_in(centre, series, spans, *span, width_ms) if spans else ()
        seen[series] = [Window(w.start_ms + width_ms // 2, w.minimum, w.mean, w.maximum) for w in found]
        if seen[series]:
            classes |= set(sight.classes_of(series.subject, series.quantity))
    account.note(site, classes, span)
    return chart_of(row, tuned, panels, seen, words, names, span, zone, language)
