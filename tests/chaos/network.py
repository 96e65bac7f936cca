"""A town's network out of namespaces: one hub with a bridge, one namespace per gateway, and faults by nft.

Guarantees: nothing outside the namespaces made here is touched, their names begin with the id of the process that
made them, and leaving the context takes them away. What a process that was killed left behind is taken away by the
next one. Needs root, `ip`, `nft`, `nsenter`; `why_not` says what is missing.

Loss and cuts are packet filters on a gateway's own end of its cable, in either direction. Delay is not made here (the
kernel may lack netem): see `relay.py`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import Final, TypeVar

BROKER_HOST: Final = "10.77.0.1"
RELAY_HOST: Final = "10.77.0.2"
_FIRST: Final = 10
_PATH: Final = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"
_RUN: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000
T = TypeVar("T")

LOSS, CUT_IN, CUT_OUT = "loss", "cut-in", "cut-out"
_RULES: Final = {
    (LOSS, "in"): "numgen random mod 100 < 20 drop",
    (LOSS, "out"): "numgen random mod 100 < 20 drop",
    (CUT_IN, "in"): "drop",
    (CUT_OUT, "out"): "drop",
}


def why_not() -> str:
    """What this machine lacks for a town; empty when nothing."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    missing = [name for name in ("ip", "nft", "nsenter", "setpriv") if shutil.which(name, path=_PATH) is None]
    if missing:
        return f"missing: {', '.join(missing)} (apt-get install iproute2 nftables util-linux)"
    name = f"mk{os.getpid()}-probe"
    try:
        _ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        return f"no network namespaces here: {error.stderr.strip()}"
    try:
        nft = _program("nft")
        subprocess.run(
            [*inside(name), nft, "add", "table", "inet", "probe"], check=True, capture_output=True, text=True
        )
    except subprocess.CalledProcessError as error:
        return f"nft does not work in a namespace here: {error.stderr.strip()}"
    finally:
        _ip("netns", "del", name)
    return ""


def inside(namespace: str) -> list[str]:
    """What to put in front of a command that is to run in `namespace`; it becomes that command, with its pid."""
    return [_program("nsenter"), f"--net={_RUN / namespace}", "--"]


class Network:
    """The hub and `count` gateways' namespaces, from entering to leaving the context."""

    def __init__(self, count: int) -> None:
        prefix = f"mk{os.getpid()}-"
        self.hub = f"{prefix}hub"
        self.gateways = [f"{prefix}{number}" for number in range(count)]
        self._active: dict[str, set[str]] = {name: set() for name in (self.hub, *self.gateways)}

    def __enter__(self) -> Network:
        _sweep()
        try:
            self._make_hub()
            for number in range(len(self.gateways)):
                self._make_gateway(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make_hub(self) -> None:
        _ip("netns", "add", self.hub)
        on = ("-n", self.hub)
        _ip(*on, "link", "set", "lo", "up")
        _ip(*on, "link", "add", "br0", "type", "bridge")
        for host in (BROKER_HOST, RELAY_HOST):
            _ip(*on, "addr", "add", f"{host}/24", "dev", "br0")
        _ip(*on, "link", "set", "br0", "up")

    def _make_gateway(self, number: int) -> None:
        name, port = self.gateways[number], f"g{number}"
        _ip("netns", "add", name)
        _ip("-n", self.hub, "link", "add", port, "type", "veth", "peer", "name", "e0", "netns", name)
        _ip("-n", self.hub, "link", "set", port, "master", "br0", "up")
        _ip("-n", name, "addr", "add", f"10.77.0.{_FIRST + number}/24", "dev", "e0")
        for device in ("lo", "e0"):
            _ip("-n", name, "link", "set", device, "up")

    def __exit__(self, *_: object) -> None:
        for name in (*self.gateways, self.hub):
            if (_RUN / name).exists():
                subprocess.run([_program("ip"), "netns", "del", name], check=False, capture_output=True)

    # ------------------------------------------------------------------------------------------ faults

    def link(self, gateway: str, *, up: bool) -> None:
        """Plugs a gateway's cable in or out."""
        _ip("-n", gateway, "link", "set", "e0", "up" if up else "down")

    def filter(self, namespace: str, fault: str, *, on: bool) -> None:
        """`LOSS` (a fifth of the packets, each way), `CUT_IN` or `CUT_OUT` at `namespace`."""
        active = self._active[namespace]
        (active.add if on else active.discard)(fault)
        device = "br0" if namespace == self.hub else "e0"
        chains = []
        for hook, which in (("in", "iifname"), ("out", "oifname")):
            rules = "\n".join(
                f'  {which} "{device}" {_RULES[f, hook]}' for f in sorted(active) if (f, hook) in _RULES
            )
            chains.append(f" chain {hook} {{\n  type filter hook {hook}put priority 0;\n{rules}\n }}\n")
        rules_text = "flush ruleset\ntable inet chaos {\n" + "".join(chains) + "}\n"
        subprocess.run(
            [*inside(namespace), _program("nft"), "-f", "-"], input=rules_text, text=True, check=True,
            capture_output=True,
        )  # fmt: skip

    def calm(self) -> None:
        """Ends every fault."""
        for namespace in (self.hub, *self.gateways):
            self._active[namespace].clear()
            self.filter(namespace, LOSS, on=False)
        for gateway in self.gateways:
            self.link(gateway, up=True)


def enter(namespace: str) -> None:
    """Moves the calling thread, and what it starts from now on, into `namespace`."""
    fd = os.open(_RUN / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(fd, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    finally:
        os.close(fd)


def started_in(namespace: str, start: Callable[[], T]) -> T:
    """What `start` gives, run on a thread inside `namespace`: its sockets and threads stay there."""
    got: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            enter(namespace)
            got.append(start())
        except BaseException as error:
            failed.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return got[0]


def _sweep() -> None:
    """Takes away namespaces of processes that are gone."""
    for path in _RUN.glob("mk*-*") if _RUN.is_dir() else ():
        pid = path.name[2:].split("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            subprocess.run([_program("ip"), "netns", "del", path.name], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run([_program("ip"), *arguments], check=True, capture_output=True, text=True)


def _program(name: str) -> str:
    return shutil.which(name, path=_PATH) or name


__all__: Sequence[str] = [
    "BROKER_HOST", "CUT_IN", "CUT_OUT", "LOSS", "RELAY_HOST", "Network", "enter", "inside", "started_in", "why_not",
]  # fmt: skip
