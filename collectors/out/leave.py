"""Deletes a farm everywhere: readings first, then what the registry holds, then readings that came meanwhile.

May be killed at any moment and called again (`collectors.registry.leaving` has the states). What Makiba cannot reach
from here is told in `STILL_THERE`, so that the receipt does not promise more than is true.
"""

from __future__ import annotations

from typing import Final

from collectors.registry import Registry, leaving
from collectors.registry.schema.leave import Departure
from collectors.registry.viewer import Service
from collectors.store import Store

STILL_THERE: Final = {
    "ja": (
        "バックアップの コピーは 次に 作り直すまで 残ります。",
        "ゲートウェイの SDカードに まだ 送っていない 測定値が 残ります。カードを 消してください。",
        "ダウンロードした ファイルは その 人の ところに 残ります。",
    ),
    "en": (
        "Backups that were made before keep it until they are made anew.",
        "A gateway's card keeps what it has not sent yet: wipe the cards.",
        "Files that somebody has downloaded stay where they are.",
    ),
}


def delete_farm(registry: Registry, store: Store, viewer: Service, departure_id: str, now_ms: int) -> Departure:
    """Ends what `leaving.begin_deleting` began. Raises what the store and the registry raise; then call it again."""
    with registry.read() as session:
        row = next((d for d in leaving.unfinished(session, viewer) if d.id == departure_id), None)
        if row is None:
            done = leaving.receipt(session, viewer, departure_id)
            if done is None:
                raise LookupError(f"{departure_id} is not being deleted")
            return done
        site = row.site_id
    series = len(store.series(site))
    store.delete_site(site)
    with registry.write() as session:
        done = leaving.finish(session, viewer, departure_id, series, now_ms)
        session.expunge(done)
    store.delete_site(site)  # a write that hung while the first one ran
    return done


def finish_all(registry: Registry, store: Store, viewer: Service, now_ms: int) -> int:
    """Finishes what was killed in the middle; how many."""
    with registry.read() as session:
        left = [row.id for row in leaving.unfinished(session, viewer)]
    for departure_id in left:
        delete_farm(registry, store, viewer, departure_id, now_ms)
    return len(left)
