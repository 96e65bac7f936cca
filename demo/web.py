"""The pages of the demo: the usual application, and two routes with which a visitor switches faults.

    python -m demo.web        serves it on the settings in force

The routes are there only here: a farm's own `makiba serve` does not know them.
"""

from __future__ import annotations

import logging
import sys

from fastapi import APIRouter, FastAPI, HTTPException
from pydantic import BaseModel

from api.app import create_app
from api.centre import PREFIX
from api.sessions import SignedIn
from demo import faults
from demo.home import Home
from makiba.settings import Settings, load_settings


class FaultOut(BaseModel):
    """A fault, its names, and whether it is there now."""

    id: str
    name: dict[str, str]
    on: bool


class SwitchIn(BaseModel):
    """Whether the fault shall be there."""

    on: bool


def demo_app(settings: Settings) -> FastAPI:
    """The application on `settings` with the demo's routes; they need a session, and writes the usual header."""
    app = create_app(settings, demo=True)
    path = Home(settings.home).faults
    router = APIRouter(prefix=f"{PREFIX}/demo", tags=["demo"])

    @router.get("/faults")
    def list_faults(_: SignedIn) -> list[FaultOut]:
        """What can go wrong on the simulated farm."""
        now = faults.read_faults(path)
        return [FaultOut(id=f.id, name={"ja": f.ja, "en": f.en}, on=f.id in now.on) for f in faults.FAULTS]

    @router.put("/faults/{fault}", status_code=204)
    def switch_fault(fault: str, given: SwitchIn, _: SignedIn) -> None:
        """Switches a fault on or off."""
        try:
            faults.switch(path, fault, given.on)
        except faults.UnknownFault:
            raise HTTPException(404, "There is no such fault.") from None

    app.include_router(router)
    return app


def main() -> None:
    from api.cli import serve_app

    settings = load_settings()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    serve_app(demo_app(settings), settings.http_host, settings.http_port)


if __name__ == "__main__":
    main()
