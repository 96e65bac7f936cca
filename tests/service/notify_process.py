"""The notifier as a process, with two channels that hand over to a local recorder."""

from __future__ import annotations

import json
import sys
import threading
import urllib.error
import urllib.request

from analytics.notify.port import ChannelName, Message, Sent
from analytics.notify.process import Notifier
from analytics.notify.who import Ways
from collectors.registry import open_registry


class Posting:
    """POSTs the message's id; 409 is LINE's word for what it has already."""

    exactly_once = True
    monthly = None

    def __init__(self, name: ChannelName, url: str) -> None:
        self.name, self._url = name, url

    def send(self, message: Message) -> Sent:
        body = json.dumps({"id": message.id, "channel": self.name, "alert": message.alert_id}).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self._url, body), timeout=5):
                return Sent("accepted")
        except urllib.error.HTTPError as error:
            return Sent("duplicate" if error.code == 409 else "retry", f"HTTP {error.code}")
        except OSError as error:
            return Sent("retry", type(error).__name__)


def main(registry_url: str, recorder: str, lease_ms: int) -> None:
    names: tuple[ChannelName, ...] = ("push", "line")
    ways = Ways({name: Posting(name, recorder) for name in names}, {}, "https://makiba.example")
    Notifier(open_registry(registry_url), ways, lease_ms=lease_ms).run(threading.Event())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
