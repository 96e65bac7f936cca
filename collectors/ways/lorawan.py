"""LoRaWAN: devices behind ChirpStack v4, whose events in JSON come over MQTT.

Guarantee: an event that the broker gave us is acknowledged (QoS 1) after its readings are committed; the broker
keeps those that are not in a session of its own (`SESSION_S`), also while this process is away. Given again, an event
stores nothing twice.

Weaker than a gateway, because ChirpStack does not keep what it published:

- What ChirpStack cannot publish (broker away, or its `qos = 0`, which is its default) is lost. Set `qos = 1` there.
- What the broker forgets is lost: a restart without persistence, more waiting than its `max_queued_messages`
  (Mosquitto: 1000), a session older than `SESSION_S`. That the session was lost is one line of log.
- What a device that no farm names said is lost; it is counted, and `makiba lorawan unknown` shows it.
- A frame that no LoRaWAN gateway heard is lost on the air.

All but the second last show as gaps in the frame counter: `frames_missing` is a reading, and `makiba lorawan devices`
has the sum.

Several collectors may take the same events if each has a client id of its own (a broker drops the older of two
connections with one id); they store the same rows.
"""

from __future__ import annotations

import logging
import queue
import random
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions
from pydantic import SecretStr

from collectors.registry import Registry, RegistryError, dead_letters, lora, sources
from collectors.registry.schema import LoraDevice
from collectors.registry.viewer import Service
from collectors.ways.chirpstack import EVENTS, Last, parse_topic
from collectors.ways.lorawan_plan import Known, Message, Plan, plan_events
from collectors.ways.lorawan_profile import Profile
from collectors.ways.port import Door, now_ms, packs_of, take_patiently
from makiba.mqtt import connect_properties, is_loopback

log = logging.getLogger("makiba.collect.lorawan")

SESSION_S: Final = 7 * 86_400
RECEIVE_MAXIMUM: Final = 100
MAX_TOGETHER: Final = 50
MAX_EVENT_BYTES: Final = 64 * 1024
_BACKOFF_S: Final = (0.5, 30.0)
_ANSWER_WITHIN_S: Final = 10.0
_COLLECTOR: Final = Service("collector")


class BadAddress(ValueError):
    """The broker's address is not of the form, or would send a password in the clear."""


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Where ChirpStack's broker is, and who we are there."""

    host: str
    port: int
    client_id: str
    tls: bool
    user: str = ""
    password: SecretStr | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    application: str = "+"


def broker_options(
    address: str, *, client_id: str, password: SecretStr | None = None, ca: Path | None = None,
    cert: Path | None = None, key: Path | None = None, application: str = "+",
) -> BrokerOptions:  # fmt: skip
    """Options from `mqtt://[user@]host[:port]` (this machine only) or `mqtts://…`; `BadAddress` otherwise."""
    parts = urlsplit(address)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise BadAddress("expected mqtt://HOST:PORT or mqtts://USER@HOST:PORT")
    if parts.password is not None:
        raise BadAddress("a password does not stand in an address; put it into its own setting")
    tls = parts.scheme == "mqtts"
    if not tls and not is_loopback(parts.hostname):
        raise BadAddress(f"plain MQTT is allowed to this machine itself only, and {parts.hostname} is another one")
    try:
        port = parts.port or (8883 if tls else 1883)
    except ValueError:
        raise BadAddress("the port is not a number") from None
    user = unquote(parts.username or "")
    return BrokerOptions(parts.hostname, port, client_id, tls, user, password, ca, cert, key, application)


class LorawanWay:
    """The way in from one ChirpStack. paho's thread receives, the caller's thread commits."""

    name = "lorawan"

    def __init__(
        self, options: BrokerOptions, registry: Registry, door: Door, profiles: Mapping[str, Profile]
    ) -> None:
        self._options, self._registry, self._door, self._profiles = options, registry, door, profiles
        self._inbox: queue.Queue[tuple[paho.Client, paho.MQTTMessage, int]] = queue.Queue()
        self.connected = threading.Event()
        self._had_session = False

    def run(self, stop: threading.Event) -> None:
        failures = 0
        while not stop.is_set():
            why, was_up = self._one_connection(stop)
            if stop.is_set():
                break
            failures = 1 if was_up else failures + 1
            if failures == 1:
                log.warning("broker %s:%s: %s; trying again", self._options.host, self._options.port, why)
            low, high = _BACKOFF_S
            stop.wait(min(high, low * 2 ** min(failures - 1, 8)) * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)

    # ------------------------------------------------------------------------------------------- the connection

    def _one_connection(self, stop: threading.Event) -> tuple[str, bool]:
        """One connection from CONNECT to its end: why it ended, and whether events could come on it."""
        broken, answered = threading.Event(), threading.Event()
        said: list[str] = []
        try:
            client = self._new_client()
        except (OSError, ValueError) as error:
            return f"TLS files: {error}", False

        def on_connect(_c: Any, _u: Any, flags: Any, reason: Any, _p: Any) -> None:
            if reason.is_failure:
                said.append(f"refused the connection: {reason}")
                broken.set()
                return
            if self._had_session and not flags.session_present:
                log.warning("the broker kept no session: what came meanwhile is lost, as gaps in frame counters show")
            self._had_session = True
            topic = f"application/{self._options.application}/device/+/event/+"
            client.subscribe([(topic, SubscribeOptions(qos=1, retainHandling=2))])

        def on_subscribe(_c: Any, _u: Any, _mid: int, reasons: Sequence[Any], _p: Any) -> None:
            if any(reason.is_failure for reason in reasons):
                said.append(f"refused the subscription: {', '.join(map(str, reasons))}")
                broken.set()
            answered.set()

        def on_disconnect(_c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
            said.append(f"connection lost: {reason}")
            broken.set()

        def on_message(_c: Any, _u: Any, message: paho.MQTTMessage) -> None:
            self._inbox.put((client, message, now_ms()))

        client.on_connect, client.on_subscribe = on_connect, on_subscribe
        client.on_disconnect, client.on_message = on_disconnect, on_message
        properties = connect_properties(receive_maximum=RECEIVE_MAXIMUM, maximum_packet_size=2 * MAX_EVENT_BYTES)
        properties.SessionExpiryInterval = SESSION_S
        try:
            client.connect(
                self._options.host, self._options.port, keepalive=30, clean_start=False, properties=properties
            )
        except (OSError, ValueError) as error:
            return f"cannot be reached: {error}", False
        client.loop_start()
        try:
            deadline = time.monotonic() + _ANSWER_WITHIN_S
            while not (answered.wait(0.05) or broken.is_set() or stop.is_set()):
                if time.monotonic() > deadline:
                    return f"no answer within {_ANSWER_WITHIN_S:g} s", False
            up = answered.is_set() and not broken.is_set()
            if up:
                log.info("LoRaWAN: broker %s:%s: connected", self._options.host, self._options.port)
                self.connected.set()
                self._work(stop, broken)
            return (said[0] if said else "stopped"), up
        finally:
            self.connected.clear()
            client.disconnect()
            client.loop_stop()
            # What is not acknowledged, the broker gives again on the next connection.
            while not self._inbox.empty():
                self._inbox.get_nowait()

    def _new_client(self) -> paho.Client:
        options = self._options
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=options.client_id, protocol=paho.MQTTv5, manual_ack=True,
            reconnect_on_failure=False,
        )  # fmt: skip
        if options.user:
            secret = options.password.get_secret_value() if options.password else None
            client.username_pw_set(options.user, secret)
        if options.tls:
            context = ssl.create_default_context(cafile=str(options.ca) if options.ca else None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if options.cert and options.key:
                context.load_cert_chain(str(options.cert), str(options.key))
            client.tls_set_context(context)
        return client

    # ----------------------------------------------------------------------------------------------- the worker

    def _work(self, stop: threading.Event, broken: threading.Event) -> None:
        """Commits what comes, until the connection breaks or `stop`."""
        while not (stop.is_set() or broken.is_set()):
            try:
                items = [self._inbox.get(timeout=0.1)]
            except queue.Empty:
                continue
            while len(items) < MAX_TOGETHER and not self._inbox.empty():
                items.append(self._inbox.get_nowait())
            self._take(items, stop)

    def _take(self, items: Sequence[tuple[paho.Client, paho.MQTTMessage, int]], stop: threading.Event) -> None:
        try:
            done = self._commit([m for m in map(_message_of, items) if m is not None], stop)
        except Exception:
            # A defect of ours met something in these events: alone, the others are still served, and the one that
            # cannot be must not come again and again.
            if len(items) > 1:
                for item in items:
                    self._take([item], stop)
                return
            log.exception("event on %.120r cannot be processed", items[0][1].topic)
            done = True
        if done:
            for client, message, _ in items:
                client.ack(message.mid, message.qos)

    def _commit(self, messages: Sequence[Message], stop: threading.Event) -> bool:
        """Stores and notes what `messages` say; False when stopping came first and nothing may be acknowledged."""
        if not messages:
            return True
        while not stop.is_set():
            try:
                plan = plan_events(messages, self._devices(messages), self._profiles)
                packs = [
                    pack
                    for source, readings in plan.readings.items()
                    for pack in packs_of(source, readings, messages[0].received_ms)
                ]
                outcomes = take_patiently(self._door, packs, stop) if packs else []
                if outcomes is None:
                    return False
                if lost := {outcome.pack.gateway for outcome in outcomes if outcome.held}:
                    log.error("no farm has %s any more; what its devices said is lost", ", ".join(sorted(lost)))
                self._note(plan)
            except RegistryError as error:
                log.error("%s; LoRaWAN events wait", error)
                stop.wait(1.0)
            else:
                return True
        return False

    def _devices(self, messages: Sequence[Message]) -> dict[str, Known]:
        euis = [message.topic.dev_eui for message in messages]
        with self._registry.read() as session:
            return {eui: _known(row) for eui, row in lora.devices_by_eui(session, _COLLECTOR, euis).items()}

    def _note(self, plan: Plan) -> None:
        if not (plan.heard or plan.letters or plan.unknown):
            return
        with self._registry.write() as session:
            lora.note_heard(session, _COLLECTOR, plan.heard)
            if plan.letters:
                dead_letters.add(session, _COLLECTOR, plan.letters)
            for one in plan.unknown:
                lora.note_unknown(
                    session, _COLLECTOR, one.dev_eui, one.at_ms, name=one.name, application=one.application,
                    profile_name=one.profile_name,
                )  # fmt: skip


def _message_of(item: tuple[paho.Client, paho.MQTTMessage, int]) -> Message | None:
    """An event that is understood; None for any other message."""
    _, message, received_ms = item
    topic = parse_topic(message.topic)
    if topic is None or topic.event not in EVENTS or len(message.payload) > MAX_EVENT_BYTES:
        return None
    return Message(topic, bytes(message.payload), received_ms)


def _known(row: LoraDevice) -> Known:
    last = Last(row.dev_addr, row.frame, row.frame_id, row.frames_seen) if row.frame is not None else None
    return Known(
        dev_eui=row.dev_eui, site=row.site_id, subject=row.subject, profile=row.profile,
        source=sources.own_id("lorawan", row.site_id), missing=row.missing, last=last,
    )  # fmt: skip
