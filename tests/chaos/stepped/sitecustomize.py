"""A wall clock that is wrong by as many seconds as the file named in `TOWN_CLOCK` says, at every moment anew.

Python imports a module of this name at its start when its folder is on `PYTHONPATH`, so that a program is the real
one, started as always, also after it has started itself again. Linux's time namespaces do not cover the wall clock,
and libfaketime (0.9.10) breaks absolute sleeps; so what `time.time` and `time.time_ns` answer is replaced here.
"""

import os
import time


def _step_clock(file: str) -> None:
    real_ns = time.time_ns

    def now_ns() -> int:
        try:
            with open(file, encoding="ascii") as offset:
                return real_ns() + round(float(offset.read()) * 1e9)
        except (OSError, ValueError):
            return real_ns()

    time.time_ns = now_ns
    time.time = lambda: now_ns() / 1e9


if "TOWN_CLOCK" in os.environ:
    _step_clock(os.environ["TOWN_CLOCK"])
