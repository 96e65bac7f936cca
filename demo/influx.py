"""Debian's InfluxDB 1.x as a child process, for a demo on the real database."""

from __future__ import annotations

import json
import os
import shutil
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Final

from deploy.supervise import Child, answers

DATABASE: Final = "makiba"


def child(folder: Path, http_port: int, rpc_port: int) -> Child:
    """`influxd` on the loopback with its data in `folder`; ready when it answers."""
    program = shutil.which("influxd", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        raise FileNotFoundError("influxd is not installed: apt-get install influxdb")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "influxdb.conf"
    config.write_text(
        f"""\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
  dir = {json.dumps(str(folder / "meta"))}
[data]
  dir = {json.dumps(str(folder / "data"))}
  wal-dir = {json.dumps(str(folder / "wal"))}
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:{http_port}"
  log-enabled = false
[monitor]
  store-enabled = false
""",
        encoding="utf-8",
    )
    ready = f"http://127.0.0.1:{http_port}/ping"
    return Child("influx", [program, "-config", str(config)], ready=lambda: answers(ready))


def store_url(http_port: int) -> str:
    """The setting `store` for it."""
    return f"influx+http://127.0.0.1:{http_port}/{DATABASE}"


def create_database(http_port: int) -> None:
    """Makes the database unless it is there."""
    query = urllib.parse.urlencode({"q": f'CREATE DATABASE "{DATABASE}"'}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/query", data=query, timeout=10) as answer:
        answer.read()
