"""Modbus servers of other makers, each serving ten holding registers of unit 1; one that is not installed is None.

Holding register n holds `first + n`.
"""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
import importlib
import importlib.util
import logging
import os
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.parts import free_port

POINTS = 10


@contextmanager
def pymodbustcp(first: int, port: int) -> Iterator[str]:
    """pyModbusTCP."""
    from pyModbusTCP.server import DataBank, ModbusServer

    bank = DataBank()
    bank.set_holding_registers(0, [first + n for n in range(POINTS)])
    server = ModbusServer("127.0.0.1", port, no_block=True, data_bank=bank)
    server.start()
    try:
        yield f"tcp: {{host: 127.0.0.1, port: {port}}}"
    finally:
        server.stop()


@contextmanager
def modbus_tk_tcp(first: int, port: int) -> Iterator[str]:
    """modbus-tk over TCP."""
    from modbus_tk import modbus_tcp

    server = modbus_tcp.TcpServer(port, "127.0.0.1")
    with _modbus_tk(server, first):
        yield f"tcp: {{host: 127.0.0.1, port: {port}}}"


@contextmanager
def modbus_tk_rtu(first: int, _port: int) -> Iterator[str]:
    """modbus-tk on a pseudo-terminal."""
    import serial
    from modbus_tk import modbus_rtu

    with two_ends() as (near, far), _modbus_tk(modbus_rtu.RtuServer(serial.Serial(far, 9600)), first):
        yield f"rtu: {{port: {near}}}"


@contextmanager
def _modbus_tk(server: Any, first: int) -> Iterator[None]:
    logging.getLogger("modbus_tk").setLevel(logging.CRITICAL)
    unit = server.add_slave(1)
    unit.add_block("holding", 3, 0, POINTS)
    unit.set_values("holding", 0, [first + n for n in range(POINTS)])
    server.start()
    try:
        yield
    finally:
        server.stop()


@contextmanager
def pymodbus(first: int, port: int) -> Iterator[str]:
    """pymodbus over TCP, in a loop and thread of its own."""
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    data = SimData(0, values=[first + n for n in range(POINTS)], datatype=DataType.REGISTERS)
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        server = ModbusTcpServer(SimDevice(1, data), address=("127.0.0.1", port))
        serving = asyncio.ensure_future(server.serve_forever())
        await stopping.wait()
        await server.shutdown()  # type: ignore[no-untyped-call]
        await asyncio.gather(serving, return_exceptions=True)

    stopping = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        yield f"tcp: {{host: 127.0.0.1, port: {port}}}"
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()


@contextmanager
def umodbus(first: int, port: int) -> Iterator[str]:
    """uModbus over TCP."""
    from socketserver import TCPServer

    umodbus_tcp = importlib.import_module("umodbus.server.tcp")

    class Reusing(TCPServer):
        allow_reuse_address = True

    logging.getLogger("uModbus").setLevel(logging.CRITICAL)
    server = umodbus_tcp.get_server(Reusing, ("127.0.0.1", port), umodbus_tcp.RequestHandler)

    def value(slave_id: int, function_code: int, address: int) -> int:
        return first + address

    server.route(slave_ids=[1], function_codes=[3], addresses=list(range(POINTS)))(value)

    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"tcp: {{host: 127.0.0.1, port: {port}}}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _libmodbus() -> ctypes.CDLL | None:
    name = os.environ.get("LIBMODBUS") or ctypes.util.find_library("modbus")
    return ctypes.CDLL(name) if name else None


@contextmanager
def libmodbus_rtu(first: int, _port: int) -> Iterator[str]:
    """libmodbus on a pseudo-terminal, through ctypes."""
    library = _libmodbus()
    assert library
    pointer = ctypes.c_void_p
    library.modbus_new_rtu.restype = library.modbus_mapping_new.restype = pointer
    library.modbus_new_rtu.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_char, ctypes.c_int, ctypes.c_int]
    with two_ends() as (near, far):
        context = pointer(library.modbus_new_rtu(far.encode(), 9600, b"N", 8, 1))
        library.modbus_set_slave(context, 1)
        library.modbus_set_indication_timeout(context, 0, 100_000)
        mapping = pointer(library.modbus_mapping_new(0, 0, POINTS, 0))
        # modbus_mapping_t: eight ints (numbers and starts), then four pointers; the third holds the registers.
        registers = ctypes.cast(mapping, ctypes.POINTER(pointer))[4 + 3]
        words = ctypes.cast(pointer(registers), ctypes.POINTER(ctypes.c_uint16))
        for place in range(POINTS):
            words[place] = first + place
        assert library.modbus_connect(context) == 0
        stopping = threading.Event()

        def serve() -> None:
            query = (ctypes.c_uint8 * 260)()
            while not stopping.is_set():
                length = library.modbus_receive(context, query)
                if length > 0:
                    library.modbus_reply(context, query, length, mapping)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"rtu: {{port: {near}}}"
        finally:
            stopping.set()
            thread.join()
            library.modbus_close(context)
            library.modbus_mapping_free(mapping)
            library.modbus_free(context)


@contextmanager
def two_ends() -> Iterator[tuple[str, str]]:
    """Two pseudo-terminals joined by a thread."""
    with ExitStack() as stack:
        pairs = [os.openpty() for _ in range(2)]
        for fd in (fd for pair in pairs for fd in pair):
            stack.callback(os.close, fd)
        for _, end in pairs:
            tty.setraw(end)
        (a, near), (b, far) = pairs
        stopping = threading.Event()

        def carry(source: int, target: int) -> None:
            import select

            while not stopping.is_set():
                if select.select([source], [], [], 0.05)[0]:
                    os.write(target, os.read(source, 4096))

        threads = [threading.Thread(target=carry, args=way, daemon=True) for way in ((a, b), (b, a))]
        for thread in threads:
            thread.start()
        try:
            yield os.ttyname(near), os.ttyname(far)
        finally:
            stopping.set()
            for thread in threads:
                thread.join()


Stack = Callable[[int, int], Any]


def stacks() -> dict[str, Stack | None]:
    """Every stack by name."""
    return {
        "pymodbustcp": pymodbustcp,
        "modbus-tk-tcp": modbus_tk_tcp,
        "modbus-tk-rtu": modbus_tk_rtu,
        "pymodbus": pymodbus,
        "umodbus": umodbus if importlib.util.find_spec("umodbus") else None,
        "libmodbus-rtu": libmodbus_rtu if _libmodbus() else None,
    }


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    return [free_port() for _ in range(count)]
