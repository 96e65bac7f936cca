"""A Modbus bus in a process of its own: RTU on a pseudo-terminal at line speed, RTU over TCP, or TCP; with faults.

The pseudo-terminal takes the time of a real line: an answer begins when the request's bytes and 3.5 characters of
silence would have passed, and comes byte by byte. It says where it listens on its first line, and writes what was
asked (JSON lines) when it is ended by SIGTERM.

    python -m tests.chaos.faulty_server rtu --baud 9600 --faults 0.2 --log asked.jsonl
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import heapq
import itertools
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
import tty
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.chaos.faulty_units import RTU_FAULTS, TCP_FAULTS, Asked, Sent, Units, crc, disturb_rtu, disturb_tcp
from tests.parts import ROOT


class FaultyServer:
    """The process, for a test. `where` is a path, or a port number as text."""

    def __init__(self, kind: str, folder: Path, *arguments: str, name: str = "asked") -> None:
        self.log = folder / f"{name}.jsonl"
        self._command = [sys.executable, "-m", "tests.chaos.faulty_server", kind, "--log", str(self.log), *arguments]

    def __enter__(self) -> FaultyServer:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout
        self.where = self._process.stdout.readline().strip()
        return self

    def stop(self) -> list[Asked]:
        """Ends it; what was asked, in order."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        return [Asked(**json.loads(line)) for line in self.log.read_text().splitlines()]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()


class _Chance:
    """Which answers go wrong, and how."""

    def __init__(self, options: argparse.Namespace, kinds: tuple[str, ...]) -> None:
        self.units = Units(frozenset(options.dead), wide=not options.narrow)
        self.random = random.Random(options.seed)
        self._share, self._late_s = options.faults, options.late
        self._kinds, self._spared = kinds, frozenset(options.spare)

    def fault(self, unit: int) -> str | None:
        spared = unit in self._spared or self.random.random() >= self._share
        return None if spared else self.random.choice(self._kinds)

    def rtu(self, request: bytes) -> Sent:
        fault = self.fault(request[0])
        body = self.units.hear(request[:-2], time.time(), fault)
        return [] if body is None else disturb_rtu(fault, request, body, self._older(body), self.random, self._late_s)

    def tcp(self, request: bytes) -> Sent:
        fault = self.fault(request[6])
        body = self.units.hear(request[6:], time.time(), fault)
        number = int.from_bytes(request[:2], "big")
        return [] if body is None else disturb_tcp(fault, number, body, self._older(body), self.random, self._late_s)

    def _older(self, body: bytes) -> bytes:
        last = self.units.asked[-1]
        return self.units.answer(last.unit, body[1], last.address, last.count, max(last.sequence - 1, 0))


class _Splitter:
    """Requests out of a stream of RTU bytes: eight bytes with a right CRC."""

    def __init__(self) -> None:
        self._heard = b""

    def feed(self, data: bytes) -> list[bytes]:
        self._heard += data
        found = []
        while len(self._heard) >= 8:
            if crc(self._heard[:6]) == self._heard[6:8]:
                found.append(self._heard[:8])
                self._heard = self._heard[8:]
            else:
                self._heard = self._heard[1:]
        return found


def _pieces(data: bytes) -> list[bytes]:
    """`data` byte by byte; where two replies are glued, the border is no place at which a busy machine may pause."""
    half = len(data) // 2
    if len(data) > 8 and len(data) % 2 == 0 and crc(data[: half - 2]) == data[half - 2 : half]:
        singles = [bytes([byte]) for byte in data]
        return [*singles[: half - 1], data[half - 1 : half + 1], *singles[half + 1 :]]
    return [bytes([byte]) for byte in data]


def serve_rtu(options: argparse.Namespace, chance: _Chance) -> None:
    """Until SIGTERM."""
    master, slave = os.openpty()
    tty.setraw(slave)
    print(os.ttyname(slave), flush=True)
    char_s = 10 / options.baud
    gap_s = 3.5 * char_s
    splitter, order = _Splitter(), itertools.count()
    due: list[tuple[float, int, bytes]] = []
    last_byte_s = 0.0
    early = 0
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            wait_s = max(due[0][0] - time.monotonic(), 0) if due else None
            if select.select([master], [], [], wait_s)[0]:
                now_s = time.monotonic()
                early += now_s < last_byte_s + gap_s - 0.0001
                for request in splitter.feed(os.read(master, 4096)):
                    begin_s = now_s + 8 * char_s + gap_s
                    for after_s, data in chance.rtu(request):
                        place = 0
                        for part in _pieces(data):
                            place += len(part)
                            heapq.heappush(due, (begin_s + after_s + place * char_s, next(order), part))
            while due and due[0][0] <= time.monotonic():
                os.write(master, heapq.heappop(due)[2])
                last_byte_s = time.monotonic()
    print(f"{early} requests before the gap", file=sys.stderr)


async def serve_tcp(options: argparse.Namespace, chance: _Chance) -> None:
    """Until SIGTERM; RTU frames over TCP with `kind` rtu-over-tcp."""
    loop = asyncio.get_running_loop()

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self._transport, self._heard, self._splitter = transport, b"", _Splitter()

        def data_received(self, data: bytes) -> None:
            if options.kind == "rtu-over-tcp":
                for request in self._splitter.feed(data):
                    self._send(chance.rtu(request))
                return
            self._heard += data
            while len(self._heard) >= 12:
                request, self._heard = self._heard[:12], self._heard[12:]
                self._send(chance.tcp(request))

        def _send(self, sent: Sent) -> None:
            for after_s, data in sent:
                if after_s:
                    loop.call_later(after_s, self._transport.write, data)
                else:
                    self._transport.write(data)

    server = await loop.create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("kind", choices=("rtu", "rtu-over-tcp", "tcp"))
    options.add_argument("--baud", type=int, default=9600)
    options.add_argument("--faults", type=float, default=0.0, help="share of the requests")
    options.add_argument("--late", type=float, default=6.0, help="longest late reply, seconds")
    options.add_argument("--dead", type=int, nargs="*", default=[])
    options.add_argument("--spare", type=int, nargs="*", default=[], help="units whose answers are always good")
    options.add_argument("--narrow", action="store_true", help="one number in one register")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--log", type=Path, required=True)
    given = options.parse_args()
    chance = _Chance(given, TCP_FAULTS if given.kind == "tcp" else RTU_FAULTS)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        if given.kind == "rtu":
            serve_rtu(given, chance)
        else:
            asyncio.run(serve_tcp(given, chance))
    given.log.write_text("".join(json.dumps(asdict(asked)) + "\n" for asked in chance.units.asked))


if __name__ == "__main__":
    main()
