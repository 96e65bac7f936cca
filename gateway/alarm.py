"""The alarm outputs at work: what `safety.py` wants is set, set again, and said to the centre.

Guarantees. A reading that raises a rule sets its outputs in the same turn of the loop, as soon as the bus of the
output has ended the transaction under way; the broker, the spool and the card have no part in it. A coil that did not
answer is tried again every second and the state says `output-fault`. What has to be reset by hand survives a
restart in `safety.json` beside the spool. When the gateway stops, outputs that are energised when all is well are let
go. Not guaranteed: what a relay does when the gateway is killed; see `outputs.py`.

A person resets an alarm through `safety.reset` beside the spool, which `makiba gateway silence` makes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from gateway.driver import Bus
from gateway.outputs import CoilOptions, OutputOptions
from gateway.record import OK, Recorder
from gateway.safety import Key, LocalJudge, Path_
from gateway.site import Gateway
from makiba.reading import Reading

log = logging.getLogger("makiba.gateway.safety")

TICK_S = 0.5
RETRY_S = 1.0
STOP_S = 2.0
NO_LIBRARY = "gpio needs gpiozero, which is not installed here: apt install python3-gpiozero python3-lgpio"
Switch = Callable[[bool], Awaitable[str]]
"""Energises or lets go; `ok` or the word of a state."""


class OutputMissing(Exception):
    """An output that this machine cannot have; the message says why and what to do."""


def note_path(gateway: Gateway) -> Path:
    """Where the alarms' state stands for people and for the next start."""
    return gateway.spool.path.with_name("safety.json")


def request_path(gateway: Gateway) -> Path:
    """Where a person's wish to reset stands until it is taken."""
    return gateway.spool.path.with_name("safety.reset")


class _Output:
    """One output and what it was last set to."""

    def __init__(self, name: str, options: OutputOptions, switch: Switch) -> None:
        self.name, self.options, self.switch = name, options, switch
        self.wanted = False  # let go, until something is known
        self.done: bool | None = None
        self.state = OK
        self.changed = asyncio.Event()

    def want(self, energised: bool) -> None:
        if energised != self.wanted:
            self.wanted = energised
            self.changed.set()

    async def keep(self, on_state: Callable[[], None]) -> None:
        """Sets it when it changes, and again every `refresh`."""
        while True:
            self.changed.clear()
            aim = self.wanted
            state = await self.switch(aim)
            if state != self.state:
                level = logging.INFO if state == OK else logging.ERROR
                log.log(level, "output %s: %s (was %s)", self.name, state, self.state)
            if state == OK and aim != self.done:
                log.warning("output %s is %s", self.name, "energised" if aim else "let go")
                self.done = aim
            if state != self.state:
                self.state = state
                on_state()
            pause_s = self.options.refresh.total_seconds() if state == OK else RETRY_S
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self.changed.wait()


class Safety:
    """The alarms of one gateway. Lives on the event loop."""

    def __init__(self, gateway: Gateway, recorder: Recorder) -> None:
        """`OutputMissing` when an output cannot be had."""
        self._gateway = gateway
        self._recorder = recorder
        self.judge = LocalJudge(gateway.watches, _latched(note_path(gateway)))
        self._outputs = [_Output(n, o, _switch(n, o, gateway.buses)) for n, o in gateway.outputs.items()]
        self._noted = ""
        self._word = ""

    def see(self, readings: Sequence[Reading]) -> bool:
        """What was just recorded; whether it belongs to an alarm. Never blocks."""
        if not self.judge.take(readings, _now_ms()):
            return False
        self._aim()
        return bool(self.judge.raised)

    def _aim(self) -> None:
        now_ms = _now_ms()
        for output in self._outputs:
            wanted = self.judge.wanted(output.name, now_ms)
            output.want(output.options.energised(alarm=wanted.alarm, blind=wanted.blind))

    async def run(self) -> None:
        """Until cancelled."""
        keepers = [asyncio.create_task(o.keep(self._say), name=f"output {o.name}") for o in self._outputs]
        try:
            while True:
                self._take_request()
                self.judge.tick(_now_ms())
                self._aim()
                self._say()
                await asyncio.sleep(TICK_S)
                for keeper in keepers:
                    if keeper.done():
                        keeper.result()  # a defect ends the process, and systemd starts it again
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def stop(self) -> None:
        """Lets go what is energised while all is well. To be called while the buses still run."""
        mine = [o for o in self._outputs if o.options.fail_safe == "energised-when-ok"]
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await asyncio.gather(*(o.switch(False) for o in mine))

    def _say(self) -> None:
        broken = any(o.state != OK for o in self._outputs)
        word = "output-fault" if broken and not self.judge.raised else self.judge.word(_now_ms())
        if word != self._word:
            log.log(logging.INFO if word == OK else logging.WARNING, "safety: %s (%s)", word, self.judge.raised)
            self._word = word
        self._recorder.record((), {f"{self._gateway.name}.safety": word})
        note = {
            "state": word,
            "raised": self.judge.raised,
            "latched": self.judge.latched,
            "outputs": {o.name: {"energised": o.done, "state": o.state} for o in self._outputs},
        }
        text = json.dumps(note)
        if text != self._noted and _write(note_path(self._gateway), text):
            self._noted = text

    def _take_request(self) -> None:
        path = request_path(self._gateway)
        if path.exists():
            self.judge.reset()
            self._aim()
            self._say()
            with suppress(OSError):
                path.unlink()
            log.warning("safety: reset by hand; still there: %s", self.judge.raised or "nothing")


def missing(gateway: Gateway) -> Iterator[tuple[Path_, str]]:
    """What this machine lacks for the outputs of a file, with paths in the file. No pin is touched."""
    pins = [name for name, output in gateway.outputs.items() if output.gpio is not None]
    if pins:
        try:
            import_module("gpiozero")
        except ModuleNotFoundError:
            yield from ((("outputs", name, "gpio"), NO_LIBRARY) for name in pins)


async def let_go(gateway: Gateway) -> dict[str, str]:
    """Lets go, without a gateway that runs, of what is held while all is well; the state of each such output."""
    done: dict[str, str] = {}
    for name, output in gateway.outputs.items():
        if output.fail_safe != "energised-when-ok":
            continue
        if output.gpio is not None:
            # The kernel may have kept the level that the dead process left.
            try:
                done[name] = await _pin(name, output)(False)
            except OutputMissing as error:
                done[name] = str(error)
            continue
        assert output.modbus is not None
        from gateway.drivers._modbus_line import ModbusLine

        coil = output.modbus
        line = ModbusLine(next(bus for bus in gateway.buses if bus.name == coil.bus))
        try:
            await line.open()
            done[name] = await line.write_coil(coil.unit_id, coil.coil, on=False)
        except OSError as error:
            done[name] = str(error)
        finally:
            line.close()
    return done


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _switch(name: str, options: OutputOptions, buses: Sequence[Bus]) -> Switch:
    if options.modbus:
        return _coil(options.modbus, next(bus for bus in buses if bus.name == options.modbus.bus))
    return _pin(name, options)


def _coil(coil: CoilOptions, bus: Bus) -> Switch:
    async def switch(on: bool) -> str:
        async def write(line: Any) -> str:
            return str(await line.write_coil(coil.unit_id, coil.coil, on=on))

        return await bus.errands.ask(write)

    return switch


def _pin(name: str, options: OutputOptions) -> Switch:
    """Takes the pin, let go from the first moment on: whatever is not known to be well is an alarm."""
    try:
        library = import_module("gpiozero")
    except ModuleNotFoundError:
        raise OutputMissing(f"outputs.{name}: {NO_LIBRARY}") from None
    try:
        device = library.OutputDevice(options.gpio, active_high=options.active == "high", initial_value=False)
    except Exception as error:  # gpiozero has its own tree of errors, and its pin factories raise others
        what = f"outputs.{name}: pin {options.gpio} cannot be had: {error}"
        raise OutputMissing(f"{what} (on a Raspberry Pi: apt install python3-lgpio)") from None

    async def switch(on: bool) -> str:
        device.value = on
        return OK

    return switch


def _latched(path: Path) -> list[Key]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [(str(rule), str(subject)) for rule, subject in found["latched"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _write(path: Path, text: str) -> bool:
    """Replaces the file; a card that cannot be written must not hold up an alarm."""
    try:
        new = path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        return True
    except OSError:
        return False
