"""Why readings wait, and how long the card lasts. From the spool's files, and from what a running gateway shows."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator

from gateway.board import disk_of
from gateway.hot import hot_path, peek_hot
from gateway.packs import readings_in
from gateway.site import Gateway
from gateway.tools.language import Say
from gateway.tools.spool_view import view_spool

QUIET_S = 15.0
"""A batch older than this has been waiting for an answer longer than any that is on its way."""


def report(gateway: Gateway, say: Say) -> Iterator[str]:
    """What waits, why, and for how long there is room."""
    yield from view_spool(gateway.spool.path, gateway.spool.hot, say)
    state = peek_hot(hot_path(gateway.spool.path, gateway.spool.hot))
    in_memory = sum(b.readings for b in state.batches.values()) if state else 0
    on_card = _on_card(gateway)
    if not in_memory and on_card is None:
        yield say("何も 待っていません。すべて 届いています。", "Nothing waits; all is acknowledged.")
        return
    if on_card is None:
        yield say("いま 送っている ところです。", "On its way just now.")
        return
    oldest_ms, size, span_ms = on_card
    age_s = time.time() - oldest_ms / 1000
    if age_s > QUIET_S:
        yield say(f"いちばん 古い 記録: {_span(age_s, say)} 前", f"The oldest is {_span(age_s, say)} old.")
        yield say("なぜか: makiba gateway doctor -c ", "Why: makiba gateway doctor -c ") + str(gateway.file)
        yield "  " + say("つながらない → TCP/TLS の 行", "not connected → its TCP and TLS lines")
        yield "  " + say("答えない → コレクターの 行", "not answered → its collector line")
        yield "  " + say("断られた → ゲートウェイの 記録 (refused)", "refused → the gateway's log (refused)")
    yield from _room(gateway, size, span_ms, say)


def _on_card(gateway: Gateway) -> tuple[int, int, int] | None:
    """(oldest reading, bytes, from the oldest to the newest in ms); None when nothing waits there."""
    if not gateway.spool.path.is_file():
        return None
    try:
        db = sqlite3.connect(f"file:{gateway.spool.path}?mode=ro", uri=True, timeout=5)
        try:
            (size,) = db.execute("SELECT coalesce(sum(length(pack)), 0) FROM batch").fetchone()
            ends = [
                db.execute(f"SELECT deflated, pack FROM batch ORDER BY number {order} LIMIT 1").fetchone()  # noqa: S608
                for order in ("ASC", "DESC")
            ]
        finally:
            db.close()
    except sqlite3.Error:
        return None
    times = [r.time_ms for row in ends if row for r in readings_in(row[1], is_deflated=bool(row[0])) or ()]
    return (min(times), size, max(times) - min(times)) if times else None


def _room(gateway: Gateway, size: int, span_ms: int, say: Say) -> Iterator[str]:
    """How long until the spool, or the card, is full at the rate so far."""
    disk = disk_of(gateway.spool.path)
    left = gateway.spool.max_mb * 1_000_000 - size
    if disk:
        left = min(left, disk.free_bytes)
    if span_ms < 60_000 or size < 1000:
        yield say(f"空き {left // 1_000_000} MB", f"{left // 1_000_000} MB of room")
        return
    days = left / (size / span_ms) / 86_400_000
    yield say(
        f"空き {left // 1_000_000} MB。この 速さで あと {days:.0f} 日",
        f"{left // 1_000_000} MB of room: {days:.0f} days at this rate",
    )


def _span(seconds: float, say: Say) -> str:
    if seconds < 120:
        return say(f"{seconds:.0f} 秒", f"{seconds:.0f} s")
    if seconds < 7200:
        return say(f"{seconds / 60:.0f} 分", f"{seconds / 60:.0f} min")
    if seconds < 172_800:
        return say(f"{seconds / 3600:.0f} 時間", f"{seconds / 3600:.0f} h")
    return say(f"{seconds / 86_400:.0f} 日", f"{seconds / 86_400:.0f} days")
