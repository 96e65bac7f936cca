"""The outlet to a Home Assistant: one farm's committed readings to its broker, as long as its people may see.

- It reads the committed feed, so that what it tells is in the store; what comes while a link is down does not come
  later, and the newest value of each series is told again when the link is back and when Home Assistant starts.
- It tells each entity once: config messages are retained under names that do not change, so that a restart, also
  after SIGKILL, tells the same again. What is gone is taken away by an empty message, also what a former run left.
- It sees with the eyes of one of the farm's own people, named in the settings. When they are so no more (disabled,
  role gone), everything is taken away, and the outlet ends. It looks once a second.
"""

from __future__ import annotations

import logging
import queue
import random
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from collectors.console import CONSOLE
from collectors.out import home_assistant as ha
from collectors.registry import Registry, RegistryError, people, sites
from collectors.registry.viewer import is_insider
from collectors.store import Store, StoreError
from collectors.ways.lorawan import BrokerOptions
from makiba.link import Down, Event, Message, Up, readings_in
from makiba.quantities import catalogue
from makiba.reading import Series
from makiba.senml import SenmlError
from makiba.wire import WireError

log = logging.getLogger("makiba.outlet")

LOOK_EVERY_S: Final = 1.0
AGAIN_EVERY_S: Final = 60.0
"""How often names, places and devices are read anew."""
SOON_S: Final = 0.2
OLD_MS: Final = 900_000
"""A newest value older than this, and than its pace allows, is not told as one of now."""
WAITING: Final = 5_000
_BACKOFF_S: Final = (0.5, 30.0)
_STATE: Final = "state"


class NoLongerAllowed(Exception):
    """The person with whose eyes the outlet sees does not belong to the farm (any more)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which farm, seen by whom (a login), and how it is told."""

    site: str
    login: str
    prefix: str
    language: ha.Language


class Farm:
    """What is told of the farm: its entities, as registry and store have them."""

    def __init__(self, choice: Choice, registry: Registry, store: Store) -> None:
        self._choice, self._registry, self._store = choice, registry, store
        self.entities: dict[Series, ha.Entity] = {}
        self.devices: dict[str, ha.Device] = {}
        self.states: dict[str, str] = {}

    def require_allowed(self, now_ms: int) -> None:
        """`NoLongerAllowed` unless the named person belongs to the farm."""
        with self._registry.read() as session:
            row = people.person_by_login(session, CONSOLE, self._choice.login)
            person = people.viewer_of(session, CONSOLE, row.id, now_ms) if row else None
        if person is None or not is_insider(person, self._choice.site):
            raise NoLongerAllowed(f"{self._choice.login} is none of the people of {self._choice.site}")

    def read(self) -> None:
        """Reads names, places, devices and series anew."""
        site, japanese = self._choice.site, self._choice.language == "ja"
        with self._registry.read() as session:
            placed = {p.subject: p for p in sites.list_placements(session, CONSOLE, site)}
            places = {p.id: p.name_ja if japanese else p.name_en for p in sites.list_places(session, CONSOLE, site)}
            devices = sites.list_devices(session, CONSOLE, site)
            boxes = [g for g in sites.list_gateways(session, CONSOLE, site) if g.revoked_ms is None]

        def title(subject: str) -> str:
            row = placed.get(subject)
            return ((row.name_ja if japanese else row.name_en) if row else "") or subject

        gateways = {g.id: ha.Device(g.id, g.id, "gateway", software=g.software, is_gateway=True) for g in boxes}
        known = {
            d.name: ha.Device(
                d.name, title(d.name), d.profile, d.gateway_id if d.gateway_id in gateways else "", d.every_s
            )
            for d in devices
        } | gateways
        device_of = {str(subject): d.name for d in devices for subject in d.subjects}
        found: dict[Series, ha.Entity] = {}
        for series in self._store.series(site):
            if ha.how(series.quantity) is None:
                continue
            name = device_of.get(series.subject, series.subject.partition(".")[0])
            device = known.setdefault(name, ha.Device(name, title(name), ""))
            row = placed.get(series.subject)
            found[series] = ha.Entity(
                series, device, title(series.subject), places.get(row.place_id, "") if row else ""
            )
        self.entities, self.devices = found, known
        self.states = {
            series.subject: str(point.value)
            for series, point in self._store.latest(site).items()
            if series.quantity == _STATE
        }

    def newest(self, now_ms: int) -> Mapping[Series, tuple[int, float]]:
        """When the newest value of each entity was measured, and the value, where it may be taken for one of now."""
        found: dict[Series, tuple[int, float]] = {}
        for series, point in self._store.latest(self._choice.site).items():
            entity = self.entities.get(series)
            if entity is None or isinstance(point.value, str):
                continue
            if now_ms - point.time_ms < max(OLD_MS, ha.EXPIRES_AFTER * 1000 * entity.device.every_s):
                found[series] = (point.time_ms, point.value)
        return found

    def is_available(self, device: str) -> bool:
        """Whether a device answers: its own last state says so, or it never said one."""
        return self.states.get(device, "ok") not in _AWAY


_AWAY: Final = frozenset({"timeout", "silent", "down", "bus-down", "unreachable", "offline", "stopped"})


class Outlet:
    """Tells a broker of a farm. Events of both links come into one queue; one thread does the rest."""

    def __init__(self, choice: Choice, options: BrokerOptions, farm: Farm, clock: Callable[[], int]) -> None:
        self._choice, self._options, self._farm, self._clock = choice, options, farm, clock
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue(WAITING)
        self._told: dict[str, bytes] = {}
        """Config topics and what stands on them, as far as this connection knows."""
        self._said: dict[str, bytes] = {}
        self._told_ms: dict[Series, int] = {}

    def feed(self, event: Event) -> None:
        """From the committed feed; on the link's thread."""
        self._put("feed", event)

    def run(self, stop: threading.Event) -> None:
        """Until `stop`, or `NoLongerAllowed` (everything is taken away then)."""
        failures = 0
        while not stop.is_set():
            why, was_up = self._one_connection(stop)
            if stop.is_set():
                return
            failures = 1 if was_up else failures + 1
            if failures == 1:
                log.warning("broker %s:%s: %s; trying again", self._options.host, self._options.port, why)
            low, high = _BACKOFF_S
            stop.wait(min(high, low * 2 ** min(failures - 1, 8)) * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)

    # ------------------------------------------------------------------------------------------ the connection

    def _one_connection(self, stop: threading.Event) -> tuple[str, bool]:
        try:
            client = self._new_client()
        except (OSError, ValueError) as error:
            return f"TLS files: {error}", False
        up, broken = threading.Event(), threading.Event()
        said: list[str] = []

        def end(why: str) -> None:
            said.append(why)
            broken.set()

        def on_connect(_c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
            if reason.is_failure:
                end(f"refused the connection: {reason}")
                return
            client.subscribe(
                [(f"{self._choice.prefix}/status", 0), (ha.all_configs(self._choice.prefix, self._choice.site), 0)]
            )
            up.set()

        client.on_connect = on_connect
        client.on_disconnect = lambda _c, _u, _f, reason, _p: end(f"connection lost: {reason}")
        client.on_message = lambda _c, _u, message: self._put("home", message)
        client.will_set(ha.outlet_topic(self._choice.site), b"offline", qos=1, retain=True)
        try:
            client.connect(self._options.host, self._options.port, keepalive=30)
        except (OSError, ValueError) as error:
            return f"cannot be reached: {error}", False
        client.loop_start()
        try:
            if not _either(up, broken, stop, 10.0):
                return said[0] if said else "no answer", False
            log.info("broker %s:%s: connected", self._options.host, self._options.port)
            self._forget()
            self._work(client, stop, broken)
            return (said[0] if said else "stopped"), True
        finally:
            if not broken.is_set():
                last = client.publish(ha.outlet_topic(self._choice.site), b"offline", qos=1, retain=True)
                last.wait_for_publish(2)
            client.disconnect()
            client.loop_stop()

    def _new_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=self._options.client_id, protocol=paho.MQTTv311,
            reconnect_on_failure=False,
        )  # fmt: skip
        if self._options.user:
            secret = self._options.password
            client.username_pw_set(self._options.user, secret.get_secret_value() if secret else None)
        if self._options.tls:
            context = ssl.create_default_context(cafile=str(self._options.ca) if self._options.ca else None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self._options.cert:
                context.load_cert_chain(str(self._options.cert), str(self._options.key))
            client.tls_set_context(context)
        return client

    # ---------------------------------------------------------------------------------------------- what is told

    def _work(self, client: paho.Client, stop: threading.Event, broken: threading.Event) -> None:
        look_s = again_s = 0.0
        while not (stop.is_set() or broken.is_set()):
            now_s = time.monotonic()
            try:
                if now_s >= look_s:
                    look_s = now_s + LOOK_EVERY_S
                    self._farm.require_allowed(self._clock())
                if now_s >= again_s:
                    again_s = now_s + AGAIN_EVERY_S
                    self._farm.read()
                    self._tell_all(client)
            except NoLongerAllowed:
                self._take_all_away(client)
                raise
            except (RegistryError, StoreError) as error:
                log.warning("%s; trying again", error)
                look_s = now_s + LOOK_EVERY_S
            try:
                source, event = self._events.get(timeout=0.1)
            except queue.Empty:
                continue
            if source == "home":
                if self._heard(event):
                    again_s = min(again_s, now_s + SOON_S)
            elif isinstance(event, Message):
                if self._readings(client, event):
                    again_s = min(again_s, now_s + LOOK_EVERY_S)
            elif isinstance(event, Up):
                again_s = 0.0
            elif isinstance(event, Down):
                log.warning("committed feed: %s; trying again", event.why)

    def _tell_all(self, client: paho.Client) -> None:
        """Configs that are new or changed, what is gone, who is available, and the newest values."""
        wanted = {
            ha.config_topic(self._choice.prefix, e): ha.config(e, version("makiba"), self._choice.language)
            for e in self._farm.entities.values()
        }
        for topic in set(self._told) - set(wanted):
            client.publish(topic, b"", qos=1, retain=True)
            del self._told[topic]
        for topic, payload in wanted.items():
            if self._told.get(topic) != payload:
                client.publish(topic, payload, qos=1, retain=True)
                self._told[topic] = payload
        for device in {e.device.name for e in self._farm.entities.values()}:
            self._tell_available(client, device)
        self._say(client, ha.outlet_topic(self._choice.site), b"online")
        for series, (time_ms, value) in self._farm.newest(self._clock()).items():
            self._tell(client, series, time_ms, value)

    def _tell(self, client: paho.Client, series: Series, time_ms: int, value: float) -> None:
        if time_ms <= self._told_ms.get(series, -1):
            return  # told already: again, it would seem to be a new one there
        self._told_ms[series] = time_ms
        client.publish(ha.state_topic(self._farm.entities[series]), ha.state(series.quantity, value), qos=0)

    def _tell_available(self, client: paho.Client, device: str) -> None:
        word = b"online" if self._farm.is_available(device) else b"offline"
        self._say(client, ha.device_topic(self._choice.site, device), word)

    def _say(self, client: paho.Client, topic: str, word: bytes) -> None:
        if self._said.get(topic) != word:
            client.publish(topic, word, qos=1, retain=True)
            self._said[topic] = word

    def _forget(self) -> None:
        """Nothing is known of what the other side knows: it is told everything again."""
        self._told.clear()
        self._said.clear()
        self._told_ms.clear()

    def _take_all_away(self, client: paho.Client) -> None:
        sent = [client.publish(topic, b"", qos=1, retain=True) for topic in self._told]
        sent += [client.publish(topic, b"", qos=1, retain=True) for topic in self._said]
        for one in sent:
            one.wait_for_publish(2)

    def _heard(self, message: paho.MQTTMessage) -> bool:
        """From Home Assistant's broker: its birth, or a config that stands there. True: tell everything again."""
        if message.topic == f"{self._choice.prefix}/status":
            if message.payload == b"online" and not message.retain:
                self._forget()
                return True
            return False
        if message.payload and message.topic not in self._told:
            self._told[message.topic] = bytes(message.payload)  # a former run left it; it may be gone by now
            return True
        return False

    def _readings(self, client: paho.Client, message: Message) -> bool:
        """Committed readings of the farm. True: there is a series that was not there."""
        new = False
        try:
            readings = readings_in(message)
        except (WireError, SenmlError) as error:
            log.warning("committed feed: not readable: %s", error)
            return False
        for reading in readings:
            series = reading.series
            if series.site != self._choice.site:
                continue
            if series.quantity == _STATE:
                self._farm.states[series.subject] = str(reading.value)
                if series.subject in self._farm.devices:
                    self._tell_available(client, series.subject)
            elif series in self._farm.entities and not isinstance(reading.value, str):
                if self._clock() - reading.time_ms < max(OLD_MS, self._pace_ms(series)):  # no backlog as of now
                    self._tell(client, series, reading.time_ms, reading.value)
            elif series.quantity in catalogue() and ha.how(series.quantity) is not None:
                new = True
        return new

    def _pace_ms(self, series: Series) -> float:
        return ha.EXPIRES_AFTER * 1000 * self._farm.entities[series].device.every_s

    def _put(self, source: str, event: Any) -> None:
        try:
            self._events.put_nowait((source, event))
        except queue.Full:
            log.warning("more comes than can be told; some of it is left out")


def _either(up: threading.Event, broken: threading.Event, stop: threading.Event, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and not (broken.is_set() or stop.is_set()):
        if up.wait(0.05):
            return True
    return False
