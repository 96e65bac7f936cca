"""A mail server that takes mail for the boxes it has: EHLO, STARTTLS, AUTH PLAIN and LOGIN, DATA."""

from __future__ import annotations

import base64
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class MailServer:
    """`answers`: what is said instead at a verb (`RCPT`, `DATA`, …); `drops`: it hangs up after a verb's yes."""

    boxes: set[str] = field(default_factory=lambda: {"hanako@example.com"})
    user: str = "makiba"
    password: str = "mail-password"
    tls: ssl.SSLContext | None = None
    starttls: bool = True
    answers: dict[str, bytes] = field(default_factory=dict)
    drops: str = ""
    taken: list[EmailMessage] = field(default_factory=list)
    was_safe: list[bool] = field(default_factory=list)
    port: int = 0


@contextmanager
def serving(server: MailServer, *, wrapped: bool = False) -> Iterator[MailServer]:
    """Serves on a free port of the loopback; `wrapped`: TLS from the start."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.safe = wrapped
            if wrapped:
                assert server.tls is not None
                try:
                    self.request = server.tls.wrap_socket(self.request, server_side=True)
                except (ssl.SSLError, OSError):
                    return
                self._files()
            self.known = not server.user
            self.say(b"220 mail.example.com ESMTP")
            while line := self.rfile.readline(4096):
                verb, _, rest = line.strip().partition(b" ")
                if not self.step(verb.upper().decode(), rest):
                    return

        def _files(self) -> None:
            self.rfile = self.request.makefile("rb")
            self.wfile = self.request.makefile("wb", 0)

        def say(self, line: bytes) -> bool:
            self.wfile.write(line + b"\r\n")
            return True

        def step(self, verb: str, rest: bytes) -> bool:
            if verb in server.answers:
                return self.say(server.answers[verb])
            match verb:
                case "EHLO" | "HELO":
                    extra = [b"STARTTLS"] if server.tls and server.starttls and not self.safe else []
                    if self.safe or not server.tls:
                        extra.append(b"AUTH PLAIN LOGIN")
                    lines = [b"mail.example.com", *extra, b"SMTPUTF8"]
                    for at, line in enumerate(lines):
                        self.say(b"250" + (b" " if at == len(lines) - 1 else b"-") + line)
                case "STARTTLS":
                    self.say(b"220 go ahead")
                    assert server.tls is not None
                    try:
                        self.request = server.tls.wrap_socket(self.request, server_side=True)
                    except (ssl.SSLError, OSError):
                        return False
                    self.safe = True
                    self._files()
                case "AUTH":
                    kind, _, first = rest.partition(b" ")
                    if kind.upper() == b"LOGIN":
                        given = base64.b64decode(first)
                        self.say(b"334 UGFzc3dvcmQ6")
                        pair = given + b"\0" + base64.b64decode(self.rfile.readline())
                    else:
                        pair = base64.b64decode(first).lstrip(b"\0")
                    self.known = pair == f"{server.user}\0{server.password}".encode()
                    self.say(b"235 ok" if self.known else b"535 5.7.8 no")
                case "MAIL":
                    self.say(b"250 ok" if self.known else b"530 5.7.0 who are you")
                case "RCPT":
                    box = rest.partition(b":")[2].strip(b"<> ").decode()
                    self.say(b"250 ok" if box in server.boxes else b"550 5.1.1 no such box")
                case "DATA":
                    self.say(b"354 go on")
                    lines = []
                    while (line := self.rfile.readline(65536)) not in (b".\r\n", b""):
                        lines.append(line[1:] if line.startswith(b"..") else line)
                    letter = message_from_bytes(b"".join(lines), policy=policy.default)
                    assert isinstance(letter, EmailMessage)
                    server.taken.append(letter)
                    server.was_safe.append(self.safe)
                    self.say(b"250 2.0.0 taken")
                case "QUIT":
                    self.say(b"221 bye")
                    return False
                case _:
                    self.say(b"250 ok")
            return verb != server.drops

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, *_: object) -> None:  # who hung up in the middle of a word
            pass

    listening = Server(("127.0.0.1", 0), Handler)
    server.port = listening.server_address[1]
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join(10)
