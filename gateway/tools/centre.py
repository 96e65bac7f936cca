"""What the centre says to this gateway: may it send, does a collector listen, and what time is it there.

An empty pack is published as the gateway does when it has no clock: it holds no reading, and the collector's answer
has its time. The client id is another one than the gateway's, so that a gateway that runs is not thrown out.
"""

from __future__ import annotations

import json
import os
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.site import Gateway
from gateway.tools.finding import Finding
from gateway.tools.language import Say
from makiba import topics
from makiba.mqtt import connect_properties, new_client
from makiba.senml import CONTENT_TYPE_JSON
from makiba.wire import Ack, BatchId, WireError, pack_payload

NETWORK_S = 5.0
NOBODY_LISTENS = 16
"""MQTT 5, section 3.4.2.1: no matching subscribers."""
FAR_S = 5.0


class _Talk:
    """One connection: connect, subscribe to the answers, publish, wait. Callbacks are on paho's thread."""

    def __init__(self, gateway: Gateway) -> None:
        self.heard: dict[str, Any] = {}
        self.offset_s: float | None = None
        self._gateway = gateway
        self._batch = BatchId(uuid4().hex[:16], 1)
        self._done = threading.Event()
        self._client = new_client(gateway.mqtt, f"{gateway.name}-doctor-{os.getpid()}")
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message

    def run(self) -> None:
        """Until an answer came, or one that ends it, or the time is over. `OSError` when there is no connection."""
        options = self._gateway.mqtt
        self._client.connect(options.host, options.port, clean_start=True, properties=connect_properties())
        self._client.loop_start()
        try:
            self._done.wait(NETWORK_S)
        finally:
            self._client.disconnect()
            self._client.loop_stop()

    def _note(self, what: str, reason: Any) -> bool:
        self.heard[what] = reason
        if reason.is_failure:
            self._done.set()
        return not reason.is_failure

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._note("connect", reason):
            self._client.subscribe(topics.gateway_topic(self._gateway.name, topics.ACK), qos=1)

    def _on_subscribe(self, _client: Any, _userdata: Any, _mid: Any, reasons: Any, _properties: Any) -> None:
        if not self._note("subscribe", reasons[0]):
            return
        payload = pack_payload(json.dumps([{"bn": f"{self._gateway.site}/"}]).encode(), deflate=False)
        properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = CONTENT_TYPE_JSON
        properties.CorrelationData = self._batch.to_bytes()
        properties.UserProperty = list(payload.user_properties)
        topic = topics.gateway_topic(self._gateway.name, topics.READINGS)
        self._client.publish(topic, payload.data, qos=1, properties=properties)

    def _on_publish(self, _client: Any, _userdata: Any, _mid: Any, reason: Any, _properties: Any) -> None:
        if self._note("publish", reason) and reason.value == NOBODY_LISTENS:
            self._done.set()

    def _on_message(self, _client: Any, _userdata: Any, message: Any) -> None:
        try:
            ack = Ack.from_bytes(message.payload)
        except WireError:
            return
        if ack.batch == str(self._batch):
            self.offset_s = time.time() - ack.time_ms / 1000
            self._done.set()


def ask_centre(gateway: Gateway, what: str, say: Say) -> Iterator[Finding]:
    """What came of it."""
    talk = _Talk(gateway)
    try:
        talk.run()
    except (OSError, ssl.SSLError) as error:
        yield Finding("FAIL", what, str(error), say("ブローカーの 記録を 見る", "look into the broker's log"))
        return
    refused = next((f"{step}: {r}" for step, r in talk.heard.items() if r.is_failure), None)
    if refused:
        yield Finding(
            "FAIL",
            what,
            say(f"断られました（{refused}）", f"refused ({refused})"),
            say("証明書の 名前と gateway: を 同じに", "the certificate's name and 'gateway:' have to be the same"),
        )
    elif "connect" not in talk.heard:
        yield Finding(
            "FAIL", what, say("答えが ありません", "no answer"), say("ブローカーの 記録", "look into its log")
        )
    else:
        yield Finding("ok", what, say("つながり、送れます", "connects, and may send"))
        yield from _collector(talk, say)


def _collector(talk: _Talk, say: Say) -> Iterator[Finding]:
    what = say("コレクター", "collector")
    if talk.offset_s is None:
        yield Finding(
            "warn",
            what,
            say("答えません。値は ここに たまります", "does not answer; readings wait here meanwhile"),
            say("センターで makiba collect を 見る", "at the centre: does makiba collect run?"),
        )
        return
    yield Finding("ok", what, say("答えます", "answers"))
    if abs(talk.offset_s) > FAR_S:
        yield Finding(
            "warn",
            say("時計", "clock"),
            say(f"センターと {talk.offset_s:+.0f} 秒 違います", f"{talk.offset_s:+.0f} s from the centre's"),
            "timedatectl set-ntp true",
        )
    else:
        yield Finding(
            "ok",
            say("時計", "clock"),
            say(f"センターとの差 {talk.offset_s:+.1f} 秒", f"{talk.offset_s:+.1f} s from the centre's"),
        )
