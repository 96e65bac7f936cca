"""The web application: routes under /api/v1, the pages around them, and what runs as long as they do.

`create_app(settings)` is all there is to call; the service's parts open when the application starts and close when
it ends. A router that is included afterwards (the demo's) takes part in everything: problems, headers, the refusal
of foreign writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from functools import cache
from importlib.metadata import version
from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from api import alert_news, problems, rights_watch, uploads
from api.centre import PREFIX, Centre, Clock, now_ms, opened
from api.document import describe, operation_id
from api.feed import CommittedFeed
from api.metrics import Counting, Figures
from api.outgoing import Cuttable, Slots
from api.pages import Guard, Pages, foreign_paths, large_bodies
from api.passwords import Passwords
from api.routes import PARTS, what_is_done
from api.sessions import SERVICE, rated
from collectors.out.export import MEDIA_TYPES
from collectors.out.leave import finish_all
from collectors.registry import RegistryError
from collectors.store import StoreError
from makiba.figures import served
from makiba.settings import Settings

log = logging.getLogger(__name__)

GZIP_ABOVE_BYTES: Final = 1_000
NOT_PACKED: Final = (*DEFAULT_EXCLUDED_CONTENT_TYPES, *MEDIA_TYPES.values())
"""What is packed already, or packs itself (`api.outgoing`)."""


def create_app(
    settings: Settings, *, demo: bool = False, clock: Clock = now_ms, passwords: Passwords | None = None
) -> FastAPI:
    """The application. `demo` tells the pages that faults can be switched; `clock` gives UTC in milliseconds.

    `passwords`: with which work passwords are hashed, if not with that of every service.
    """
    figures = Figures()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as parts:
            parts.enter_context(served(figures.registry, settings.metrics_port))
            centre = await parts.enter_async_context(opened(settings, clock=clock, demo=demo, passwords=passwords))
            app.state.centre = centre
            hub = centre.hub
            figures.open_streams = lambda: len(hub)
            feed = CommittedFeed(
                settings.mqtt("api"),
                on_readings=hub.readings,
                on_link=hub.set_broker,
                wanted=lambda: len(hub) > 0,
            )
            feed.start()
            hub.last_step = await asyncio.to_thread(alert_news.newest, centre)
            await uploads.try_sweep(centre)
            watching = [
                asyncio.create_task(alert_news.watch(centre), name="alert-news"),
                asyncio.create_task(rights_watch.watch(centre), name="rights-watch"),
                asyncio.create_task(_finish_departures(centre), name="departures"),
                asyncio.create_task(uploads.watch(centre), name="uploads"),
            ]
            try:
                yield
            finally:
                hub.close()
                for task in watching:
                    task.cancel()
                await asyncio.gather(*watching, return_exceptions=True)
                await feed.stop()

    app = FastAPI(
        title="Makiba",
        version=version("makiba"),
        description="Farms, what stands on them, and alerts that somebody can act on.",
        lifespan=lifespan,
        openapi_url=f"{PREFIX}/openapi.json",
        generate_unique_id_function=operation_id,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(
        GZipMiddleware, minimum_size=GZIP_ABOVE_BYTES, compresslevel=6, exclude_content_types=NOT_PACKED
    )
    large = large_bodies(PREFIX, (route for part in PARTS for route in part.router.routes))
    app.add_middleware(
        Guard,
        https=settings.address.startswith("https://"),
        host=(urlsplit(settings.public_url).hostname or "") if settings.public_url else "",
        proxies=settings.trusted_proxies,
        large=large,
        vendors=foreign_paths(PREFIX, (route for part in PARTS for route in part.router.routes)),
    )
    app.add_middleware(Counting, figures=figures, prefix=PREFIX)  # it sees what the others refuse
    app.add_middleware(Cuttable)  # outermost: it needs the server's own `receive`
    app.state.slots = Slots()
    problems.explain_errors(app)
    app.router.routes.extend(_routes().routes)
    app.state.what = what_is_done()
    app.router.default = Pages()
    describe(app)
    return app


@cache
def _routes() -> APIRouter:
    """The routes under `PREFIX`: the same for every application, and half a second's work to make."""
    routes = APIRouter(prefix=PREFIX, dependencies=[Depends(rated)], generate_unique_id_function=operation_id)
    for part in PARTS:
        routes.include_router(part.router)
    return routes


async def _finish_departures(centre: Centre) -> None:
    """Deletes what is left of a farm whose deletion was killed in the middle."""
    try:
        await asyncio.to_thread(finish_all, centre.registry, centre.store, SERVICE, centre.clock())
    except (RegistryError, StoreError) as error:
        log.warning("a farm that left is not deleted whole yet (at the next start again): %s", error)


def stop_streams(app: FastAPI) -> None:
    """Ends every open stream and file, so that a server that is told to stop has nothing to wait for."""
    if centre := getattr(app.state, "centre", None):
        centre.hub.close()
    app.state.slots.close()
