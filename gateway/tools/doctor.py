"""What is wrong with this gateway, from the cable to the centre. It only looks; every finding says what to do.

It may run beside the gateway: then the ports are the gateway's and the wiring is left alone.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.board import THROTTLED, UNDER_VOLTAGE, Board, disk_of
from gateway.clock import see_clocks
from gateway.driver import Bus
from gateway.site import Gateway
from gateway.tools.centre import ask_centre
from gateway.tools.finding import Finding
from gateway.tools.language import Say
from gateway.tools.probe import SerialProbe
from gateway.tools.scan_report import PortInUse, open_probe
from gateway.tools.wiring import judge, poll_all, setting_of

NETWORK_S = 5.0
SOON_DAYS = 30
HOT_C = 80.0
LITTLE_BYTES = 200_000_000


def examine(gateway: Gateway, polls: int, say: Say) -> Iterator[Finding]:
    """Every finding, in the order from the cable to the centre."""
    for bus in gateway.buses:
        yield from _bus(bus, polls, say)
    yield from _clock(say)
    yield from _broker(gateway, say)
    yield from _disk(gateway, say)
    yield from _power(Board(), say)


def _bus(bus: Bus, polls: int, say: Say) -> Iterator[Finding]:
    if bus.driver.family != "modbus":
        yield from _port(bus, getattr(bus.options, "port", None), say)
        return
    is_serial = bus.driver.kind == "rtu"
    what = say(f"ポート {bus.name}", f"port {bus.name}")
    if not is_serial and bus.options.framing == "rtu":
        yield from _converter(bus, what, say)
        return
    try:
        address = None if is_serial else f"{bus.options.host}:{bus.options.port}"
        probe = open_probe(bus.options.port if is_serial else None, address, say)
    except OSError as error:
        yield _not_opened(what, error, bus.options.port if is_serial else None, say)
        return
    try:
        yield Finding("ok", what, str(bus.options.port if is_serial else address))
        if isinstance(probe, SerialProbe):
            probe.use(setting_of(bus))
        yield from judge(bus.name, poll_all(bus, probe, polls), say)
    except OSError as error:
        yield Finding("FAIL", what, say(f"切れました: {error}", f"broke: {error}"))
    finally:
        probe.close()


def _port(bus: Bus, port: str | None, say: Say) -> Iterator[Finding]:
    what = say(f"ポート {bus.name}", f"port {bus.name}")
    if port is None:
        yield Finding("ok", what, say("調べません", "not looked at"))
    else:
        try:
            open_probe(port, None, say).close()
            yield Finding("ok", what, port)
        except OSError as error:
            yield _not_opened(what, error, port, say)


def _not_opened(what: str, error: OSError, port: str | None, say: Say) -> Finding:
    """A port that the gateway itself holds is as it should be; its wiring cannot be tested then."""
    if port and isinstance(error, PortInUse):
        holder = _holder(port)
        if holder and holder.startswith("makiba"):
            return Finding(
                "warn",
                what,
                say(f"{holder} が 使用中。線は 調べません", f"in use by {holder}; its wiring is not tested"),
                say(
                    "調べるには: sudo systemctl stop makiba-gateway", "to test it: sudo systemctl stop makiba-gateway"
                ),
            )
        return Finding(
            "FAIL",
            what,
            say(f"{holder or 'ほかの プログラム'} が 使用中", f"in use by {holder or 'another program'}"),
            say("その プログラムを 止める", "stop that program"),
        )
    return Finding("FAIL", what, str(error))


def _converter(bus: Bus, what: str, say: Say) -> Iterator[Finding]:
    try:
        socket.create_connection((bus.options.host, bus.options.port), NETWORK_S).close()
        yield Finding("ok", what, say("つながります", "the converter takes connections"))
    except OSError as error:
        yield Finding(
            "FAIL",
            what,
            f"{bus.options.host}:{bus.options.port}: {error.strerror or error}",
            say("変換器の 電源と アドレス", "check the converter's power and address"),
        )


def _holder(port: str, proc: Path = Path("/proc")) -> str | None:
    """Who has `port` open, as `name (pid)`, the gateway first; None when nobody that this user may see has."""
    try:
        target = os.stat(port).st_rdev
    except OSError:
        return None
    holders = [folder for folder in proc.glob("[0-9]*") if folder.name != str(os.getpid()) and _holds(folder, target)]
    names = [f"{_name_of(folder)} ({folder.name})" for folder in holders]
    return next((n for n in names if n.startswith("makiba")), names[0] if names else None)


def _holds(folder: Path, target: int) -> bool:
    with suppress(OSError):
        for link in (folder / "fd").iterdir():
            with suppress(OSError):
                if target and os.readlink(link).startswith("/dev/") and link.stat().st_rdev == target:
                    return True
    return False


def _name_of(folder: Path) -> str:
    with suppress(OSError):
        words = (folder / "cmdline").read_bytes().split(b"\0")
        if b"gateway" in words and b"run" in words:
            return "makiba gateway"
        return Path(words[0].decode(errors="replace")).name
    return "?"


def _clock(say: Say) -> Iterator[Finding]:
    what = say("時計", "clock")
    now = datetime.now(tz=UTC)
    if see_clocks().is_synchronised:
        yield Finding("ok", what, say("合っています", "synchronised"))
    else:
        yield Finding(
            "warn",
            what,
            say(f"同期していません（{now:%Y-%m-%d %H:%M} UTC）", f"not synchronised ({now:%Y-%m-%d %H:%M} UTC)"),
            say(
                "timedatectl で 確認。ネットが なくても 値は 残り、後で 時刻が つきます",
                "see timedatectl; without a network readings are kept and get their time later",
            ),
        )


def _broker(gateway: Gateway, say: Say) -> Iterator[Finding]:
    options, what = gateway.mqtt, say("センター", "broker")
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
        yield Finding("ok", f"{what} DNS", f"{options.host} → {found[0][4][0]}")
    except OSError as error:
        yield Finding(
            "FAIL",
            f"{what} DNS",
            f"{options.host}: {error.strerror or error}",
            say("ネットの 線と 名前を 見る", "check the network and the name"),
        )
        return
    if options.tls:
        yield from _certificate(options.tls.cert, gateway.name, say)
    try:
        sock = socket.create_connection((options.host, options.port), NETWORK_S)
        yield Finding("ok", f"{what} TCP", f"{options.host}:{options.port}")
    except OSError as error:
        yield Finding(
            "FAIL",
            f"{what} TCP",
            f"{options.host}:{options.port}: {error.strerror or error}",
            say("ファイアウォールと、ブローカーが 動いているか", "firewall in between, or the broker does not run"),
        )
        return
    with sock:
        if options.tls and not (yield from _tls(sock, gateway, f"{what} TLS", say)):
            return
    yield from ask_centre(gateway, f"{what} MQTT", say)


def _certificate(path: Path, gateway: str, say: Say) -> Iterator[Finding]:
    what = say("証明書", "certificate")
    try:
        # The standard library decodes certificates only here; the gateway has no other decoder on board.
        decode: Any = ssl._ssl._test_decode_cert  # type: ignore[attr-defined]
        found = decode(str(path))
    except (OSError, AttributeError, ValueError) as error:
        yield Finding("FAIL", what, f"{path}: {error}", say("作り直す: makiba pki", "issue it again: makiba pki"))
        return
    name = dict(pair[0] for pair in found["subject"]).get("commonName", "")
    if name == gateway:
        yield Finding("ok", what, say(f"名前 {name}", f"name {name}"))
    else:
        yield Finding(
            "FAIL",
            what,
            say(f"名前が {name!r} で、{gateway!r} では ありません", f"its name is {name!r} and not {gateway!r}"),
            say("gateway: の 名前か 証明書を 直す", "put 'gateway:' or the certificate right"),
        )
    yield _dates(what, found, say)


def _dates(what: str, found: dict[str, Any], say: Say) -> Finding:
    ends_s, begins_s = ssl.cert_time_to_seconds(found["notAfter"]), ssl.cert_time_to_seconds(found["notBefore"])
    days = int((ends_s - time.time()) // 86400)
    if begins_s > time.time():
        return Finding(
            "FAIL",
            what,
            say("まだ 有効では ありません。時計が 違うようです", "is not valid yet; this clock is probably wrong"),
            say("時計を 合わせる", "set the clock"),
        )
    if days < 0:
        return Finding(
            "FAIL", what, say("期限切れです", "has expired"), say("新しく する: makiba pki", "renew it: makiba pki")
        )
    level: Any = "warn" if days < SOON_DAYS else "ok"
    return Finding(level, what, say(f"あと {days} 日", f"valid for {days} more days"))


def _tls(sock: socket.socket, gateway: Gateway, what: str, say: Say) -> Generator[Finding, None, bool]:
    """Whether the handshake was made."""
    tls = gateway.mqtt.tls
    assert tls
    try:
        context = ssl.create_default_context(cafile=str(tls.ca))
        context.load_cert_chain(str(tls.cert), str(tls.key))
        with context.wrap_socket(sock, server_hostname=gateway.mqtt.host) as secure:
            yield Finding("ok", what, f"{secure.version()}")
            peer = secure.getpeercert()
            if peer:
                yield _dates(say("ブローカーの 証明書", "broker's certificate"), dict(peer), say)
            return True
    except ssl.SSLCertVerificationError as error:
        yield Finding(
            "FAIL",
            what,
            error.verify_message,
            say("ca のファイル、host の 名前、時計を 見る", "check the 'ca' file, the name in 'host', and the clock"),
        )
    except (OSError, ssl.SSLError) as error:
        yield Finding(
            "FAIL", what, str(error), say("cert と key の 組を 見る", "check that 'cert' and 'key' belong together")
        )
    return False


def _disk(gateway: Gateway, say: Say) -> Iterator[Finding]:
    what, path = say("カード", "disk"), gateway.spool.path
    disk = disk_of(path)
    if not path.parent.is_dir():
        yield Finding(
            "FAIL", what, f"{path.parent}: {say('ありません', 'no such folder')}", f"mkdir -p {path.parent}"
        )
    elif disk and disk.is_read_only:
        yield Finding(
            "FAIL",
            what,
            say("書けません（読み取り専用）", "read-only"),
            say("カードが 壊れかけ。取りかえる", "the card is dying: replace it"),
        )
    elif not os.access(path.parent, os.W_OK):
        yield Finding(
            "FAIL", what, f"{path.parent}: {say('書けません', 'not writable')}", f"chown makiba {path.parent}"
        )
    elif disk and disk.free_bytes < LITTLE_BYTES:
        yield Finding(
            "FAIL",
            what,
            say(f"空き {disk.free_bytes // 1_000_000} MB", f"{disk.free_bytes // 1_000_000} MB free"),
            say("古い ファイルを 消す", "delete old files: journalctl --vacuum-size=50M"),
        )
    elif disk:
        used = sum(f.stat().st_size for f in path.parent.glob(f"{path.name}*")) / 1e6
        free = disk.free_bytes // 1_000_000
        yield Finding(
            "ok", what, say(f"空き {free} MB、スプール {used:.1f} MB", f"{free} MB free, spool {used:.1f} MB")
        )


def _power(board: Board, say: Say) -> Iterator[Finding]:
    what, model, power, cpu_c = say("電源", "power"), board.model(), board.power(), board.cpu_c()
    if power is None:
        yield Finding(
            "ok", what, say("この 機械は 教えません", f"not told by this machine{f' ({model})' if model else ''}")
        )
    elif power.now(UNDER_VOLTAGE) or power.since_boot(UNDER_VOLTAGE):
        yield Finding(
            "FAIL" if power.now(UNDER_VOLTAGE) else "warn",
            what,
            say("電圧が 足りません", "under-voltage")
            + ("" if power.now(UNDER_VOLTAGE) else say("（起動後に あった）", " since the start")),
            say("純正の 電源、短く 太い 線", "an official supply, a short and thick cable"),
        )
    else:
        yield Finding("ok", what, say("足りています", "enough"))
    if cpu_c is not None:
        is_hot = cpu_c >= HOT_C or (power is not None and power.now(THROTTLED))
        yield Finding(
            "warn" if is_hot else "ok",
            say("温度", "temperature"),
            f"{cpu_c:.0f} ℃",
            say("日かげに、ふたに すき間を", "out of the sun, air to the box") if is_hot else "",
        )
