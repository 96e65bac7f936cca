"""Each channel against its vendor on the loopback, through the real client library."""

from __future__ import annotations

import socketserver
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from analytics.notify.channels import open_channels, open_names, spoken, wire
from analytics.notify.channels.line import Line, LineAccount, plain_key
from analytics.notify.channels.mail import Mail
from analytics.notify.channels.mail import MailServer as Server
from analytics.notify.channels.push_services import hosts_of, is_push_service
from analytics.notify.channels.slips import CALL, CHART, message_of
from analytics.notify.channels.vapid import open_vapid
from analytics.notify.channels.voice import Voice
from analytics.notify.channels.web_push import WebPush
from analytics.notify.channels.webhook import Webhook, check_address, secret_of, signature
from analytics.notify.port import Button, Message
from deploy.pki import authority
from makiba.keys import Key, open_key
from makiba.settings import Settings
from tests.vendors import http, smtp
from tests.vendors.gateway import Gateway
from tests.vendors.http import Told
from tests.vendors.line import TOKEN
from tests.vendors.line import Line as Platform
from tests.vendors.push import PushService

USER = "U" + "1" * 32
KEY = Key(b"k" * 48)
BUTTONS = (Button("open", "くわしく"), Button("acknowledge", "見ました"), Button("snooze", "1時間 あとで"))


def message(to: dict[str, str], **more: object) -> Message:
    given = {
        "id": uuid.uuid4().hex, "to": to, "kind": "alert", "severity": "critical", "language": "ja",
        "title": "【緊急】バルクの 乳温が 高いです", "body": "乳温 6.2℃。\nすぐ 冷却機を 見てください。\n5時10分から",
        "url": "https://makiba.example/#/alerts/a1", "tag": "a" * 32, "buttons": BUTTONS, "alert_id": "a" * 32,
    }  # fmt: skip
    return Message(**(given | more))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------- LINE


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def line(platform: Platform) -> Iterator[Line]:
    with http.serving(platform) as address:
        yield Line(LineAccount(address, TOKEN))


def test_line_gets_the_whole_alert_and_buttons_that_say_what_is_tapped(line: Line, platform: Platform) -> None:
    sent = line.send(message({"user": USER}, chart_url="https://makiba.example/chart/x.png"))
    assert (sent.kind, bool(sent.provider_id)) == ("accepted", True)
    (told,) = platform.pushed
    assert told["to"] == USER
    (flex,) = told["messages"]
    assert flex["altText"] == (
        "【緊急】バルクの 乳温が 高いです\n乳温 6.2℃。\nすぐ 冷却機を 見てください。\n5時10分から"
    )
    shown = flex["contents"]
    assert shown["header"]["contents"][0]["text"] == "危険"
    assert shown["hero"]["url"] == "https://makiba.example/chart/x.png"
    labels = [button["action"]["label"] for button in shown["footer"]["contents"]]
    assert labels == ["見ました", "行きます", "1時間 あとで", "くわしく"]


@pytest.mark.parametrize("lost", ["after", "hang"])
def test_line_takes_a_message_once_although_its_yes_was_lost(
    line: Line, platform: Platform, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.notify.channels.line.TIMEOUT", (1.0, 0.5))
    platform.lost = [lost]
    told = message({"user": USER})
    assert line.send(told).kind == "retry"
    again = line.send(told)
    assert (again.kind, bool(again.provider_id)) == ("duplicate", True)
    assert len(platform.pushed) == 1


def test_what_line_refuses_is_told_apart_from_what_it_takes_later(line: Line, platform: Platform) -> None:
    platform.failing = [500, 503, 403, 404]
    kinds = [line.send(message({"user": USER})).kind for _ in range(4)]
    assert kinds == ["retry", "retry", "refused", "refused"]
    assert line.send(message({"user": "U" + "2" * 32})).kind == "refused"


def test_a_crowd_is_told_from_a_month_that_is_used_up(line: Line, platform: Platform) -> None:
    platform.failing = [429]
    assert line.send(message({"user": USER})).kind == "retry"
    platform.used = 200
    sent = line.send(message({"user": USER}))
    assert (sent.kind, sent.detail) == ("refused", "the month's messages are used up")


def test_a_bubble_that_line_does_not_understand_is_sent_as_text_once(line: Line, platform: Platform) -> None:
    platform.takes_flex = False
    told = message({"user": USER})
    assert line.send(told).kind == "accepted"
    assert line.send(told).kind == "duplicate"
    assert [m["type"] for m in platform.pushed[0]["messages"]] == ["text"]
    assert len(platform.pushed) == 1
    assert plain_key(told) != told.retry_key


def test_the_plan_is_read_from_line_and_kept_when_it_does_not_answer(platform: Platform) -> None:
    with http.serving(platform) as address:
        asked = Line(LineAccount(address, TOKEN))
        platform.limit = 5000
        assert asked.monthly == 5000
    assert asked.monthly == 5000  # nobody answers there any more
    assert Line(LineAccount("http://127.0.0.1:9", TOKEN)).monthly == 200
    platform.limit = None
    with http.serving(platform) as address:
        assert Line(LineAccount(address, TOKEN)).monthly is None
        assert Line(LineAccount(address, TOKEN), 30_000).monthly == 30_000


def test_line_is_shown_the_chart_by_an_address_of_its_own_where_it_can_fetch_it(
    tmp_path: Path, platform: Platform
) -> None:
    with http.serving(platform) as address:
        given: dict[str, Any] = {"home": tmp_path, "line_token": SecretStr(TOKEN), "line_api": address}
        there = Settings(**given, public_url="https://makiba.example")
        told = message({"user": USER})
        assert open_channels(there)["line"].send(told).kind == "accepted"
        for settings in (Settings(**given), there.model_copy(update={"line_charts": "off"})):
            assert open_channels(settings)["line"].send(message({"user": USER})).kind == "accepted"
    shown, *others = (push["messages"][0]["contents"] for push in platform.pushed)
    base, _, slip = shown["hero"]["url"].rpartition("/")
    assert base == "https://makiba.example/api/v1/charts"
    assert message_of(open_key(there), CHART, slip, int(time.time())) == told.id
    assert message_of(open_key(there), CHART, slip, int(time.time()) + 86_401) is None
    assert ["hero" in one for one in others] == [False, False]


def test_no_secret_of_line_is_in_an_error_or_a_log(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="analytics")
    with http.serving(platform) as address:
        wrong = Line(LineAccount(address, "a-wrong-token"))
        sent = wrong.send(message({"user": USER}))
    assert sent.kind == "refused"
    assert "a-wrong-token" not in f"{sent}{wrong.account!r}{caplog.text}"
    assert USER not in f"{sent}{caplog.text}"


# -------------------------------------------------------------------------------------------------- Web Push


@pytest.fixture
def service() -> Iterator[PushService]:
    push = PushService()
    with http.serving(push) as push.origin:
        yield push


@pytest.fixture
def phone(service: PushService, tmp_path: Path) -> WebPush:
    key = open_vapid(Settings(home=tmp_path))
    service.server_key = key.public
    return WebPush(key, "mailto:office@example.com", hosts_of("127.0.0.1"))


def test_a_phone_shows_a_message_that_only_it_can_read(service: PushService, phone: WebPush) -> None:
    assert phone.send(message(service.subscribe())).kind == "accepted"
    (shown,) = service.shown
    assert (shown["title"], shown["tag"], shown["alert"]) == ("【緊急】バルクの 乳温が 高いです", "a" * 32, "a" * 32)
    assert [b["action"] for b in shown["buttons"]] == ["open", "acknowledge", "snooze"]
    headers = service.headers[0]
    assert (headers["urgency"], headers["ttl"], headers["topic"]) == ("high", "7200", "a" * 32)
    assert service.contacts == ["mailto:office@example.com"]


def test_a_message_that_came_twice_is_shown_once_and_a_newer_one_takes_its_place(
    service: PushService, phone: WebPush
) -> None:
    to = service.subscribe()
    told = message(to, tag="a tag that is no topic as it is: 牛舎")
    assert [phone.send(told).kind, phone.send(told).kind] == ["accepted", "accepted"]
    assert len(service.shown) == 1
    phone.send(message(to, tag=told.tag, title="ほかの 題"))
    assert [one["title"] for one in service.shown] == ["ほかの 題"]


@pytest.mark.parametrize(
    ("status", "headers", "kind", "wait_s"),
    [
        (404, {}, "gone", None),
        (410, {}, "gone", None),
        (429, {"Retry-After": "30"}, "retry", 30.0),
        (500, {}, "retry", None),
        (403, {}, "refused", None),
        (302, {"Location": "http://127.0.0.1:9/elsewhere"}, "refused", None),
    ],
)
def test_what_a_push_service_says_has_a_meaning(
    service: PushService, phone: WebPush, status: int, headers: dict[str, str], kind: str, wait_s: float | None
) -> None:
    service.failing = [(status, headers)]
    sent = phone.send(message(service.subscribe()))
    assert (sent.kind, sent.retry_after_s) == (kind, wait_s)


def test_a_message_that_is_too_long_is_cut_behind_a_sentence_and_one_too_long_still_has_its_title(
    service: PushService, phone: WebPush
) -> None:
    to = service.subscribe()
    assert phone.send(message(to, body="牛舎の 温度が 高いです。" * 500)).kind == "accepted"
    assert service.shown[0]["body"].endswith("。…")
    assert len(service.shown[0]["body"].encode()) > 3000
    service.waiting.clear()
    service.most_bytes = 1000
    assert phone.send(message(to, body="長い 話です。" * 100)).kind == "accepted"
    assert (service.shown[0]["title"], service.shown[0]["body"]) == ("【緊急】バルクの 乳温が 高いです", "")


def test_who_is_no_push_service_is_not_asked(service: PushService, tmp_path: Path) -> None:
    plain = WebPush(open_vapid(Settings(home=tmp_path)), "mailto:a@example.com", hosts_of(""))
    assert plain.send(message(service.subscribe())).kind == "refused"
    assert service.headers == []


@pytest.mark.parametrize(
    ("endpoint", "is_one"),
    [
        ("https://fcm.googleapis.com/fcm/send/abc", True),
        ("https://updates.push.services.mozilla.com/wpush/v2/abc", True),
        ("https://web.push.apple.com/abc", True),
        ("https://wns2-par02p.notify.windows.com/w/?token=x", True),
        ("http://fcm.googleapis.com/fcm/send/abc", False),
        ("https://fcm.googleapis.com:8443/x", False),
        ("https://fcm.googleapis.com@evil.example/x", False),
        ("https://evil.example/fcm.googleapis.com", False),
        ("https://evilpush.apple.com/x", False),
        ("https://push.apple.com.evil.example/x", False),
        ("https://127.0.0.1/x", False),
        ("https://fcm.googleapis.com\\@evil.example/x", False),
        ("ftp://fcm.googleapis.com/x", False),
        ("", False),
    ],
)
def test_an_endpoint_is_one_of_a_real_push_service(endpoint: str, is_one: bool) -> None:
    assert is_push_service(endpoint, hosts_of("")) is is_one


def test_a_subscription_of_rubbish_is_gone_and_no_exception(service: PushService, phone: WebPush) -> None:
    to = service.subscribe() | {"p256dh": "AAAA"}
    assert phone.send(message(to)).kind == "gone"


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first, second = (open_vapid(Settings(home=tmp_path)) for _ in range(2))
    assert first.public == second.public
    assert (tmp_path / "vapid.pem").stat().st_mode & 0o777 == 0o600
    assert "private" not in repr(first).lower()


# ------------------------------------------------------------------------------------------------------- mail


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    authority.init(folder)
    authority.issue(folder, "broker", hosts=("127.0.0.1", "localhost"))
    return folder


def server_tls(pki: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "broker.pem", pki / "broker.key")
    return context


def mail_to(server: smtp.MailServer, pki: Path, tls: str = "starttls") -> Mail:
    return Mail(Server("localhost", server.port, tls, "makiba@example.com", server.user, server.password,
                       str(pki / "ca.pem")))  # fmt: skip


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_mail_arrives_over_tls_as_text_and_as_a_page(pki: Path, tls: str) -> None:
    with smtp.serving(smtp.MailServer(tls=server_tls(pki)), wrapped=tls == "tls") as server:
        told = message({"mail": "hanako@example.com"}, title="乳温\r\nBcc: evil@example.com", body="<b>6.2℃</b>")
        sent = mail_to(server, pki, tls).send(told)
        assert sent.kind == "accepted"
        (letter,) = server.taken
    assert server.was_safe == [True]
    assert letter["Message-ID"] == f"<{told.id}@example.com>" == sent.provider_id
    assert (letter["Subject"], letter["Bcc"]) == ("乳温 Bcc: evil@example.com", None)
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["List-Unsubscribe"] is None
    text, page = letter.iter_parts()
    assert text.get_content().startswith("<b>6.2℃</b>")
    assert "&lt;b&gt;6.2℃&lt;/b&gt;" in page.get_content()
    assert 'href="https://makiba.example/#/alerts/a1"' in page.get_content()


def test_the_same_mail_sent_twice_has_the_same_id(pki: Path) -> None:
    with smtp.serving(smtp.MailServer(tls=server_tls(pki))) as server:
        told, way = message({"mail": "hanako@example.com"}), mail_to(server, pki)
        way.send(told)
        way.send(told)
        assert len({letter["Message-ID"] for letter in server.taken}) == 1
        assert len({letter["References"] for letter in server.taken}) == 1


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"RCPT": b"550 5.1.1 no such user"}, "gone"),
        ({"RCPT": b"550 5.7.1 not from you"}, "refused"),
        ({"RCPT": b"451 4.7.1 greylisted, come again"}, "retry"),
        ({"DATA": b"554 5.7.1 spam"}, "refused"),
        ({"DATA": b"452 4.2.2 full"}, "retry"),
        ({"AUTH": b"535 5.7.8 wrong"}, "refused"),
        ({"MAIL": b"421 4.3.2 closing"}, "retry"),
        ({"STARTTLS": b"454 4.7.0 no TLS just now"}, "retry"),
    ],
)
def test_what_a_mail_server_says_has_a_meaning(pki: Path, answers: dict[str, bytes], kind: str) -> None:
    with smtp.serving(smtp.MailServer(tls=server_tls(pki), answers=answers)) as server:
        assert mail_to(server, pki).send(message({"mail": "hanako@example.com"})).kind == kind
        assert server.taken == []


def test_nothing_is_sent_to_a_mail_server_without_tls_or_with_a_strangers_certificate(
    pki: Path, tmp_path: Path
) -> None:
    told = message({"mail": "hanako@example.com"})
    with smtp.serving(smtp.MailServer(tls=server_tls(pki), starttls=False)) as server:
        assert mail_to(server, pki).send(told).kind == "refused"
        assert server.taken == []
    authority.init(tmp_path / "other")
    with smtp.serving(smtp.MailServer(tls=server_tls(pki))) as server:
        assert mail_to(server, tmp_path / "other").send(told).kind == "retry"
        assert server.taken == []


def test_a_mail_that_was_taken_stays_taken_when_the_connection_breaks_then(pki: Path) -> None:
    with smtp.serving(smtp.MailServer(tls=server_tls(pki), drops="DATA")) as server:
        assert mail_to(server, pki).send(message({"mail": "hanako@example.com"})).kind == "accepted"


@pytest.mark.parametrize("address", ["", "hanako", "a@b@c", "hanako@example.com, b@example.com", "a\n@example.com"])
def test_what_is_no_mail_address_is_not_tried(pki: Path, address: str) -> None:
    way = Mail(Server("localhost", 9, "starttls", "makiba@example.com"))
    assert way.send(message({"mail": address})).kind == "gone"


# ---------------------------------------------------------------------------------------------------- webhook

NEAR = "127.0.0.0/8"


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def test_a_webhook_is_signed_for_its_address_and_can_tell_a_repetition(gateway: Gateway) -> None:
    hook = Webhook(KEY, NEAR)
    with http.serving(gateway) as address:
        told = message({"url": f"{address}/alerts?farm=1"})
        assert [hook.send(told).kind, hook.send(told).kind] == ["accepted", "duplicate"]
        asked = gateway.asked[0]
        secret = secret_of(KEY, f"{address}/alerts?farm=1")
    assert asked.path == "/alerts?farm=1"
    assert asked.headers["idempotency-key"] == told.id
    at = asked.headers["x-makiba-time"]
    assert asked.headers["x-makiba-signature"] == "v1=" + signature(secret, at, asked.body)
    assert secret_of(KEY, "https://other.example/") != secret
    assert abs(int(at) - time.time()) < 60


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (Told(302, headers={"Location": "http://127.0.0.1:9/x"}), "refused"),
        (Told(307, headers={"Location": "http://169.254.169.254/"}), "refused"),
        (Told(404), "refused"),
        (Told(410), "gone"),
        (Told(503, headers={"Retry-After": "7"}), "retry"),
        (Told(0, cut=True), "retry"),
    ],
)
def test_what_a_webhook_answers_has_a_meaning_and_is_not_followed(gateway: Gateway, told: Told, kind: str) -> None:
    gateway.failing = [told]
    with http.serving(gateway) as address:
        assert Webhook(KEY, NEAR).send(message({"url": address})).kind == kind
    assert len(gateway.asked) == 1


@pytest.mark.parametrize(
    "there",
    ["127.0.0.1", "10.0.0.5", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "2002:7f00:1::", "::"],
)  # fmt: skip
def test_a_name_that_is_not_on_the_internet_is_not_asked(there: str) -> None:
    hook = Webhook(KEY, resolve=lambda _, __: ["93.184.216.34", there])
    sent = hook.send(message({"url": "https://hooks.example.com/x"}))
    assert (sent.kind, there in sent.detail) == ("refused", False)


def test_a_name_is_looked_up_once_so_that_it_cannot_change_its_mind(gateway: Gateway) -> None:
    answers = iter([["127.0.0.1"]])
    with http.serving(gateway) as address:
        port = address.rpartition(":")[2]
        sent = wire.post(f"http://127.0.0.1:{port}/", b"{}", {"Idempotency-Key": "k"}, networks=NEAR,
                         resolve=lambda _, __: next(answers))  # fmt: skip
    assert sent.status == 202
    assert next(answers, None) is None


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example.com/", "https://user:pw@hooks.example.com/", "https://127.0.0.1/", "https://[::1]/",
     "https://0x7f.1/", "https://2130706433/", "https://127.1/", "https://localhost./", "file:///etc/passwd",
     "gopher://hooks.example.com/", "https://hooks.example.com\\@127.0.0.1/", "https://", "https://例え.jp/",
     "https://hooks.example.com:0/", "https://ex ample.com/", "https://hooks.example.com/\r\nX: y"],
)  # fmt: skip
def test_what_is_no_address_for_a_webhook_is_refused_or_leads_nowhere(url: str) -> None:
    hook = Webhook(KEY, resolve=lambda _, __: ["127.0.0.1"])
    assert hook.send(message({"url": url})).kind == "refused"


def test_a_farms_own_network_can_be_allowed() -> None:
    check_address("http://192.168.1.20:8080/alarm", "192.168.1.0/24")
    with pytest.raises(wire.NotAllowedThere):
        check_address("http://192.168.2.20/alarm", "192.168.1.0/24")


def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "WHOLE_S", 0.5)
    done = threading.Event()

    class Dripping(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            try:
                for _ in range(600):
                    self.request.sendall(b"H")
                    if done.wait(0.1):
                        return
            except OSError:
                pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        began_s = time.monotonic()
        sent = Webhook(KEY, NEAR).send(message({"url": f"http://127.0.0.1:{server.server_address[1]}/"}))
        done.set()
        server.shutdown()
    assert sent.kind == "retry"
    assert time.monotonic() - began_s < 30


# ---------------------------------------------------------------------------------------------- calls and SMS


def test_a_call_reads_the_alert_aloud_and_a_1_comes_back_with_a_token(gateway: Gateway) -> None:
    gateway.token = "gateway-token"
    with http.serving(gateway) as address:
        way = Voice(f"{address}/calls", SecretStr("gateway-token"), "https://makiba.example/api/v1/voice/answer", KEY)
        told = message({"phone": "+81901234567"})
        sent = way.send(told)
        assert (sent.kind, sent.provider_id) == ("accepted", f"call-{told.id[:8]}")
        assert way.send(told).kind == "duplicate"
    call = gateway.taken[told.id]
    assert call["say"] == ("緊急バルクの乳温が高いです。 乳温6.2度。 すぐ冷却機を見てください。 5時10分から。")
    assert call["ask"].startswith("わかったら、1を押してください。")
    assert "token" not in call["answer"]["url"]
    now_s = int(time.time())
    token = call["answer"]["token"]
    assert message_of(KEY, CALL, token, now_s) == told.id
    assert message_of(KEY, CALL, token, now_s + 4000) is None
    assert message_of(Key(b"x" * 48), CALL, token, now_s) is None
    assert message_of(KEY, CALL, token.replace(told.id, uuid.uuid4().hex), now_s) is None
    assert message_of(KEY, CALL, "rubbish", now_s) is None
    assert message_of(KEY, CHART, token, now_s) is None


@pytest.mark.parametrize(
    ("told", "kind"),
    [(Told(401), "refused"), (Told(404), "refused"), (Told(410), "gone"), (Told(429), "retry"), (Told(500), "retry")],
)
def test_what_a_gateway_says_has_a_meaning(gateway: Gateway, told: Told, kind: str) -> None:
    gateway.failing = [told]
    with http.serving(gateway) as address:
        settings = Settings(sms_url=f"{address}/sms")
        assert open_channels(settings)["sms"].send(message({"phone": "+81901234567"})).kind == kind


@pytest.mark.parametrize(
    ("text", "language", "said"),
    [
        ("乳温 6.2℃、湿度 80%", "ja", "乳温6.2度、湿度80パーセント。"),
        ("Milk 6.2 °C (tank 1)", "en", "Milk 6.2 degrees Celsius tank 1."),
        ("・第1牛舎\n・アンモニア 25ppm", "ja", "第1牛舎。 アンモニア25ピーピーエム。"),
    ],
)
def test_what_is_read_aloud_sounds_like_words(text: str, language: str, said: str) -> None:
    assert " ".join(spoken.spoken(text, language).split()) == said


# ------------------------------------------------------------------------------------------------------ opening


def test_only_channels_with_settings_are_open_and_nothing_is_loaded_for_the_others(tmp_path: Path) -> None:
    assert open_channels(Settings(home=tmp_path)) == {}
    assert open_names(Settings(home=tmp_path)) == ()
    whole = Settings(
        home=tmp_path, line_token=SecretStr("t"), vapid_contact="mailto:a@example.com", mail_host="mail.example.com",
        mail_from="a@example.com", webhook="on", voice_url="https://calls.example/", sms_url="https://sms.example/",
        mail_password=SecretStr("mail-secret"), voice_token=SecretStr("voice-secret"),
    )  # fmt: skip
    opened = open_channels(whole)
    assert set(opened) == {"push", "line", "mail", "webhook", "sms", "voice"} == set(open_names(whole))
    assert {name for name, one in opened.items() if one.exactly_once} == {"push", "line"}
    for name, one in opened.items():
        assert one.name == name
    assert "secret" not in repr(whole.mail_password) + repr(Server.of(whole))


@pytest.mark.parametrize(
    "given",
    [
        {"mail_host": "mail.example.com", "mail_from": "a@example.com", "mail_tls": "off"},
        {"mail_host": "mail.example.com"},
        {"vapid_contact": "office@example.com"},
        {"voice_url": "http://calls.example/"},
    ],
)
def test_a_setting_that_cannot_be_right_is_told(tmp_path: Path, given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        open_channels(Settings(home=tmp_path, **given))  # type: ignore[arg-type]
