"""A farm takes its data along, and leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Path, Response

from api.centre import Centre, CentreNow
from api.fresh import Proof
from api.outgoing import Outgoing
from api.problems import existing, not_found
from api.routes.exports import Places
from api.sessions import SERVICE, SignedIn, writing
from api.shapes import Names
from api.shapes.leaving import DeleteIn, LeaveIn, LeaveOut, ReceiptOut
from api.still import StillThere
from collectors.out.archive import archive
from collectors.out.leave import STILL_THERE, delete_farm
from collectors.registry import leaving, people
from collectors.registry.schema.leave import Departure
from collectors.registry.viewer import Action, Person, is_insider, may_do, require

router = APIRouter(tags=["leaving"])

WHAT: Final[Mapping[str, Names]] = {
    "farm.leaving": Names(ja="やめる 手続きを 始めました", en="began to leave"),
    "farm.staying": Names(ja="やめる 手続きを 取り消しました", en="stays after all"),
    "farm.archived": Names(ja="すべての データを 取り出しました", en="took all data along"),
}


def require_owner(viewer: Person, site: str, action: Action) -> None:
    """404 to who is no insider of `site`, 403 to an insider who is not its owner."""
    if not is_insider(viewer, site):
        raise not_found()
    require(viewer, site, action)


@router.get(
    "/sites/{site}/archive",
    response_class=Response,
    responses={200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
def take_along(
    site: str, viewer: SignedIn, centre: CentreNow, proof: Proof, still: StillThere, places: Places
) -> Outgoing:
    """All data of the farm as one ZIP: CSV, Parquet, SenML, everything else as JSON. Its owner's.

    Like all of its way out, it needs a proof of the last ten minutes: 403 `proof-needed`.

    While the farm is leaving, the SHA-256 of what was sent is what `delete` asks for. It ends broken when its owner
    is one no more, or signs out. At most two files at once for a person (429).
    """
    require_owner(viewer, site, "export all")
    proof.require()
    begun_ms = centre.clock()
    digests: list[str] = []
    give_back = places.take(viewer.id)
    try:
        parts = archive(centre.store, centre.registry, viewer, site, begun_ms, digests.append)
    except BaseException as error:
        give_back()
        if isinstance(error, LookupError):
            raise not_found() from None
        raise

    def sent() -> Iterator[bytes]:
        yield from parts
        _still_owner(centre, viewer, site)  # what is noted is what somebody who may have it has got
        with centre.registry.write() as session:
            leaving.note_archive(session, viewer, site, digests[0], begun_ms, centre.clock())

    return Outgoing(
        sent(),
        look=still.rights_looker(lambda rights: may_do(rights.person, site, "export all")),
        is_home=True,
        slots=places,
        give_back=give_back,
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="makiba-{site}.zip"'},
    )


def _still_owner(centre: Centre, viewer: Person, site: str) -> None:
    """Breaks the answer off when `viewer` is not the owner any more: the file must not look whole."""
    with centre.registry.read() as session:
        person = people.viewer_of(session, SERVICE, viewer.id, centre.clock())
    if person is None:
        raise ConnectionAbortedError("signed out while an archive went out")
    require(person, site, "export all")


@router.get("/sites/{site}/leave")
def how_far(site: str, viewer: SignedIn, centre: CentreNow) -> LeaveOut:
    """How far the farm is on its way out; 404 while it stays."""
    require_owner(viewer, site, "delete farm")
    with centre.registry.read() as session:
        row = existing(leaving.current(session, viewer, site))
        return _shown(row)


@router.post("/sites/{site}/leave", status_code=201)
def begin(site: str, given: LeaveIn, viewer: SignedIn, centre: CentreNow, proof: Proof) -> LeaveOut:
    """Ends what is taken of the farm, so that its archive can be whole. Its gateways keep what they measure."""
    require_owner(viewer, site, "delete farm")
    proof.require()
    _confirmed(site, given.confirm)
    with writing(centre, viewer, site) as session:
        return _shown(leaving.begin(session, viewer, site, centre.clock()))


@router.delete("/sites/{site}/leave", status_code=204)
def stay(site: str, viewer: SignedIn, centre: CentreNow) -> None:
    """The farm stays after all: its gateways send what they kept."""
    require_owner(viewer, site, "delete farm")
    try:
        with writing(centre, viewer, site) as session:
            leaving.stay(session, viewer, site, centre.clock())
    except leaving.Deleting:
        raise HTTPException(409, "The farm is being deleted; there is no way back.") from None


@router.post("/sites/{site}/leave/delete")
def delete(site: str, given: DeleteIn, viewer: SignedIn, centre: CentreNow, proof: Proof) -> ReceiptOut:
    """Deletes the farm everywhere and answers with the receipt. Nothing brings it back but its archive."""
    require_owner(viewer, site, "delete farm")
    proof.require()
    _confirmed(site, given.confirm)
    try:
        with writing(centre, viewer, site) as session:
            departure = leaving.begin_deleting(session, viewer, site, centre.clock(), given.archive_sha256).id
    except LookupError:
        raise HTTPException(409, "The farm is not leaving: POST /sites/{site}/leave comes first.") from None
    except leaving.NotYet as error:
        wait_s = -(-error.wait_ms // 1000)
        raise HTTPException(
            409, f"What is on its way still settles; in {wait_s} s.", {"Retry-After": str(wait_s)}
        ) from None
    except leaving.NoArchive:
        raise HTTPException(409, "This is not the SHA-256 of the farm's last whole archive.") from None
    return _receipt(delete_farm(centre.registry, centre.store, SERVICE, departure, centre.clock()))


@router.get("/receipts/{receipt_id}")
def receipt(receipt_id: Annotated[str, Path(max_length=64)], centre: CentreNow) -> ReceiptOut:
    """The receipt of a farm that is gone, for whoever was given its id; needs no session."""
    with centre.registry.read() as session:
        row = existing(leaving.receipt(session, SERVICE, receipt_id))
        return _receipt(row)


def _confirmed(site: str, word: str) -> None:
    if word != site:
        raise HTTPException(422, "confirm: the farm's own id, to be sure that this one is meant")


def _shown(row: Departure) -> LeaveOut:
    return LeaveOut(
        receipt=row.id,
        requested_ms=row.requested_ms,
        settled_ms=row.requested_ms + leaving.SETTLE_MS,
        archived_ms=row.archived_ms,
        archive_sha256=row.archive_sha256,
        deleting=row.deleting_ms is not None,
    )


def _receipt(row: Departure) -> ReceiptOut:
    return ReceiptOut(
        id=row.id,
        site=row.site_id,
        requested_ms=row.requested_ms,
        done_ms=row.done_ms or 0,
        deleted=row.counts,
        still_there=[Names(ja=ja, en=en) for ja, en in zip(STILL_THERE["ja"], STILL_THERE["en"], strict=True)],
    )
