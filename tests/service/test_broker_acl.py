"""Who may say what, at a real Mosquitto: certificates and the access list."""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from deploy.pki import authority
from makiba import topics
from makiba.mqtt import MqttOptions, TlsOptions, connect_properties, new_client
from tests.parts import Broker


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


class Peer:
    """A connected client that remembers what it was sent."""

    def __init__(self, options: MqttOptions) -> None:
        self.inbox: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.connected = threading.Event()
        self._subscribed = threading.Event()
        self._published = threading.Event()
        self._client = new_client(options, f"test-{uuid.uuid4().hex}")
        self._client.on_connect = lambda *_: self.connected.set()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_publish = lambda *_: self._published.set()
        self._client.on_message = lambda _c, _u, m: self.inbox.put((m.topic, bytes(m.payload)))
        self._client.connect(options.host, options.port, 20, clean_start=True, properties=connect_properties())
        self._client.loop_start()
        assert self.connected.wait(5), "not connected"

    def subscribe(self, topic: str) -> None:
        self._subscribed.clear()
        self._client.subscribe(topic, 1)
        assert self._subscribed.wait(5)

    def publish(self, topic: str, payload: bytes = b"x", retain: bool = False) -> None:
        """Returns when the broker has answered, so that whatever it was to deliver is on the way."""
        self._published.clear()
        self._client.publish(topic, payload, qos=1, retain=retain)
        assert self._published.wait(5)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def arrives(sender: Peer, receiver: Peer, topic: str, end: tuple[str, Peer]) -> bool:
    """Whether what `sender` publishes on `topic` reaches `receiver`.

    `end` is a topic that receiver is known to get and a peer that may write it: a message that comes after the
    one in question on the receiver's connection, so that 'nothing came' is known without waiting.
    """
    question, last = uuid.uuid4().bytes, uuid.uuid4().bytes
    sender.publish(topic, question)
    end_topic, ender = end
    ender.publish(end_topic, last)
    while True:  # overlapping subscriptions deliver doubles, so that older messages may come in between
        _, payload = receiver.inbox.get(timeout=5)
        if payload in (question, last):
            return payload == question


def test_a_gateway_cannot_read_what_another_writes_or_is_told(broker: Broker) -> None:
    with Peer(broker.options("gw-a")) as a, Peer(broker.options("gw-b")) as b, Peer(broker.options("collector")) as c:
        b.subscribe("#")
        b.subscribe("makiba/+/readings")
        b.subscribe("makiba/gw-a/#")
        b.subscribe("$share/collectors/makiba/+/readings")
        b.subscribe("makiba/gw-b/ack")
        end = ("makiba/gw-b/ack", c)
        for verb in topics.GATEWAY_WRITES:
            assert not arrives(a, b, f"makiba/gw-a/{verb}", end)
        assert not arrives(c, b, "makiba/gw-a/ack", end)
        assert not arrives(c, b, "makiba-stored/3", end)
        assert arrives(c, b, "makiba/gw-b/ack", end)


def test_a_gateway_writes_its_own_topics_and_nobody_elses(broker: Broker) -> None:
    with Peer(broker.options("gw-a")) as a, Peer(broker.options("gw-b")) as b, Peer(broker.options("collector")) as c:
        for verb in topics.GATEWAY_WRITES:
            c.subscribe(topics.all_gateways(verb))
        end = ("makiba/gw-a/readings", a)
        for verb in topics.GATEWAY_WRITES:
            assert arrives(b, c, f"makiba/gw-b/{verb}", end)
            assert not arrives(b, c, f"makiba/gw-a/{verb}", end)


def test_a_gateway_can_not_answer_for_the_collector_nor_feed_the_centre(broker: Broker) -> None:
    with (
        Peer(broker.options("gw-a")) as a,
        Peer(broker.options("gw-b")) as b,
        Peer(broker.options("collector")) as c,
        Peer(broker.options("api")) as api,
    ):
        a.subscribe("makiba/gw-a/ack")
        a.subscribe("makiba/gw-a/config")
        api.subscribe("makiba-stored/#")
        assert not arrives(b, a, "makiba/gw-a/ack", ("makiba/gw-a/ack", c))
        assert not arrives(a, a, "makiba/gw-a/ack", ("makiba/gw-a/ack", c))
        assert not arrives(b, a, "makiba/gw-a/config", ("makiba/gw-a/ack", c))
        assert not arrives(a, api, "makiba-stored/3", ("makiba-stored/3", c))


@pytest.mark.parametrize("service", ["analytics", "api"])
def test_a_reader_of_the_feed_reads_it_and_nothing_else(broker: Broker, service: str) -> None:
    with (
        Peer(broker.options("gw-a")) as a,
        Peer(broker.options("collector")) as c,
        Peer(broker.options(service)) as reader,
    ):
        reader.subscribe("#")
        reader.subscribe("makiba/+/readings")
        reader.subscribe("makiba-stored/#")
        end = ("makiba-stored/0", c)
        assert arrives(c, reader, "makiba-stored/15", end)
        assert not arrives(a, reader, "makiba/gw-a/readings", end)
        assert not arrives(a, reader, "makiba/gw-a/status", end)
        c.subscribe("makiba/+/readings")
        assert not arrives(reader, reader, "makiba-stored/3", end)
        assert not arrives(reader, c, "makiba/gw-a/readings", ("makiba/gw-a/readings", a))


def test_the_collector_reads_through_a_shared_subscription_and_answers(broker: Broker) -> None:
    with Peer(broker.options("gw-a")) as a, Peer(broker.options("collector")) as c:
        c.subscribe(topics.shared(topics.COLLECTORS_GROUP, topics.all_gateways(topics.READINGS)))
        a.subscribe("makiba/gw-a/ack")
        a.publish("makiba/gw-a/readings", b"pack")
        assert c.inbox.get(timeout=5) == ("makiba/gw-a/readings", b"pack")
        c.publish("makiba/gw-a/ack", b"answer")
        assert a.inbox.get(timeout=5) == ("makiba/gw-a/ack", b"answer")


def test_the_will_of_a_gateway_reaches_the_collector(broker: Broker) -> None:
    options = broker.options("gw-a")
    with Peer(broker.options("collector")) as c:
        c.subscribe("makiba/+/status")
        client = new_client(options, uuid.uuid4().hex)
        client.will_set("makiba/gw-a/status", b"offline", qos=1, retain=False)
        connected = threading.Event()
        client.on_connect = lambda *_: connected.set()
        client.connect(options.host, options.port, clean_start=True, properties=connect_properties())
        client.loop_start()
        assert connected.wait(5)
        client.loop_stop()
        sock = client.socket()
        assert sock is not None
        sock.close()
        assert c.inbox.get(timeout=5) == ("makiba/gw-a/status", b"offline")


def _is_refused(client: paho.Client, options: MqttOptions) -> bool:
    """Whether the broker ends the connection before it says CONNACK with success."""
    outcome: queue.Queue[str] = queue.Queue()
    client.on_connect = lambda _c, _u, _f, reason, _p: outcome.put("refused" if reason.is_failure else "connected")
    client.on_connect_fail = lambda *_: outcome.put("refused")
    client.on_disconnect = lambda *_: outcome.put("refused")
    try:
        client.connect(options.host, options.port, clean_start=True)
    except OSError:
        return True
    client.loop_start()
    try:
        return outcome.get(timeout=5) == "refused"
    finally:
        client.disconnect()
        client.loop_stop()


def test_without_a_certificate_nobody_connects(broker: Broker) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5, reconnect_on_failure=False)
    client.tls_set(ca_certs=str(broker.pki / "ca.pem"))
    assert _is_refused(client, broker.options("gw-a"))


def test_without_tls_nobody_connects(broker: Broker) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5, reconnect_on_failure=False)
    assert _is_refused(client, broker.options("gw-a"))


def test_a_certificate_of_another_authority_does_not_connect(broker: Broker, tmp_path: Path) -> None:
    stranger = authority.issue(tmp_path / "pki", "gw-a")
    tls = TlsOptions(ca=broker.pki / "ca.pem", cert=stranger.cert, key=stranger.key)
    options = MqttOptions(port=broker.port, tls=tls)
    assert _is_refused(new_client(options, uuid.uuid4().hex), options)
    good = broker.options("gw-a")
    assert not _is_refused(new_client(good, uuid.uuid4().hex), good)


def test_a_client_does_not_trust_a_broker_of_another_authority(broker: Broker, tmp_path: Path) -> None:
    good = broker.options("gw-a")
    assert good.tls is not None
    options = MqttOptions(
        port=broker.port, tls=TlsOptions(ca=authority.init(tmp_path / "pki"), cert=good.tls.cert, key=good.tls.key)
    )
    assert _is_refused(new_client(options, uuid.uuid4().hex), options)
