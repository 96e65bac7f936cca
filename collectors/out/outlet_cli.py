"""`makiba outlet home-assistant`: a farm's readings to a Home Assistant, in a process of its own.

Of its own, since it holds a link to a broker that is not ours: whatever that one does, collector, analytics and pages
go on, and who does not use it runs nothing. Exit codes: 2 where a person has to change something, else 0.
"""

from __future__ import annotations

import logging
import time

from collectors.console import explained, fail, new_app, open_own_registry
from collectors.out.home_assistant_outlet import Choice, Farm, NoLongerAllowed, Outlet
from collectors.out.tail_cli import listener_options
from collectors.registry import sites
from collectors.registry.viewer import Service
from collectors.store.assigned import open_assigned_store
from collectors.ways.lorawan import BadAddress, BrokerOptions, broker_options
from makiba import topics
from makiba.link import Link
from makiba.service import asked_to_stop
from makiba.settings import Settings, load_settings

outlet = new_app("Ways out that stay open: a farm's readings to another system.")


@outlet.callback()
def _outlets() -> None:
    """Ways out that stay open: a farm's readings to another system."""


@outlet.command("home-assistant")
def home_assistant() -> None:
    """Tell a Home Assistant of a farm's sensors.

    Which farm and which broker, the settings say (MAKIBA_HOME_ASSISTANT_…). It runs until Ctrl-C.
    """
    settings = load_settings()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    options = _options(settings)
    choice = Choice(
        settings.home_assistant_site, settings.home_assistant_person, settings.home_assistant_prefix,
        settings.home_assistant_language,
    )  # fmt: skip
    stop = asked_to_stop()
    with explained():
        registry = open_own_registry(settings)
        store = open_assigned_store(settings, registry)
        with registry.read() as session:
            if sites.get_site(session, Service("console"), choice.site) is None:
                fail(f"no site {choice.site}; `makiba site list` shows them")
        farm = Farm(choice, registry, store)
        run = Outlet(choice, options, farm, lambda: time.time_ns() // 1_000_000)
        link = Link(listener_options(settings), "outlet", [topics.stored_topic(choice.site)], run.feed)
        link.start()
        try:
            run.run(stop)
        except NoLongerAllowed as error:
            fail(f"{error}; everything was taken away from Home Assistant")
        finally:
            link.stop()
            store.close()
            registry.close()


def _options(settings: Settings) -> BrokerOptions:
    if not settings.home_assistant_broker:
        fail("off: MAKIBA_HOME_ASSISTANT_BROKER, _SITE and _PERSON switch it on (docs/ways-out.md)")
    for name in ("site", "person"):
        if not getattr(settings, f"home_assistant_{name}"):
            fail(f"MAKIBA_HOME_ASSISTANT_{name.upper()} is not set (docs/ways-out.md)")
    try:
        return broker_options(
            settings.home_assistant_broker, client_id=f"makiba-outlet-{settings.home_assistant_site}",
            password=settings.home_assistant_password, ca=settings.home_assistant_ca,
        )  # fmt: skip
    except BadAddress as error:
        fail(f"MAKIBA_HOME_ASSISTANT_BROKER: {error}")
