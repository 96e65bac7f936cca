"""LINE: a message to one person through the Messaging API, with line-bot-sdk v3.

- Sent with the message's id as `X-Line-Retry-Key`: LINE takes it once in 24 hours, and answers 409 to a repetition.
- `altText` holds the whole alert: it is what a locked phone shows. The bubble says the same with its severity as a
  word, and has buttons; a picture of the values where it can be had over HTTPS.
- A bubble that LINE does not understand (400) is sent as plain text, under a retry key of its own.
- 200 means that LINE has it, and not that anybody saw it. Who blocked the account is told to us as `unfollow`.
- Answers to what somebody taps use the reply token, which costs no message of the month.

Loading the SDK takes a second and 50 MB, so that only this module does it.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import urllib3
from linebot.v3.messaging import (
    ApiClient,
    ApiException,
    Configuration,
    FlexContainer,
    FlexMessage,
    MessagingApi,
    PushMessageRequest,
    ReplyMessageRequest,
    TextMessage,
)

from analytics.notify.channels.line_words import alt_text, bubble
from analytics.notify.channels.wire import retry_after_s
from analytics.notify.port import ChannelName, Message, Sent

log = logging.getLogger(__name__)

TIMEOUT: Final = (3.0, 6.0)
QUOTA_MS: Final = 3_600_000
FREE_PLAN: Final = 200
"""Messages a month of the plan without a price, as long as LINE does not say how many they are."""

NOT_FOUND_OUT_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Month:
    """What the plan has in this month, None: without an end; and how many were sent, by whomever."""

    limit: int | None
    used: int


class LineAccount:
    """The account at LINE, by its Messaging API. Threads share it."""

    def __init__(self, address: str, token: str) -> None:
        configuration = Configuration(host=address.rstrip("/"), access_token=token)
        configuration.retries = False  # neither redirects nor repetitions that nobody asked for
        self._api = MessagingApi(ApiClient(configuration))

    def __repr__(self) -> str:
        return "LineAccount(…)"

    def push(self, to: str, message: FlexMessage | TextMessage, retry_key: str, *, silent: bool) -> str | None:
        """LINE's id of the request. `ApiException`; `urllib3.exceptions.HTTPError` when nobody answers."""
        asked = PushMessageRequest(to=to, messages=[message], notificationDisabled=silent)
        answer = self._api.push_message_with_http_info(asked, x_line_retry_key=retry_key, _request_timeout=TIMEOUT)
        return _header(answer.headers, "x-line-request-id")

    def reply(self, token: str, text: str) -> bool:
        """Answers somebody who tapped or wrote; False: it did not arrive (a token holds once, for a minute)."""
        asked = ReplyMessageRequest(replyToken=token, messages=[TextMessage(text=text)])
        try:
            self._api.reply_message(asked, _request_timeout=TIMEOUT)
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            log.info("LINE did not take an answer: %s", _named(error))
            return False
        return True

    def month(self) -> Month:
        """What the plan has and had. Errors as of `push`."""
        quota = self._api.get_message_quota(_request_timeout=TIMEOUT)
        used = self._api.get_message_quota_consumption(_request_timeout=TIMEOUT)
        return Month(int(quota.value) if quota.type == "limited" and quota.value is not None else None,
                     int(used.total_usage))  # fmt: skip


class Line:
    """The channel `line`; an address has `user`, LINE's id of a person as this account knows them."""

    name: ChannelName = "line"
    exactly_once = True

    def __init__(
        self, account: LineAccount, monthly: int = 0, chart_of: Callable[[Message], str] | None = None
    ) -> None:
        """`chart_of`: where LINE finds the picture of an alert's values."""
        self.account = account
        self._chart_of = chart_of
        self._given = monthly
        self._asking = threading.Lock()
        self._month: Month | None = None
        self._asked_s = float("-inf")

    @property
    def monthly(self) -> int | None:
        """The plan's messages of a month: the setting's, else what LINE says, asked once an hour."""
        if self._given:
            return self._given
        month = self.month()
        return FREE_PLAN if month is None else month.limit

    def month(self) -> Month | None:
        """What LINE says of this month, at most an hour old; None: it has not said anything yet."""
        with self._asking:
            wait_ms = QUOTA_MS if self._month is not None else NOT_FOUND_OUT_MS
            if time.monotonic() - self._asked_s >= wait_ms / 1000:
                self._asked_s = time.monotonic()
                try:
                    self._month = self.account.month()
                except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
                    log.warning("LINE does not say how many messages are left: %s", _named(error))
            return self._month

    def send(self, message: Message) -> Sent:
        user, silent = str(message.to.get("user", "")), message.severity == "info"
        if self._chart_of is not None and message.kind == "alert" and message.chart_url is None:
            message = replace(message, chart_url=self._chart_of(message))
        try:
            rich: FlexMessage | TextMessage = FlexMessage(
                altText=alt_text(message), contents=FlexContainer.from_dict(bubble(message))
            )
        except ValueError:
            log.exception("%s: no bubble can be made of it; it is sent as text", message.id)
            rich = TextMessage(text=plain(message))
        sent = self._push(user, rich, message.retry_key, silent)
        if sent.kind == "refused" and sent.detail == "HTTP 400" and isinstance(rich, FlexMessage):
            return self._push(user, TextMessage(text=plain(message)), plain_key(message), silent)
        return sent

    def _push(self, user: str, message: FlexMessage | TextMessage, key: str, silent: bool) -> Sent:
        try:
            return Sent("accepted", provider_id=self.account.push(user, message, key, silent=silent))
        except ApiException as error:
            return self._refusal(int(error.status or 0), error.headers or {})
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Sent("retry", _named(error))

    def _refusal(self, status: int, headers: Mapping[str, str]) -> Sent:
        told = f"HTTP {status}"
        if status == 409:
            return Sent("duplicate", told, provider_id=_header(headers, "x-line-accepted-request-id"))
        if status == 429:
            if self._is_used_up():
                return Sent("refused", "the month's messages are used up")
            return Sent("retry", told, retry_after_s(_header(headers, "retry-after")))
        if status >= 500 or status in (0, 408):
            return Sent("retry", told, retry_after_s(_header(headers, "retry-after")))
        if status in (401, 403):
            log.error("LINE does not take the access token (HTTP %d); see the setting line_token", status)
        return Sent("refused", told)

    def _is_used_up(self) -> bool:
        """LINE says 429 both to a crowd and at the month's end; only its figures tell which."""
        try:
            month = self.account.month()
        except (ApiException, urllib3.exceptions.HTTPError, OSError):
            return False
        with self._asking:
            self._month, self._asked_s = month, time.monotonic()
        return month.limit is not None and month.used >= month.limit


def plain(message: Message) -> str:
    """The message as text, for when there is no bubble."""
    return f"{alt_text(message)}\n{message.url}"


def plain_key(message: Message) -> str:
    """The retry key of the message as text: another request than the bubble, the same at each try."""
    return str(uuid.uuid5(uuid.UUID(message.retry_key), "text"))


def friend_address(line_id: str) -> str:
    """Where somebody makes the account a friend, for a link or a QR code."""
    return f"https://line.me/R/ti/p/{line_id}"


def _header(headers: Any, name: str) -> str | None:
    value = next((v for k, v in dict(headers or {}).items() if str(k).lower() == name), None)
    return str(value)[:200] if value else None


def _named(error: Exception) -> str:
    """What went wrong, without what was sent and to whom."""
    return f"HTTP {error.status}" if isinstance(error, ApiException) else type(error).__name__
