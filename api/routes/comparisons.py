"""Comparisons across farms that take part in them: how one's own farm stands, and nothing of any other one.

`collectors.registry.cohorts` says what may be told and why nobody's value can be worked out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, cast, get_args

from fastapi import APIRouter, HTTPException, Path, Query

from api.centre import Centre, CentreNow
from api.measures import BY_ID, MEASURES, Compared, Measure, Month, months
from api.problems import existing, not_found
from api.routes.consents import require_insider
from api.sessions import SERVICE, SignedIn, writing
from api.shapes import Names
from api.shapes.comparisons import ComparisonOut, MeasureOut, MeasuresOut, OwnValue, PartOut, PartsOut, Why
from collectors.registry import comparisons, people
from collectors.registry.cohorts import COLLUDING, band_of, told_count
from collectors.registry.viewer import Person

router = APIRouter(tags=["comparisons"])

WHAT: Final[Mapping[str, Names]] = {
    comparisons.JOINED: Names(ja="ほかの 農場との 比較に 加わりました", en="joined comparisons with other farms"),
    comparisons.LEFT: Names(ja="ほかの 農場との 比較を やめました", en="left comparisons with other farms"),
    comparisons.USED: Names(
        ja="農場名を 出さずに 比較に 使いました", en="was used in a comparison, without its name"
    ),
}


@router.get("/comparisons")
def list_of(_: SignedIn, centre: CentreNow) -> MeasuresOut:
    """What is compared, and of which months."""
    return MeasuresOut(
        rows=[_measure(measure) for measure in MEASURES], months=[m.name for m in months(centre.clock())]
    )


@router.get("/comparisons/{measure}")
def one(
    measure: Annotated[str, Path(max_length=64, description="An id of GET /comparisons")],
    viewer: SignedIn,
    centre: CentreNow,
    month: Annotated[
        str | None, Query(pattern=r"^\d{4}-\d{2}$", description="One of the list's months; by default the newest")
    ] = None,
) -> ComparisonOut:
    """How the viewer's own farms stand among all that take part. Whoever belongs to none that does sees no bands."""
    word = existing(BY_ID.get(measure))
    known = {found.name: found for found in months(centre.clock())}
    wanted = next(iter(known.values())) if month is None else known.get(month)
    if wanted is None:
        raise HTTPException(422, "month: one of those that GET /comparisons lists")
    with centre.registry.read() as session:
        own = comparisons.own_parts(session, viewer, word.data_class)
    if not own:
        return _told(word, wanted, why="not-taking-part")
    values = centre.publisher.own(word, wanted, own)
    bands, at_least, why = _published(centre, viewer, word, wanted)
    return _told(
        word, wanted, why=why, at_least=at_least, bands=bands,
        own=[
            OwnValue(site=site, value=value, band=None if value is None else band_of(value, bands))
            for site, value in values.items()
        ],
    )  # fmt: skip


def _published(centre: Centre, viewer: Person, measure: Measure, month: Month) -> tuple[list[float], int, Why | None]:
    """What `viewer` may be told of a publication: the bands, how many parties at least, why there are none."""
    row = centre.publisher.published(measure, month, centre.clock())
    if row is None:
        return [], 0, "too-few"
    with centre.registry.read() as session:
        whole = people.viewer_of(session, SERVICE, viewer.id, centre.clock())
        # Also what the person behind a program sees counts: they are one head.
        if whole is None or comparisons.known_parties(session, whole, row, measure.data_class) > COLLUDING:
            return [], 0, "sees-too-many"
    return [float(mean) for mean in row.bands], told_count(row.parties), None


def _told(
    measure: Measure,
    month: Month,
    *,
    why: Why | None,
    at_least: int = 0,
    bands: list[float] | None = None,
    own: list[OwnValue] | None = None,
) -> ComparisonOut:
    return ComparisonOut(
        measure=_measure(measure), month=month.name, at_least=at_least, bands=bands or [], own=own or [], why=why
    )


def _measure(measure: Measure) -> MeasureOut:
    return MeasureOut.model_validate(
        {
            "id": measure.id, "data_class": measure.data_class, "name": dict(measure.names), "unit": measure.unit,
            "factor": measure.factor, "decimals": measure.decimals,
        }
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------- taking part

ComparedName = Annotated[str, Path(max_length=64, description="`tank`, `barn` or `field`")]


@router.get("/sites/{site}/comparisons")
def parts(site: str, viewer: SignedIn, centre: CentreNow) -> PartsOut:
    """With which classes of its data the farm takes part."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        rows = comparisons.list_parts(session, viewer, site)
    return PartsOut(
        rows=[PartOut.model_validate({"data_class": row.data_class, "since_ms": row.given_ms}) for row in rows]
    )


@router.put("/sites/{site}/comparisons/{data_class}", status_code=204)
def join(site: str, data_class: ComparedName, viewer: SignedIn, centre: CentreNow) -> None:
    """Lets a class of the farm's data into comparisons: into means of eight farms or more. Again: the same."""
    require_insider(viewer, site)
    compared = _compared(data_class)
    with writing(centre, viewer, site) as session:
        comparisons.join(session, viewer, site, compared, centre.clock())


@router.delete("/sites/{site}/comparisons/{data_class}", status_code=204)
def leave(site: str, data_class: ComparedName, viewer: SignedIn, centre: CentreNow) -> None:
    """Takes a class out of comparisons at once: it is in nothing that is published from now on. Again: the same."""
    require_insider(viewer, site)
    compared = _compared(data_class)
    with writing(centre, viewer, site) as session:
        comparisons.leave(session, viewer, site, compared, centre.clock())


def _compared(data_class: str) -> Compared:
    """The class, if anything of it is compared."""
    for known in get_args(Compared):
        if known == data_class:
            return cast("Compared", known)
    raise not_found()
