"""Serving the application: one process, stopped by SIGTERM or SIGINT within three seconds, open streams or not."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from api.app import stop_streams

STOP_WITHIN_S: Final = 2
BACKLOG: Final = 256


class _Server(uvicorn.Server):
    """Ends streams when it is told to stop, and then ends with exit code 0 instead of by the signal."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's own signature)
        self.force_exit = self.should_exit  # a second signal does not wait for anybody
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        stop_streams(self._app)
        await super().shutdown(sockets)


class _ExpectedCuts(logging.Filter):
    """Drops uvicorn's line about a stream that was cut off because its phone took nothing; `api.routes.stream` has
    logged it. May go when ASGI lets an application close a connection."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("ASGI callable returned without completing response")


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections for `serve`; `OSError` when the address is taken or not this machine's."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def serve(app: FastAPI, sock: socket.socket) -> None:
    """Serves `app` until a signal says to stop. What keeps the application from starting is raised."""
    config = uvicorn.Config(
        app,
        lifespan="off",  # run here, so that its errors come out as they are
        log_config=None,
        access_log=False,  # addresses name farms and alerts
        server_header=False,
        proxy_headers=False,  # `api.pages.Guard` believes whom the settings name
        timeout_graceful_shutdown=STOP_WITHIN_S,
        timeout_keep_alive=30,
        backlog=BACKLOG,
        ws="none",
    )
    server = _Server(config, app)
    logging.getLogger("uvicorn.error").addFilter(_ExpectedCuts())

    async def run() -> None:
        async with app.router.lifespan_context(app):
            # What is there now stays: a full collection that goes through all of it holds up an answer by 0.13 s.
            gc.collect()
            gc.freeze()
            await server.serve(sockets=[sock])

    with server.capture_signals():
        asyncio.run(run())
