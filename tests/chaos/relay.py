"""A relay that holds up every byte for as long as a file says, in both directions and in order.

python -m tests.chaos.relay 10.77.0.2 8883 10.77.0.1 8883 DELAY_FILE
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

CHUNK = 65536
MOST_WAITING = 256


def _delay_s(file: Path) -> float:
    try:
        return float(file.read_text())
    except (OSError, ValueError):
        return 0.0


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay: Path) -> None:
    """Until either end closes; what was read is written `delay` later."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST_WAITING)

    async def read() -> None:
        while data := await source.read(CHUNK):
            await waiting.put((loop.time() + _delay_s(delay), data))
        await waiting.put((loop.time(), b""))

    reading = asyncio.create_task(read())
    try:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                return
            target.write(data)
            await target.drain()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        target.close()


async def serve(host: str, port: int, to_host: str, to_port: int, delay: Path) -> None:
    """Relays connections for ever."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.wait_for(asyncio.open_connection(to_host, to_port), 5)
        except (OSError, TimeoutError):
            writer.close()
            return
        with contextlib.suppress(OSError):
            ways = (_carry(reader, back, delay), _carry(there, writer, delay))
            done, left = await asyncio.wait([asyncio.create_task(way) for way in ways], return_when="FIRST_COMPLETED")
            for way in left:
                way.cancel()
            await asyncio.gather(*done, *left, return_exceptions=True)

    server = await asyncio.start_server(connection, host, port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), Path(sys.argv[5])))
