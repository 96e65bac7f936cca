"""Mail, by SMTP with TLS: plain text, and the same as a small page.

- `Message-ID` is made of the message's id: a mail program, and most servers, fold the same mail that came twice.
- One alert is one thread (`References` of its tag). `Auto-Submitted` keeps out-of-office answers away.
- Without TLS nothing is sent, not even the password, but to a server on this machine.
- A 4xx of the server is tried again, a 5xx is final; one that says that the mailbox is not there (RFC 3463: 5.1.1,
  5.1.10, 5.2.1) ends the address. A connection that breaks after the mail was taken changes nothing.
"""

from __future__ import annotations

import hashlib
import html
import re
import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from typing import Final

from analytics.notify.channels import is_loopback
from analytics.notify.port import ChannelName, Message, Sent
from makiba.settings import Settings

TIMEOUT_S: Final = 5.0
_NOT_THERE: Final = re.compile(rb"\b5\.(?:1\.1|1\.10|2\.1)\b")
_MAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?=.{1,253}$)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")


@dataclass(frozen=True, slots=True)
class MailServer:
    """Who takes our mail. `ValueError`: a setting that cannot be right."""

    host: str
    port: int
    tls: str
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)
    ca: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> MailServer:
        secret = settings.mail_password
        server = cls(
            settings.mail_host, settings.mail_port, settings.mail_tls, settings.mail_from, settings.mail_user,
            secret.get_secret_value() if secret else "", str(settings.mail_ca) if settings.mail_ca else None,
        )  # fmt: skip
        if not is_mail_address(server.sender):
            raise ValueError("mail_from is no mail address")
        if server.tls == "off" and not is_loopback(f"smtp://{server.host}"):
            raise ValueError("mail_tls: off is only for a mail server on this machine")
        return server

    @property
    def domain(self) -> str:
        return self.sender.rpartition("@")[2]


class Mail:
    """The channel `mail`; an address has `mail`."""

    name: ChannelName = "mail"
    exactly_once = False
    monthly: int | None = None

    def __init__(self, server: MailServer) -> None:
        self._server = server

    def send(self, message: Message) -> Sent:
        to = str(message.to.get("mail", ""))
        if not is_mail_address(to):
            return Sent("gone", "its address is none")
        letter = letter_of(message, to, self._server)
        try:
            smtp = self._connected()
        except smtplib.SMTPAuthenticationError as error:
            return Sent("refused", f"the server does not take our password: SMTP {error.smtp_code}")
        except smtplib.SMTPNotSupportedError:
            return Sent("refused", "the server offers no TLS, and nothing is sent without")
        except (smtplib.SMTPException, OSError) as error:
            return _failed(error)
        try:
            smtp.send_message(letter, self._server.sender, [to])
        except smtplib.SMTPRecipientsRefused as error:
            code, told = error.recipients[to]
            return _answer(code, told if isinstance(told, bytes) else str(told).encode())
        except (smtplib.SMTPException, OSError) as error:
            return _failed(error)
        finally:
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()
        return Sent("accepted", provider_id=str(letter["Message-ID"]))

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        context = ssl.create_default_context(cafile=server.ca)
        smtp: smtplib.SMTP
        if server.tls == "tls":
            smtp = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
        try:
            if server.tls == "starttls":
                smtp.starttls(context=context)
            if server.user:
                smtp.login(server.user, server.password)
        except BaseException:
            smtp.close()
            raise
        return smtp


def is_mail_address(text: str) -> bool:
    """Whether this is one address as mail servers write it: no name before it, no second one behind it."""
    return text.isascii() and _MAIL.fullmatch(text) is not None


def letter_of(message: Message, to: str, server: MailServer) -> EmailMessage:
    """The mail. Whatever a title holds, it stays one line of one header."""
    letter = EmailMessage()
    letter["Subject"] = " ".join(message.title.split()) or "Makiba"
    letter["From"] = Address("まきば" if message.language == "ja" else "Makiba", addr_spec=server.sender)
    letter["To"] = to
    letter["Date"] = format_datetime(localtime())
    letter["Message-ID"] = f"<{message.id}@{server.domain}>"
    letter["References"] = f"<{hashlib.sha256(message.tag.encode()).hexdigest()[:32]}@{server.domain}>"
    letter["Auto-Submitted"] = "auto-generated"
    if message.severity == "critical":
        letter["Importance"] = "high"
    letter.set_content(f"{message.body}\n\n{message.url}\n")
    letter.add_alternative(page_of(message), subtype="html")
    return letter


def page_of(message: Message) -> str:
    """The same as HTML: no picture from elsewhere, nothing that tells who read it."""
    language = "en" if message.language == "en" else "ja"
    opening = next((b.label for b in message.buttons if b.action == "open"), "Makiba")
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in message.body.split("\n") if line.strip())
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{html.escape(message.title)}</title>'
        '<body style="font:18px/1.6 sans-serif;max-width:36em;color:#111;background:#fff">'
        f'<h1 style="font-size:22px">{html.escape(message.title)}</h1>{lines}'
        f'<p><a href="{html.escape(message.url, quote=True)}" style="font-size:20px">{html.escape(opening)}</a></p>'
        "</body></html>"
    )


def _failed(error: Exception) -> Sent:
    """What the server said, or that it did not."""
    if isinstance(error, smtplib.SMTPResponseException):
        told = error.smtp_error
        return _answer(error.smtp_code, told if isinstance(told, bytes) else str(told).encode())
    return Sent("retry", type(error).__name__)


def _answer(code: int, told: bytes) -> Sent:
    detail = f"SMTP {code}"
    if _NOT_THERE.search(told):
        return Sent("gone", detail)
    return Sent("refused", detail) if 500 <= code < 600 else Sent("retry", detail)
