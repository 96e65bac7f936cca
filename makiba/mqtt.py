"""How a part of Makiba introduces itself to the broker.

Makes a client that is set up and not connected: MQTT 5, clean start, no session, TLS with the part's own key.
Connecting, and what happens to messages, is each room's own affair.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from pathlib import Path
from typing import Annotated, Any, TypeVar, overload

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_AsPath = Annotated[Path, BeforeValidator(lambda v: Path(v) if isinstance(v, str) else v)]


class TlsOptions(BaseModel):
    """Files in PEM form: the authority that both ends trust, and the part's own certificate and key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    ca: _AsPath
    cert: _AsPath
    key: _AsPath


class MqttOptions(BaseModel):
    """Where the broker is. Without `tls` only a broker on this machine's loopback is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    host: str = "127.0.0.1"
    port: int = Field(default=8883, ge=1, le=65535)
    tls: TlsOptions | None = None
    keepalive_s: int = Field(default=20, ge=5, le=3600)

    @model_validator(mode="after")
    def _plain_only_on_loopback(self) -> MqttOptions:
        if self.tls is None and not is_loopback(self.host):
            raise ValueError(f"no tls: allowed only to this machine itself, and {self.host!r} is another one")
        return self


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


C = TypeVar("C", bound=paho.Client)


@overload
def new_client(options: MqttOptions, client_id: str) -> paho.Client: ...
@overload
def new_client(options: MqttOptions, client_id: str, *, kind: type[C]) -> C: ...


def new_client(options: MqttOptions, client_id: str, *, kind: type[paho.Client] = paho.Client) -> paho.Client:
    """A client for one connection: it does not reconnect by itself, so that no queue outlives a link.

    `OSError` or `ssl.SSLError` when a TLS file is missing or wrong.
    """
    client = kind(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=paho.MQTTv5,
        reconnect_on_failure=False,
    )
    client.on_socket_open = _send_at_once
    if options.tls:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(options.tls.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(str(options.tls.cert), str(options.tls.key))
        client.tls_set_context(context)
    return client


def _send_at_once(_client: paho.Client, _userdata: Any, sock: Any) -> None:
    """Without this the second of two small messages waits for the first one's TCP acknowledgement: 40 ms on Linux."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def connect_properties(*, receive_maximum: int = 20, maximum_packet_size: int = 512 * 1024) -> Properties:
    """For CONNECT: no session is kept by the broker, and at most `receive_maximum` messages are on the way."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 0
    properties.ReceiveMaximum = receive_maximum
    properties.MaximumPacketSize = maximum_packet_size
    return properties
