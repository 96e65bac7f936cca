"""Mosquitto set up for Makiba: TLS with a certificate for everybody, and who may say what.

Guarantees: nobody connects without a certificate of the authority in `pki`; the certificate's common name is the
user name; a gateway writes and reads its own topics only (one pattern per verb); a service has the topics it
works on and no others. Mosquitto 2.0 answers a forbidden SUBSCRIBE with success and then delivers nothing.

The broker keeps nothing on disk and may forget everything at any time: delivery is between gateway and collector.
What waits for a client is bounded (10,000 messages, 32 MB): some seconds of a prefecture's live data for a collector
that is busy. What is beyond is dropped, and sent again by its gateway.
A client id is not bound to a certificate (several collectors share one name), so that clients choose ids that
cannot be guessed, or a gateway could push another one's connection off.

Source of the settings: mosquitto.conf(5), Mosquitto 2.0.11 (Debian 12) and later.
"""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from deploy.pki import authority
from makiba import topics
from makiba.wire import MAX_PACK_BYTES

_HEADERS_BYTES: Final = 4096
"""Room for topic and properties beside the largest pack."""

_SERVICE_TOPICS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "collector": (
        ("read", topics.all_gateways(topics.READINGS)),
        ("read", topics.all_gateways(topics.STATUS)),
        ("read", topics.all_gateways(topics.CONFIG_REPORTED)),
        ("write", topics.all_gateways(topics.ACK)),
        ("write", f"{topics.STORED_ROOT}/#"),
    ),
    "analytics": (("read", f"{topics.STORED_ROOT}/#"),),
    "api": (("read", f"{topics.STORED_ROOT}/#"),),
}


def program() -> str:
    """Path of the `mosquitto` program; `FileNotFoundError` says how to get it."""
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise FileNotFoundError("mosquitto is not installed: apt-get install mosquitto")
    return found


def write_config(folder: Path, *, pki: Path, port: int, host: str = "127.0.0.1") -> Path:
    """Writes `mosquitto.conf` and its ACL into `folder` and gives the path; issues the broker's certificate.

    Start it as `[program(), "-c", str(path)]`. It runs as the user who starts it, so that it can read its key.
    """
    authority.issue(pki, authority.BROKER)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    acl, config = folder / "mosquitto.acl", folder / "mosquitto.conf"
    _write(acl, access_list())
    _write(config, _config(pki.resolve(), acl.resolve(), host, port))
    return config


def access_list() -> str:
    """The ACL file: patterns on the certificate's name for gateways, topics by name for services."""
    lines = ["# Written by Makiba. %u is the common name of the client's certificate."]
    lines += [f"pattern write {topics.gateway_topic('%u', verb)}" for verb in topics.GATEWAY_WRITES]
    lines += [f"pattern read {topics.gateway_topic('%u', verb)}" for verb in topics.GATEWAY_READS]
    for service, rights in _SERVICE_TOPICS.items():
        lines += ["", f"user {service}"]
        lines += [f"topic {right} {topic}" for right, topic in rights]
    return "\n".join(lines) + "\n"


def _config(pki: Path, acl: Path, host: str, port: int) -> str:
    return f"""\
# Written by Makiba; see mosquitto.conf(5).
user {getpass.getuser()}
persistence false
log_dest stderr
log_type error
log_type warning
log_type notice
connection_messages false

allow_anonymous false
acl_file {acl}
max_packet_size {MAX_PACK_BYTES + _HEADERS_BYTES}
max_keepalive 3600
max_inflight_messages 20
max_queued_messages 10000
max_queued_bytes {32 * 1024 * 1024}
set_tcp_nodelay true

listener {port} {host}
max_connections -1
cafile {pki / "ca.pem"}
certfile {pki / "broker.pem"}
keyfile {pki / "broker.key"}
require_certificate true
use_identity_as_username true
"""


def _write(path: Path, text: str) -> None:
    handle, temp = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temp, path)
