"""What the gateway serves on this machine, where its file wants that: metrics on loopback, the page where it says."""

from __future__ import annotations

import asyncio

from gateway.clock import Clock
from gateway.health import Health, open_metrics
from gateway.latest import Latest
from gateway.page import Answer, Shown, render
from gateway.page import serve as serve_http
from gateway.site import Gateway
from gateway.spool import Spool
from gateway.uplink import Uplink


def serve_locally(
    gateway: Gateway, clock: Clock, spool: Spool, uplink: Uplink, health: Health, latest: Latest
) -> list[asyncio.Task[None]]:
    """A task for each; cancelled to stop."""
    tasks: list[asyncio.Task[None]] = []

    def metrics(path: str, _query: str) -> Answer | None:
        media = "application/openmetrics-text; version=1.0.0; charset=utf-8"
        return (media, open_metrics(health)) if path == "/metrics" else None

    def page(path: str, query: str) -> Answer | None:
        if path != "/" or gateway.page is None:
            return None
        language = "en" if "lang=en" in query else "ja" if "lang=ja" in query else gateway.page.language
        shown = Shown(gateway.name, gateway.site, spool.waiting, uplink.is_connected, clock.is_known, latest.newest)
        return "text/html", render(shown, "en" if language == "en" else "ja", clock.now_ms())

    if gateway.metrics:
        port = gateway.metrics.port
        tasks.append(asyncio.create_task(serve_http("127.0.0.1", port, metrics, "metrics"), name="metrics"))
    if gateway.page:
        serving = serve_http(gateway.page.host, gateway.page.port, page, "page")
        tasks.append(asyncio.create_task(serving, name="page"))
    return tasks
