"""How long from an alert in the book until its message is handed to the channel, and how much a notifier sends.

    ./run bench notify [--alerts 100] [--every 0.25] [--burst 200] [--postgres] [--json FILE]

The notifier is a process of its own, the channels hand over to a recorder on this machine. First one alert at a time:
from the commit of its step to the recorder's hands (target: p99 at most 1 s). Then many at once: messages a second.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from collectors.registry import open_registry
from tests.parts import ROOT, Process, wait_until
from tests.service.notify_parts import centre, filled
from tests.service.postgres_parts import Postgres
from tests.service.test_notify_process import Recorder


def main() -> None:
    parser = argparse.ArgumentParser(prog="./run bench notify", description=__doc__)
    parser.add_argument("--alerts", type=int, default=100)
    parser.add_argument("--every", type=float, default=0.25)
    parser.add_argument("--burst", type=int, default=200)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        (path / "pg").mkdir()
        with Postgres(path / "pg") if given.postgres else nullcontext() as server:
            url = server.ready("bench") if server else f"sqlite:{path / 'registry.db'}"
            told = measured(url, path, given.alerts, given.every, given.burst)
    for name, value in told.items():
        print(f"{name:<28} {value:10.3f}")
    if given.json:
        given.json.write_text(json.dumps(told, indent=1))


def measured(url: str, folder: Path, alerts: int, every_s: float, burst: int) -> dict[str, float]:
    """The figures, by name."""
    registry = open_registry(url, migrate=True)
    farm = centre(filled(registry), "push", "line")
    farm.person(1, "Owner", "owner", "push", "line")
    recorder = Recorder()
    with recorder.served() as address:
        command = [sys.executable, "-m", "tests.service.notify_process", url, address, "30000"]
        with Process(command, log=folder / "notify.log", cwd=ROOT):
            farm.now_ms = time.time_ns() // 1_000_000
            farm.opens("critical", "warm-up")
            wait_until(lambda: len(recorder.taken) == 2, 60)
            committed_s: dict[str, float] = {}
            for number in range(alerts):
                farm.now_ms = time.time_ns() // 1_000_000
                alert = farm.opens("critical", f"tank-{number}")
                committed_s[alert] = time.time()
                time.sleep(every_s)
            wait_until(lambda: len(recorder.taken) == 2 * alerts + 2, 120)
            rows = [row for row in farm.rows() if row.alert_id in committed_s]
            first: dict[str, float] = {}
            for row in rows:
                at_s = recorder.at_s[row.id] - committed_s[str(row.alert_id)]
                first[str(row.alert_id)] = min(at_s, first.get(str(row.alert_id), at_s))
            delays = sorted(recorder.at_s[row.id] - committed_s[str(row.alert_id)] for row in rows)
            before = len(recorder.taken)
            began_s = time.time()
            farm.now_ms = time.time_ns() // 1_000_000
            for number in range(burst):
                farm.opens("critical", f"many-{number}")
            wait_until(lambda: len(recorder.taken) == before + 2 * burst, 300)
            took_s = time.time() - began_s
    registry.close()
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "first channel, p50 s": statistics.median(first.values()),
        "first channel, p99 s": sorted(first.values())[int(len(first) * 0.99) - 1],
        "every message, p50 s": statistics.median(delays),
        "every message, p99 s": delays[int(len(delays) * 0.99) - 1],
        "every message, max s": delays[-1],
        "messages a second": 2 * burst / took_s if took_s else 0.0,
        "notifier, CPU s": cpu.ru_utime + cpu.ru_stime,
    }


if __name__ == "__main__":
    main()
