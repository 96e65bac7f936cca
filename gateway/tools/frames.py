"""Modbus frames, byte by byte, for a person who holds the manual in the other hand. Pure.

Source: Modbus application protocol 1.1b3, section 6 and 7; Modbus over serial line 1.02, section 2.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.drivers._modbus_frames import crc16
from gateway.places import FUNCTION_CODES
from gateway.tools.language import Say

TABLES = {code: table for table, code in FUNCTION_CODES.items()}
_TABLE_WORDS = {
    "coil": ("コイル", "coils"),
    "discrete": ("ディスクリート入力", "discrete inputs"),
    "holding": ("保持レジスタ", "holding registers"),
    "input": ("入力レジスタ", "input registers"),
}
_EXCEPTIONS = {
    1: ("機能を 知らない", "does not know this function"),
    2: ("その番地は ない", "has no such address"),
    3: ("数が 合わない", "does not take this count"),
    4: ("機器の 故障", "device failure"),
    5: ("あとで 答える", "will answer later"),
    6: ("忙しい", "is busy"),
    8: ("メモリーの 誤り", "memory error"),
    10: ("変換器: 道が ない", "converter: no path to it"),
    11: ("変換器: 機器が 答えない", "converter: the device does not answer"),
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """The registers that a reply gave: `words` from `first` of `table`."""

    table: str
    first: int
    words: tuple[int, ...]


def explain_frames(frames: tuple[str, ...], *, is_tcp: bool, say: Say) -> tuple[list[str], list[Exchange]]:
    """Lines for a person, and the registers that were read. A frame is `> hex` or `< hex`."""
    lines: list[str] = []
    found: list[Exchange] = []
    request = b""
    for frame in frames:
        lines += _folded(frame)
        sign, _, told = frame.partition(" ")
        try:
            data = bytes.fromhex(told)
        except ValueError:
            continue  # a line protocol's sentence explains itself
        head, body = (data[:6], data[6:]) if is_tcp else (b"", data)
        if is_tcp:
            lines.append(_line(head, say("番号と 長さ", "transaction id, length")))
        if sign == ">":
            request = body
            lines += _request(body, is_tcp, say)
        elif (exchange := _exchange(request, body)) is not None:
            found.append(exchange)
            lines += _reply(body, exchange, is_tcp, say)
        else:
            lines += _refusal(body, is_tcp, say)
    return lines, found


def _folded(frame: str) -> list[str]:
    """At most 16 bytes in a line."""
    sign, _, told = frame.partition(" ")
    parts = told.split(" ")
    return [f"{sign if at == 0 else ' '} {' '.join(parts[at : at + 16])}" for at in range(0, len(parts), 16)]


def _line(data: bytes, told: str) -> str:
    return f"    {data.hex(' '):<12} {told}"


def _request(body: bytes, is_tcp: bool, say: Say) -> Iterator[str]:
    if len(body) < 6 or body[1] not in TABLES:
        return
    words = _TABLE_WORDS[TABLES[body[1]]]
    first, count = int.from_bytes(body[2:4], "big"), int.from_bytes(body[4:6], "big")
    yield _line(body[:1], say(f"機器の 番号 {body[0]}", f"unit id {body[0]}"))
    yield _line(body[1:2], say(f"{words[0]}を 読む", f"read {words[1]}"))
    yield _line(body[2:4], say(f"{first} 番地から", f"from address {first}"))
    yield _line(body[4:6], say(f"{count} 個", f"{count} of them"))
    if not is_tcp:
        yield _check(body, say)


def _exchange(request: bytes, body: bytes) -> Exchange | None:
    if len(body) < 5 or len(request) < 6 or body[:2] != request[:2] or body[1] not in TABLES:
        return None
    data = body[3 : 3 + body[2]]
    if len(data) != body[2]:
        return None
    first, count = int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")
    if TABLES[body[1]] in ("coil", "discrete"):
        words = tuple(data[i // 8] >> i % 8 & 1 for i in range(min(count, 8 * len(data))))
    else:
        words = tuple(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data) - 1, 2))
    return Exchange(TABLES[body[1]], first, words)


def _reply(body: bytes, exchange: Exchange, is_tcp: bool, say: Say) -> Iterator[str]:
    yield _line(body[:1], say(f"機器の 番号 {body[0]}", f"unit id {body[0]}"))
    yield _line(body[1:3], say(f"読めました、{body[2]} バイト", f"read, {body[2]} bytes follow"))
    if exchange.table in ("coil", "discrete"):
        yield _line(body[3 : 3 + body[2]], say("ビット", "bits"))
    else:
        for at, word in enumerate(exchange.words):
            address = exchange.first + at
            yield _line(body[3 + 2 * at : 5 + 2 * at], f"{address} (0x{address:04x}) = {word}")
    if not is_tcp:
        yield _check(body[: 5 + body[2]], say)


def _refusal(body: bytes, is_tcp: bool, say: Say) -> Iterator[str]:
    if len(body) >= 3 and body[1] & 0x80:
        ja, en = _EXCEPTIONS.get(body[2], ("不明", "unknown"))
        yield _line(body[:2], say(f"番号 {body[0]} が 断りました", f"unit id {body[0]} refuses"))
        yield _line(body[2:3], say(f"理由 {body[2]}: {ja}", f"exception {body[2]}: {en}"))
        if not is_tcp:
            yield _check(body[:5], say)
    else:
        yield "    " + say("この 問いの 答えでは ありません", "no sound reply to this request")


def _check(body: bytes, say: Say) -> str:
    is_right = crc16(body[:-2]) == body[-2:]
    told = say("検査 正しい", "CRC, right") if is_right else say("検査 まちがい（雑音）", "CRC, wrong (noise)")
    return _line(body[-2:], told)
