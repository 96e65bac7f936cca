"""A gateway file from what a scan found: `check` and `run` accept it; what a person has to look at is marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gateway.tools.language import Say
from gateway.tools.recognise import Fit
from gateway.tools.scan import Found, Outcome
from gateway.tools.sdi12_scan import Line
from gateway.tools.verdict import verdict


def stable_name(port: str, dev: Path = Path("/dev")) -> str:
    """The name of `port` that stays the same when adapters are plugged in in another order; else `port`."""
    real = Path(port).resolve()
    for folder in ("by-path", "by-id"):
        for link in sorted((dev / "serial" / folder).glob("*")):
            if link.resolve() == real:
                return str(link)
    return port


def render(
    outcome: Outcome, where: str, *, gateway: str, site: str, every: str, profiles: Path | None, say: Say
) -> str | None:
    """The file's text; None when nothing was recognised. `where` is a port, or `tcp:HOST:PORT`."""
    known = [f for f in outcome.found if f.fits]
    sensors = outcome.sdi12.sensors
    if not known and not outcome.talkers and not sensors:
        return None
    lines = [
        "# makiba gateway scan",
        say("# 「確認」の 行を 見て、直してください。", "# Look at the lines marked CHECK and put them right."),
        f"gateway: {gateway}   # {say('確認: 証明書の 名前と 同じに', 'CHECK: as in its certificate')}",
        f"site: {site}   # {say('確認', 'CHECK')}",
        "mqtt: {host: 127.0.0.1, port: 8883}   # "
        + say("確認: センターと 証明書 (tls: {ca:, cert:, key:})", "CHECK: the centre, and tls: {ca:, cert:, key:}"),
        "spool: {path: spool.db}",
        *([f"profiles: {profiles.resolve()}"] if profiles else []),
        "buses:",
    ]
    if sensors:
        lines += _sdi12(outcome.sdi12, where, every, say)
    if known:
        lines += _modbus(known, outcome, where, every, say)
    for talker in outcome.talkers if not known and not sensors else ():
        lines += [
            "  listen:",
            f"    nmea: {{port: {where}, baud: {talker.setting.baud}}}",
            f"    devices:   # {', '.join(talker.sentences)}",
            "      - {name: mast, profile: nmea-weather}",
        ]
        break
    return "\n".join([*lines, ""])


def _sdi12(line: Line, where: str, every: str, say: Say) -> list[str]:
    """A sensor that no profile names stands behind a #: the order of its values is in its manual only."""
    more = (", echo: true" if line.echo else "") + (", break_by: port" if line.break_by == "port" else "")
    lines = ["  sdi-1:", f"    sdi12: {{port: {where}{more}}}", "    devices:"]
    for sensor in line.sensors:
        it = sensor.identity
        told = f"{it.vendor} {it.model} {it.firmware} {it.serial}".rstrip() if it else "?"
        lines.append(f"      # {told}")
        profile = sensor.profiles[0] if sensor.profiles else "…"
        if not sensor.profiles:
            told = say("確認: プロファイルを 作って # を 取る", "CHECK: write its profile, take the # away")
            lines.append(f"      # {told}")
        elif len(sensor.profiles) > 1:
            lines.append(f"      # {say('確認: どれか 1つ', 'CHOOSE one')}: {', '.join(sensor.profiles)}")
        off = "" if sensor.profiles else "# "
        name = f"{sensor.profiles[0] if sensor.profiles else 'sensor'}-{sensor.address}"
        rest = f'address: "{sensor.address}", every: {every}'
        lines.append(f"      {off}- {{name: {name}, profile: {profile}, {rest}}}")
    return lines


def _modbus(known: Sequence[Found], outcome: Outcome, where: str, every: str, say: Say) -> list[str]:
    lines = ["  bus-1:"]
    setting = Counter(f.setting for f in known).most_common(1)[0][0]
    if setting is None:
        host, _, port = where.removeprefix("tcp:").rpartition(":")
        lines.append(f"    tcp: {{host: {host}, port: {port}}}")
    else:
        told = f"baud: {setting.baud}, parity: {setting.parity}, stop_bits: {setting.stop_bits}"
        lines.append(f"    rtu: {{port: {where}, {told}}}")
    lines.append("    devices:")
    for found in (f for f in known if f.setting == setting):
        lines += _device(found, every, say)
    for found in outcome.found:
        if not found.fits:
            told = say("機種が 分かりません", "no profile fits")
            lines.append(f"      # {told}: unit_id {found.unit_id}, {found.setting or 'TCP'}")
        elif found.setting != setting:
            lines.append(
                f"      # {found.fits[0].signature.name}, unit_id {found.unit_id}: {found.setting}; "
                + say("この 機器を 同じ 設定に してください", "set it to this line's setting first")
            )
    return lines


def _device(found: Found, every: str, say: Say) -> list[str]:
    """The device; of several profiles that fit the others stand behind a #, of gases that kill all do."""
    said = verdict(found.fits)
    assert said is not None
    lines: list[str] = []
    if said.how == "group":
        told = say("確認: どれか 1つを 残す", "CHOOSE one; delete the others")
        lines.append(f"      # {told}: {', '.join(f.signature.name for f in said.named)}")
    for place, fit in enumerate(said.named):
        lines += _entry(fit, found.unit_id, every, say, off=said.is_open or place > 0)
    return lines


def _entry(fit: Fit, unit_id: int, every: str, say: Say, *, off: bool) -> list[str]:
    profile = fit.signature.profile
    lines = [f"      # {profile.names.ja if say.language == 'ja' else profile.names.en}"]
    if profile.source.trust == "proposed":
        lines.append(f"      # {say('確認: 値の 表は 未確認', 'CHECK: its map is unverified')}")
    more = ""
    if fit.signature.channels:
        # With no probe on any channel the first one stands for all, so that the file can be run.
        live = fit.live_channels or dict([next(iter(fit.signature.channels.items()))])
        more = f", channels: {{{', '.join(f'{c}: {q}' for c, q in live.items())}}}"
        lines.append(f"      # {say('確認: 何を 測るか', 'CHECK: what each channel measures')}")
    required = {n: c for n, c in profile.site_constants().items() if c.required}
    name = f"{fit.signature.name}-{unit_id}"
    device = f"{{name: {name}, profile: {fit.signature.name}, unit_id: {unit_id}, every: {every}{more}}}"
    if required:
        asks = ", ".join(f"{n}: …" for n in required)
        told = say("確認: 書いてから # を 取る", "CHECK: fill in, then take the # away")
        lines.append(f"      # {told}: constants: {{{asks}}}")
    return [*lines, f"      {'# ' if required or off else ''}- {device}"]
