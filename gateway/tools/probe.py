"""Single requests, asked by a tool: on a serial port at any setting, or over TCP. Blocking.

What is asked is the tool's choice; Modbus frames are made by `ask`, which knows the four reading functions only.

A port is opened for this process alone; its setting changes in place, but for the number of bits. Framing and what
counts as a reply are those of the gateway (`gateway.drivers._modbus_frames`).
"""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import serial

from gateway.drivers._modbus_frames import Ask, Reply, conclude, conclude_tcp, has_reply, is_long_enough

DAMAGED_S = 0.03
"""Quiet that ends a reply which is not sound."""
TURNAROUND_S = 0.1
"""How long an instrument is given to begin its reply, beside the time on the wire."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a serial line is set."""

    baud: int
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    data_bits: Literal[7, 8] = 8

    def __str__(self) -> str:
        return f"{self.baud} {self.data_bits}{self.parity[0].upper()}{self.stop_bits}"

    @property
    def char_s(self) -> float:
        return (1 + self.data_bits + self.stop_bits + (self.parity != "none")) / self.baud


class Probe(Protocol):
    """A way to ask. `setting` is None where there is none."""

    setting: Setting | None

    def ask(self, asked: Ask, turnaround_s: float = TURNAROUND_S) -> Reply:
        """How the request ended. `OSError` when the way is gone."""
        ...

    def close(self) -> None: ...


class SerialProbe:
    """A serial port."""

    def __init__(self, port: str) -> None:
        """`OSError` with the way out when it cannot be opened."""
        self.setting: Setting | None = None
        self.heard = b""
        """All that came after the last request."""
        self._port = port
        self._serial = serial.Serial(port, timeout=0, write_timeout=2, exclusive=True)

    def use(self, setting: Setting) -> None:
        """Sets the line; what was on its way is dropped."""
        if setting.data_bits != self._serial.bytesize:
            # In place the settings go over one by one, and some ports refuse a number of bits by itself.
            self._serial.close()
            self._serial = serial.Serial(
                self._port, setting.baud, setting.data_bits, setting.parity[0].upper(), setting.stop_bits,
                timeout=0, write_timeout=2, exclusive=True,
            )  # fmt: skip
        line: Any = self._serial
        line.apply_settings(
            {"baudrate": setting.baud, "parity": setting.parity[0].upper(), "stopbits": setting.stop_bits}
        )
        self.setting = setting
        self._serial.reset_input_buffer()

    def ask(self, asked: Ask, turnaround_s: float = TURNAROUND_S) -> Reply:
        assert self.setting is not None
        char_s = self.setting.char_s
        self._serial.reset_input_buffer()
        time.sleep(max(3.5 * char_s, 0.002))
        self._serial.write(asked.rtu)
        first_s = len(asked.rtu) * char_s + turnaround_s
        self.heard = self._hear(asked, first_s, max(DAMAGED_S, 4 * char_s))
        return conclude(self.heard, asked)

    def _hear(self, asked: Ask, first_s: float, quiet_s: float) -> bytes:
        heard, until_s = b"", time.monotonic() + first_s
        while (left_s := until_s - time.monotonic()) > 0:
            if more := self._read(min(left_s, 0.05)):
                heard += more
                quiet_at_s = time.monotonic() + quiet_s
                if not has_reply(heard, asked):
                    until_s = max(until_s, quiet_at_s)
                elif is_long_enough(heard, asked):
                    break
                else:
                    until_s = quiet_at_s  # a refusal is shorter than what was asked for
        return heard

    def listen(self, seconds: float) -> bytes:
        """What is said on the line without being asked."""
        heard, until_s = b"", time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            heard += self._read(min(left_s, 0.1))
        return heard

    def _read(self, within_s: float) -> bytes:
        fd = self._serial.fileno()
        if not select.select([fd], [], [], within_s)[0]:
            return b""
        if not (data := os.read(fd, 4096)):
            raise OSError(f"{self._port} is gone")
        return data

    def talk(self, command: bytes, until_s: float) -> bytes:
        """A line's command and all that came: until its end or `until_s`, and longer while characters come."""
        assert self.setting is not None
        self._serial.reset_input_buffer()
        self._serial.write(command)
        heard = b""
        while (left_s := until_s - time.monotonic()) > 0:
            if more := self._read(min(left_s, 0.05)):
                heard += more
                if b"\n" in heard:
                    break
                until_s = max(until_s, time.monotonic() + max(DAMAGED_S, 4 * self.setting.char_s))
        return heard

    def send_break(self, spacing_s: float, marking_s: float) -> None:
        """Holds the line in the spacing state, then in the marking one; a port that cannot is left as it is."""
        with suppress(OSError):
            self._serial.break_condition = True
            time.sleep(spacing_s)
            self._serial.break_condition = False
        time.sleep(marking_s)

    def close(self) -> None:
        self._serial.close()


class TcpProbe:
    """A Modbus TCP server, or a converter."""

    setting: Setting | None = None

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket = socket.create_connection(self._address, 5)
        self._id = 0

    def ask(self, asked: Ask, turnaround_s: float = TURNAROUND_S) -> Reply:
        self._id = self._id + 1 & 0xFFFF
        frame = self._id.to_bytes(2, "big") + b"\0\0" + len(asked.body).to_bytes(2, "big") + asked.body
        try:
            self._socket.sendall(frame)
            return self._hear(asked, time.monotonic() + turnaround_s + 0.3)
        except OSError:
            # A server may hang up on a unit id that it does not know.
            self._socket.close()
            self._socket = socket.create_connection(self._address, 5)
            return Reply(None, "timeout", silent=True)

    def _hear(self, asked: Ask, until_s: float) -> Reply:
        heard = b""
        while (left_s := until_s - time.monotonic()) > 0:
            self._socket.settimeout(left_s)
            try:
                more = self._socket.recv(512)
            except TimeoutError:
                break
            if not more:
                raise ConnectionResetError
            heard += more
            while len(heard) >= 6 and len(heard) >= (length := 6 + int.from_bytes(heard[4:6], "big")):
                frame, heard = heard[:length], heard[length:]
                if int.from_bytes(frame[:2], "big") == self._id:
                    return conclude_tcp(frame[6:], asked)
        return Reply(None, "timeout", silent=True)

    def close(self) -> None:
        self._socket.close()
