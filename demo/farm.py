"""The simulated farm as a process of its own: one physics, and the wires on which its instruments answer.

    python -m demo.farm --folder DIR --tcp-port N --season july

It reads `DIR/faults.json`, makes `DIR/tty-barn` (Modbus RTU) and `DIR/tty-mast` (NMEA) point to its pseudo-terminals,
and serves Modbus TCP on 127.0.0.1:N. Nothing of the gateway is imported here.
"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from demo import physics
from demo.faults import Watched
from demo.mast import Mast
from demo.rtu_farm import RtuFarm, link
from demo.tcp_farm import TcpFarm

STEP_S: Final = 0.1
MAST_EVERY_S: Final = 1.0
TOKACHI: Final = ZoneInfo("Asia/Tokyo")
BARN_TTY, MAST_TTY = "tty-barn", "tty-mast"


def run(folder: Path, tcp_port: int, season: physics.Season, stop: threading.Event) -> None:
    """Runs the farm in real time until `stop`."""
    faults = Watched(folder / "faults.json")
    farm = physics.at_start(season, datetime.now(TOKACHI))
    barn, tank_room, mast = RtuFarm(), TcpFarm(tcp_port), Mast()
    barn.update(farm, faults.now().on)
    tank_room.update(farm, faults.now().on)
    barn.start()
    tank_room.start()
    link(folder / BARN_TTY, barn.port)
    link(folder / MAST_TTY, mast.port)
    try:
        last = said = time.monotonic()
        while not stop.wait(STEP_S):
            now = time.monotonic()
            wrong = faults.now()
            farm = physics.advance(farm, season, datetime.now(TOKACHI), wrong.on, now - last)
            last = now
            seen = physics.shown(farm, wrong.overrides)
            barn.update(seen, wrong.on)
            tank_room.update(seen, wrong.on)
            if now - said >= MAST_EVERY_S:
                said = now
                mast.say(seen)
    finally:
        barn.stop()
        tank_room.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="demo.farm", description="The simulated farm's instruments.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tcp-port", type=int, required=True)
    parser.add_argument("--season", choices=("january", "july"), required=True)
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(options.folder, options.tcp_port, options.season, stop)


if __name__ == "__main__":
    main()
