"""What `makiba gateway scan` says while it runs and when it is done; 60 columns, for a phone."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TextIO

from gateway.decode import Text
from gateway.drivers import drivers
from gateway.profile import ProfileShelf
from gateway.registers import ModbusProfile
from gateway.sdi12 import Sdi12Profile
from gateway.tools.columns import here
from gateway.tools.gateway_file import render, stable_name
from gateway.tools.language import Say
from gateway.tools.probe import Probe, SerialProbe, Setting, TcpProbe
from gateway.tools.recognise import Fit, Signature, signature
from gateway.tools.scan import FULL_S, LIKELY, QUICK_S, RARE, Found, Outcome, Plan, Sweep
from gateway.tools.sdi12_scan import Sensor
from gateway.tools.verdict import verdict
from makiba.settings import configs_dir


def signatures(profiles: Path | None) -> list[Signature]:
    """Every Modbus profile at hand that can be recognised."""
    shelf = _shelf(profiles)
    loaded = (shelf.get(name) for name in shelf.names())
    made = (signature(p.name, p.profile) for p in loaded if isinstance(p.profile, ModbusProfile))
    return [s for s in made if s is not None]


def sdi12_profiles(profiles: Path | None) -> list[tuple[str, Sdi12Profile]]:
    """Every SDI-12 profile at hand, by name."""
    shelf = _shelf(profiles)
    loaded = (shelf.get(name) for name in shelf.names())
    return [(p.name, p.profile) for p in loaded if isinstance(p.profile, Sdi12Profile)]


def _shelf(profiles: Path | None) -> ProfileShelf:
    folders = [configs_dir() / "devices", *([profiles] if profiles else [])]
    return ProfileShelf(folders, {d.family: d.profile_model for d in drivers().values()})


def plan_for(
    full: bool, seconds: float | None, bauds: Sequence[int], unit_ids: Sequence[int], sdi12: bool | None
) -> Plan:
    """How far to go. `bauds` and `unit_ids` narrow the sweep; `sdi12` is only (True), not (False), or also."""
    settings = (*LIKELY, *RARE) if full else LIKELY
    if bauds:
        settings = tuple(s for s in (*LIKELY, *RARE) if s.baud in bauds) or tuple(Setting(b) for b in bauds)
    if sdi12 is None:
        way: Literal["also", "only", "no"] = "no" if bauds or unit_ids else "also"
    else:
        way = "only" if sdi12 else "no"
    return Plan(settings, seconds or (FULL_S if full else QUICK_S), full, tuple(unit_ids), way)


def open_probe(port: str | None, tcp: str | None, say: Say) -> Probe:
    """`OSError` whose text says what to do."""
    if tcp:
        host, _, number = tcp.rpartition(":")
        try:
            return TcpProbe(host or tcp, int(number) if host else 502)
        except OSError as error:
            raise OSError(
                f"{tcp}: {error.strerror or error}; "
                + say("電源・線・アドレスを 見てください", "check its power, cable and address")
            ) from None
    assert port
    try:
        return SerialProbe(port)
    except OSError as error:
        kind = PortInUse if _is_busy(error) else OSError
        raise kind(f"{port}: {_port_trouble(error, say)}") from None


class PortInUse(OSError):
    """Another program has the port."""


def _is_busy(error: OSError) -> bool:
    # pyserial hands on the number only in its text for a lock that another has.
    return error.errno in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in str(error)


def _port_trouble(error: OSError, say: Say) -> str:
    if error.errno == errno.ENOENT:
        there = ", ".join(str(p) for p in serial_ports()) or say("ありません", "none")
        return say(f"ありません。ある ポート: {there}", f"no such port; there are: {there}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return say(
            "開けません。sudo usermod -aG dialout $USER のあと 入り直す",
            "not allowed: sudo usermod -aG dialout $USER, then log in again",
        )
    if _is_busy(error):
        return say(
            "使用中です。先に sudo systemctl stop makiba-gateway",
            "in use; first: sudo systemctl stop makiba-gateway",
        )
    return str(error)


def serial_ports() -> list[Path]:
    """The serial ports of this machine, by their lasting names where they have one."""
    stable = sorted(Path("/dev/serial/by-path").glob("*"))
    seen = {p.resolve() for p in stable}
    others = [p for pattern in ("ttyUSB*", "ttyACM*", "ttyAMA*", "serial0") for p in Path("/dev").glob(pattern)]
    return [*stable, *(p for p in sorted(others) if p.resolve() not in seen)]


class Teller:
    """Says how far the sweep is: one line that changes on a terminal, one line per setting elsewhere."""

    def __init__(self, say: Say, out: TextIO = sys.stderr) -> None:
        self._say, self._out = say, out
        self._is_terminal = out.isatty()
        self._said: Setting | str | None = ""
        self._at_s = 0.0

    def progress(self, setting: Setting | None, unit_id: int | str, outcome: Outcome) -> None:
        now_s = time.monotonic()
        name = str(setting or "TCP")
        if self._is_terminal and (now_s - self._at_s > 0.1 or name != self._said):
            self._at_s = now_s
            count = len(outcome.found) + len(outcome.sdi12.sensors)
            found = self._say(f"発見 {count}", f"found {count}")
            self._out.write(f"\r\033[K{name}  id {unit_id}  {found}  (Ctrl-C: {self._say('終わる', 'stop')})")
            self._out.flush()
        elif not self._is_terminal and name != self._said:
            self._out.write(f"… {name}\n")
        self._said = name

    def clear(self) -> None:
        if self._is_terminal:
            self._out.write("\r\033[K")
            self._out.flush()


HOW = {
    "sure": ("確か", "sure"),
    "likely": ("たぶん", "likely"),
    "maybe": ("手がかりが 少ない", "little speaks for it"),
    "group": ("どれか 1つ", "one of these"),
}


def found_lines(found: Found, say: Say) -> Iterator[str]:
    """One instrument."""
    where = f"id {found.unit_id}  {found.setting or 'TCP'}"
    said = verdict(found.fits)
    if said is None:
        yield f"{where}  {say('機種が 分かりません', 'answers; no profile fits')}"
        yield "   " + say("説明書の 表から プロファイルを 作れます", "a profile can be written from its manual")
        return
    if said.how == "group":
        yield f"{where}  {say(*HOW['group'])}:"
        for fit in said.named:
            yield f"   - {fit.signature.name}  {fit.signature.profile.serial.baud} bps"
            yield f"     {_name(fit, say)}"
            for line in _values(fit, say, 3):
                yield f"       {line}"
        yield "   " + say("銘板を 見て 選ぶ。または 手元の 計器と くらべる", "look at its label and choose,")
        if say.language == "en":
            yield "   or see which values another instrument agrees with"
        return
    top = said.named[0]
    yield f"{where}  {top.signature.name}  ({say(*HOW[said.how])})"
    yield f"   {_name(top, say)}"
    for line in _values(top, say, 6):
        yield f"   {line}"
    if said.runner_up:
        yield "   " + say("次の 候補: ", "runner-up: ") + said.runner_up.signature.name
    if said.how != "sure":
        yield "   " + say("銘板と くらべてください", "compare with its label")
    if top.signature.profile.source.trust == "proposed":
        yield "   " + say("値の 表は 未確認。別の 計器と くらべる", "unverified map: compare with another instrument")


def sensor_lines(sensor: Sensor, say: Say) -> Iterator[str]:
    """One SDI-12 sensor."""
    yield f"SDI-12  {say('番号', 'address')} {sensor.address}  {', '.join(sensor.profiles)}".rstrip()
    if sensor.identity is None:
        told = say("答えが 読めません。線と 番号の 重なり", "its answer cannot be read: wiring, or one address twice")
        yield f"   {told}"
        return
    it = sensor.identity
    yield f"   {it.vendor} {it.model} {it.firmware} {it.serial}".rstrip()
    if not sensor.profiles:
        told = say("プロファイルが ありません。説明書から 作る", "no profile names it; write one from its manual")
        yield f"   {told}"


def _name(fit: Fit, say: Say) -> str:
    names = fit.signature.profile.names
    return names.ja if say.language == "ja" else names.en


def _values(top: Fit, say: Say, most: int) -> Iterator[str]:
    for point, value in top.values[:most]:
        name = point.quantity.names[say.language]
        channel = point.series.subject.partition(".")[2]
        shown = (
            value.text
            if isinstance(value, Text)
            else point.quantity.shown(value)
            if isinstance(value, (int, float))
            else f"({value})"
        )
        yield f"{channel + ' ' if channel else ''}{name}: {shown}"
    if len(top.values) > most:
        yield say(f"ほか {len(top.values) - most} 個", f"and {len(top.values) - most} more")


def summary(outcome: Outcome, say: Say) -> Iterator[str]:
    """What it came to, and what to do when nothing was found."""
    for talker in outcome.talkers:
        told = ", ".join(talker.sentences)
        yield f"NMEA {talker.setting}: {told}"
    if outcome.stopped:
        yield say("止めました。見つけた ものは 残します。", "Stopped; what was found is kept.")
    count = len(outcome.found) + len(outcome.sdi12.sensors)
    yield say(f"{count} 台 見つけました。", f"{count} instruments found.")
    if outcome.untried:
        yield say("時間切れで 試していない: ", "Out of time; not tried: ") + ", ".join(outcome.untried)
        yield "   " + say("--full か --seconds で つづけられます", "use --full or --seconds to go on")
    if not count and not outcome.talkers:
        if outcome.noisy:
            told = ", ".join(str(s) for s in outcome.noisy)
            yield say(f"読めない 信号が あります ({told})", f"Something is there that cannot be read ({told})")
            yield "   " + say("A と B が 逆か、速度が 違います", "A and B swapped, or another speed: try --full")
        else:
            yield say("何も 答えません。順に:", "Nothing answers. In this order:")
            yield "   1 " + say("センサーの 電源", "power of the sensors")
            yield "   2 " + say("A と B を 入れかえる", "swap A and B")
            yield "   3 " + say("GND の 線", "the GND wire")
            yield "   4 " + say("1 台だけ つないで もう一度", "only one sensor, once more")


def scan(
    *, port: str | None, tcp: str | None, plan: Plan, profiles: Path | None, output: Path | None,
    gateway: str, site: str, every: str, say: Say, out: TextIO = sys.stdout,
) -> bool:  # fmt: skip
    """The whole command; whether anything was found. `OSError` when the way cannot be opened."""
    known = signatures(profiles)
    probe = open_probe(port, tcp, say)
    teller = Teller(say)

    def tell(found: Found | Sensor) -> None:
        teller.clear()
        lines = found_lines(found, say) if isinstance(found, Found) else sensor_lines(found, say)
        out.write("".join(f"{part}\n" for line in lines for part in here(line)))
        out.flush()

    try:
        outcome = Sweep(probe, known, plan, teller.progress, tell, sdi12_profiles(profiles)).run()
    finally:
        teller.clear()
        probe.close()
    out.write("".join(f"{part}\n" for line in summary(outcome, say) for part in here(line)))
    where = stable_name(port) if port else f"tcp:{tcp if ':' in str(tcp) else f'{tcp}:502'}"
    text = render(outcome, where, gateway=gateway, site=site, every=every, profiles=profiles, say=say)
    if output and text:
        output.write_text(text, encoding="utf-8")
        out.write(
            say(f"{output} に 書きました。次: ", f"Written to {output}. Next: ") + f"makiba gateway check {output}\n"
        )
    elif text:
        out.write(f"\n{text}")
    return bool(outcome.found or outcome.talkers or outcome.sdi12.sensors)
