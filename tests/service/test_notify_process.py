"""The notifier as a real process, killed again and again: each message arrives, and none twice; on both databases."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import func, select

from collectors.registry import open_registry
from collectors.registry.schema.notify import Outbox
from tests.parts import ROOT, Process, wait_until
from tests.service.notify_parts import Centre, centre, filled
from tests.service.postgres_parts import Postgres, why_not

LEASE_MS = 1_500


class Recorder:
    """Takes each id once; what comes again is answered 409. Answers after `slow_s`, so that kills fall in between."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.at_s: dict[str, float] = {}
        self.again = 0
        self.slow_s = 0.0
        self._lock = threading.Lock()

    def take(self, told: dict[str, str]) -> int:
        with self._lock:
            if told["id"] in self.at_s:
                self.again += 1
                return 409
            self.taken.append(told["id"])
            self.at_s[told["id"]] = time.time()
        time.sleep(self.slow_s)
        return 200

    @contextmanager
    def served(self) -> Iterator[str]:
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(recorder.take(told))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    if reason := why_not():
        pytest.skip(reason)
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return server.ready(f"notify{abs(hash(request.node.name)) % 10_000}")
    return f"sqlite:{tmp_path / 'registry.db'}"


def killed_again_and_again(url: str, folder: Path, alerts: int, kills: int, notifiers: int) -> None:
    registry = open_registry(url, migrate=True)
    farm: Centre = centre(filled(registry), "push", "line")
    farm.person(1, "Owner", "owner", "push", "line")
    recorder, draw = Recorder(), random.Random(7)
    recorder.slow_s = 0.05
    with recorder.served() as address:
        command = [sys.executable, "-m", "tests.service.notify_process", url, address, str(LEASE_MS)]
        running = [Process(command, log=folder / f"notify-{n}.log", cwd=ROOT) for n in range(notifiers)]
        try:
            for one in running:
                one.start()
            for number in range(alerts):
                farm.now_ms = time.time_ns() // 1_000_000
                farm.opens("critical", f"tank-{number}")
            for kill in range(kills):
                least = min(2 * alerts - 1, (kill + 1) * 2 * alerts // (kills + 2))
                wait_until(lambda least=least: len(recorder.taken) >= least, 60)  # type: ignore[misc]
                time.sleep(draw.uniform(0, recorder.slow_s))
                victim = running[kill % notifiers]
                victim.kill()
                victim.start()

            def open_rows() -> int:
                with registry.read() as session:
                    return session.scalar(select(func.count()).where(Outbox.state != "accepted")) or 0

            wait_until(lambda: len(recorder.taken) == 2 * alerts and open_rows() == 0, 60, running[0].log)
        finally:
            for one in running:
                if one.running:
                    one.kill()
    rows = farm.rows()
    registry.close()
    assert sorted(recorder.taken) == sorted(row.id for row in rows)
    assert len(rows) == 2 * alerts


def test_every_message_arrives_once_though_the_notifier_is_killed(url: str, tmp_path: Path) -> None:
    killed_again_and_again(url, tmp_path, alerts=4, kills=1, notifiers=1)


@pytest.mark.long
def test_every_message_arrives_once_though_three_notifiers_are_killed_all_the_time(url: str, tmp_path: Path) -> None:
    killed_again_and_again(url, tmp_path, alerts=150, kills=40, notifiers=3)
