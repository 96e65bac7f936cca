"""The gateway's own page, for a phone on the barn's Wi-Fi, and the way it and the metrics are served.

Off by default. Read only, no script, no login and therefore no secret on it: last values, states, what waits. It
loads itself again every 10 s. Only GET is answered, to one path, in one short reply; a caller who is slow, or says
too much, is hung up on. Beyond this machine it listens only where the file names a host.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Literal

from makiba.quantities import catalogue
from makiba.reading import Series, Value

log = logging.getLogger("makiba.gateway.page")

Language = Literal["ja", "en"]
REQUEST_S = 5.0
MOST_LINES = 64
MOST_CALLERS = 16
_HEADERS = (
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'",
    "X-Frame-Options: DENY",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Cache-Control: no-store",
    "Connection: close",
)
_NOTE = {
    "ja": "この画面は 認証された ガス警報器の かわりに なりません。",
    "en": "This page does not replace a certified gas alarm.",
}
_WORDS = {
    "ok": ("正常", "ok"),
    "timeout": ("答えが ありません", "does not answer"),
    "crc": ("雑音で 読めません", "garbled by noise"),
    "invalid": ("答えが 合いません", "answers wrongly"),
    "sentinel": ("センサーが 外れています", "its probe is not there"),
    "out-of-range": ("ありえない値です", "value cannot be true"),
    "bus-down": ("線が 使えません", "its line is down"),
    "unreachable": ("つながりません", "cannot be reached"),
    "down": ("線が 使えません", "line is down"),
    "silent": ("どれも 答えません", "nothing on it answers"),
    "blind": ("ガスを 測れていません", "gas is not being measured"),
    "output-fault": ("警報が 動きません", "alarm output does not work"),
    "disk-full": ("カードが いっぱいです", "the card is full"),
}


def state_word(state: str, language: Language) -> str:
    """A state as people read it; the word itself where it is not known."""
    if state.startswith("alarm-"):
        return f"警報 {state[6:]}" if language == "ja" else f"ALARM {state[6:]}"
    if state.startswith("latched-"):
        return f"警報 {state[8:]}（手で 戻す）" if language == "ja" else f"alarm {state[8:]}, to be reset by hand"
    if state.startswith("exception-"):
        return f"断られました ({state[10:]})" if language == "ja" else f"refused ({state[10:]})"
    return _WORDS[state][0 if language == "ja" else 1] if state in _WORDS else state


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page is made of."""

    gateway: str
    site: str
    waiting: int
    is_connected: bool
    is_clock_known: bool
    newest: Mapping[Series, tuple[int, Value]]


def render(shown: Shown, language: Language, now_ms: int) -> str:
    """The page. Everything that comes from outside is escaped."""
    ja = language == "ja"
    link = (
        ("つながっています" if ja else "connected")
        if shown.is_connected
        else ("切れています" if ja else "not connected")
    )
    other = "en" if ja else "ja"
    told = [
        f"{'センター' if ja else 'Centre'}: {link}",
        f"{'送信待ち' if ja else 'Waiting to be sent'}: {shown.waiting}",
    ]
    if not shown.is_clock_known:
        told.append("時計が まだ 合っていません" if ja else "The clock is not set yet")
    by_subject: dict[str, list[tuple[Series, int, Value]]] = {}
    for series, (time_ms, value) in sorted(shown.newest.items(), key=lambda item: str(item[0])):
        by_subject.setdefault(series.subject, []).append((series, time_ms, value))
    rows = "".join(_rows(subject, found, language, now_ms) for subject, found in by_subject.items())
    return f"""<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta http-equiv="refresh" content="10">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(shown.gateway)}</title>
<style>body{{font:18px/1.5 sans-serif;margin:1rem;color:#111;background:#fff}}
table{{border-collapse:collapse;width:100%}}
th,td{{text-align:left;padding:.3rem .5rem;border-bottom:1px solid #999;vertical-align:top}}
tr.bad th{{background:#ffe0d6}}tr.bad th::before{{content:"⚠ "}}small{{color:#444}}</style></head>
<body><h1>{escape(shown.gateway)} <small>{escape(shown.site)}</small></h1>
<p>{"<br>".join(told)}</p><table>{rows}</table>
<p><small>{_NOTE[language]}
{_clock(now_ms)} <a href="/?lang={other}">{"English" if ja else "日本語"}</a></small></p></body></html>
"""


def _rows(subject: str, found: list[tuple[Series, int, Value]], language: Language, now_ms: int) -> str:
    state = next((str(value) for series, _, value in found if series.quantity == "state"), "ok")
    cells = []
    for series, time_ms, value in found:
        if series.quantity != "state":
            quantity = catalogue()[series.quantity]
            text = quantity.shown(value) if not isinstance(value, str) else value
            ago = _ago(time_ms, now_ms, language)
            cells.append(f"{escape(quantity.names[language])} <b>{escape(text)}</b> <small>{ago}</small>")
    bad = "" if state == "ok" else ' class="bad"'
    told = escape(state_word(state, language))
    return f"<tr{bad}><th>{escape(subject)}<br><small>{told}</small></th><td>{'<br>'.join(cells)}</td></tr>"


def _ago(time_ms: int, now_ms: int, language: Language) -> str:
    seconds = max(now_ms - time_ms, 0) // 1000
    number, word = (seconds, ("秒前", "s ago")) if seconds < 120 else (seconds // 60, ("分前", "min ago"))
    return f"{number} {word[0 if language == 'ja' else 1]}"


def _clock(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


Answer = tuple[str, str]
"""Media type and text."""


async def serve(host: str, port: int, answer: Callable[[str, str], Answer | None], what: str) -> None:
    """Answers GET on `host`:`port` until cancelled; `answer(path, query)` is None for a path that is not there.

    A port that is taken is said and tried again: no page is a reason to stop polling.
    """
    callers: set[int] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mark = id(writer)
        try:
            if len(callers) < MOST_CALLERS:
                callers.add(mark)
                async with asyncio.timeout(REQUEST_S):
                    await _answer_one(reader, writer, answer)
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            callers.discard(mark)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    while True:
        try:
            server = await asyncio.start_server(talk, host, port, limit=4096)
        except OSError as error:
            log.error("%s: cannot listen on %s:%d: %s; trying again", what, host, port, error.strerror or error)
            await asyncio.sleep(60)
            continue
        log.info("%s: http://%s:%d/", what, host, port)
        async with server:
            await server.serve_forever()


async def _answer_one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[str, str], Answer | None]
) -> None:
    first = (await reader.readline()).decode("ascii", "replace").split()
    for _ in range(MOST_LINES):
        if (await reader.readline()).strip() == b"":
            break
    else:
        return
    if len(first) != 3 or not first[2].startswith("HTTP/1."):
        status, media, text = "400 Bad Request", "text/plain", "bad request\n"
    elif first[0] not in ("GET", "HEAD"):
        status, media, text = "405 Method Not Allowed", "text/plain", "read only\n"
    else:
        path, _, query = first[1].partition("?")
        found = answer(path, query)
        status, (media, text) = ("200 OK", found) if found else ("404 Not Found", ("text/plain", "not here\n"))
    body = text.encode()
    media = media if "charset" in media else f"{media}; charset=utf-8"
    head = (f"HTTP/1.1 {status}", f"Content-Type: {media}", f"Content-Length: {len(body)}", *_HEADERS)
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + (b"" if first[:1] == ["HEAD"] else body))
    await writer.drain()
