"""Settings of the services: from `MAKIBA_*` variables over a file over defaults (12-factor).

The file is `$MAKIBA_CONFIG`, or `makiba.yaml` in the home folder when it is there. Secrets are read from
variables or from files named by them, never from a URL, and are not shown when settings are printed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from makiba.located_yaml import ConfigErrors, Located, Problem, load_located
from makiba.mqtt import MqttOptions, TlsOptions
from makiba.words import nearest

PREFIX = "MAKIBA_"
_DAYS = "^([1-9][0-9]{0,5}d)?$"

_AsPath = Annotated[Path, BeforeValidator(lambda v: Path(v).expanduser() if isinstance(v, str) else v)]
_AsInt = Annotated[int, BeforeValidator(lambda v: int(v) if isinstance(v, str) and v.isdigit() else v)]
_AsSecret = Annotated[SecretStr, BeforeValidator(lambda v: SecretStr(v) if isinstance(v, str) else v)]


def _networks(spelled: str) -> str:
    for part in spelled.split(","):
        if part.strip():
            ip_network(part.strip())
    return spelled


class Settings(BaseModel):
    """What the services need to know. Each field is also a variable: `http_port` is `MAKIBA_HTTP_PORT`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    home: _AsPath = Field(default=Path("~/.makiba").expanduser(), description="Folder for databases, keys and logs")
    http_host: str = Field(default="127.0.0.1", description="Address the pages are served on")
    http_port: _AsInt = Field(default=8800, ge=1, le=65535, description="Port of the pages")
    public_url: str = Field(default="", description="Address that phones use; empty: http://HTTP_HOST:HTTP_PORT")
    mqtt_host: str = Field(default="127.0.0.1", description="Broker's address")
    mqtt_port: _AsInt = Field(default=8883, ge=1, le=65535, description="Broker's port (TLS)")
    pki: _AsPath | None = Field(
        default=None, description="Folder with ca.pem and a NAME.pem and NAME.key per service"
    )
    store: str = Field(
        default="", description="sqlite:PATH or influx+http(s)://HOST:PORT/DATABASE; empty: HOME/store.db"
    )
    store_user: str = Field(default="", description="InfluxDB 1.x user")
    store_password: _AsSecret | None = Field(default=None, description="InfluxDB 1.x password")
    store_token: _AsSecret | None = Field(default=None, description="InfluxDB 2.x token")
    store_secrets: _AsPath | None = Field(
        default=None, description="Folder with a file per store server: its password or token"
    )
    keep_raw: str = Field(
        default="", pattern=_DAYS, description="How long readings are kept, such as 400d; empty: for ever"
    )
    keep_text: str = Field(default="", pattern=_DAYS, description="How long texts (states of devices) are kept")
    keep_minute: str = Field(default="", pattern=_DAYS, description="How long minutes are kept (min, mean, max …)")
    keep_quarter: str = Field(default="", pattern=_DAYS, description="How long quarters of an hour are kept")
    keep_day: str = Field(default="", pattern=_DAYS, description="How long days are kept")
    registry: str = Field(default="", description="sqlite:PATH or postgresql://…; empty: HOME/registry.db")
    registry_password: _AsSecret | None = Field(default=None, description="PostgreSQL password")
    api_key: _AsSecret | None = Field(
        default=None, description="Key that cursors are signed with, the same on all machines; empty: HOME/api.key"
    )
    api_rate: _AsInt = Field(
        default=1200, ge=0, description="Requests a minute of one person or program; 0: as many as they like"
    )
    api_rate_address: _AsInt = Field(
        default=600, ge=0, description="Requests a minute of one address that is not signed in; 0: any number"
    )
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = Field(
        default="", description="Networks whose X-Forwarded-For is believed, such as 127.0.0.1/32,10.0.0.0/8"
    )
    import_mb: _AsInt = Field(default=20, ge=1, le=64, description="Largest file of an import by the pages, in MB")
    metrics_port: _AsInt = Field(
        default=0, ge=0, le=65533, description="Port for OpenMetrics on this machine's loopback; 0: none"
    )
    ingest_host: str = Field(
        default="127.0.0.1", description="Address on which `makiba collect` takes SenML over HTTP"
    )
    ingest_port: _AsInt = Field(
        default=0, ge=0, le=65535, description="Port on which `makiba collect` takes SenML over HTTP; 0: none"
    )
    lorawan_broker: str = Field(
        default="", description="ChirpStack's broker: mqtt://HOST:PORT (this machine) or mqtts://USER@HOST:PORT"
    )
    lorawan_password: _AsSecret | None = Field(default=None, description="Password at ChirpStack's broker")
    lorawan_ca: _AsPath | None = Field(default=None, description="CA of ChirpStack's broker; empty: the system's")
    lorawan_cert: _AsPath | None = Field(default=None, description="Own certificate at ChirpStack's broker")
    lorawan_key: _AsPath | None = Field(default=None, description="Its key")
    lorawan_client: str = Field(
        default="makiba-lorawan", description="Client id at ChirpStack's broker; another one on each collector"
    )
    lorawan_application: str = Field(default="+", description="Id of ChirpStack's application; +: all of them")
    lorawan_profiles: _AsPath | None = Field(
        default=None, description="Folder of LoRaWAN profiles; default: those that come with Makiba"
    )
    weather_jma: str = Field(default="https://www.jma.go.jp", description="The weather agency's pages (JSON)")
    weather_jma_xml: str = Field(default="https://www.data.jma.go.jp", description="The weather agency's XML feeds")
    weather_warnings: Literal["json", "xml"] = Field(
        default="json", description="Where warnings are read: json (the pages) or xml (the feeds)"
    )
    weather_wagri: str = Field(default="https://api.wagri2.net", description="WAGRI's address")
    weather_wagri_token: _AsSecret | None = Field(
        default=None, description="Token for WAGRI's forecast; empty: it is not asked"
    )
    oidc_issuer: str = Field(
        default="", description="Address of the OIDC provider of the co-op's accounts, as it writes it; empty: none"
    )
    oidc_client: str = Field(default="", description="Id by which the provider knows this Makiba")
    oidc_secret: _AsSecret | None = Field(default=None, description="Secret for it; empty: a public client")
    oidc_label_ja: str = Field(default="農協の アカウント", description="What the way in is called in Japanese")
    oidc_label_en: str = Field(default="Co-op account", description="What the way in is called in English")
    oidc_claim: str = Field(
        default="sub",
        description="Claim by which a person is known: sub, or email (verified), or one of the provider's",
    )
    oidc_domains: str = Field(
        default="", description="Only mail addresses (verified) of these domains; with commas; empty: any account"
    )
    oidc_groups: str = Field(
        default="", description="What groups give: GROUP=ROLE:SITE,SITE;GROUP=…; roles coop, town, vet, technician"
    )
    oidc_groups_claim: str = Field(default="groups", description="Claim that names a person's groups")
    oidc_create: Literal["off", "on"] = Field(
        default="off", description="on: an account that nobody has here makes a new person"
    )
    oidc_ca: _AsPath | None = Field(default=None, description="CA of the provider; empty: the system's")
    home_assistant_broker: str = Field(
        default="",
        description="Home Assistant's broker: mqtt://HOST:PORT (this machine) or mqtts://USER@HOST:PORT; empty: off",
    )
    home_assistant_password: _AsSecret | None = Field(default=None, description="Password at Home Assistant's broker")
    home_assistant_ca: _AsPath | None = Field(
        default=None, description="CA of Home Assistant's broker; empty: the system's"
    )
    home_assistant_site: str = Field(default="", description="The farm that Home Assistant is told of")
    home_assistant_person: str = Field(
        default="", description="Login of one of the farm's own people: Home Assistant sees with their eyes"
    )
    home_assistant_prefix: str = Field(
        default="homeassistant", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Home Assistant's discovery prefix"
    )
    home_assistant_language: Literal["ja", "en"] = Field(
        default="ja", description="Language of the names that Home Assistant is told"
    )
    line_token: _AsSecret | None = Field(
        default=None, description="Access token of the LINE account's channel; empty: nothing is sent by LINE"
    )
    line_secret: _AsSecret | None = Field(
        default=None, description="The channel's secret, by which we know LINE when it calls; empty: nobody is heard"
    )
    line_id: str = Field(
        default="",
        pattern=r"^(@[A-Za-z0-9._-]{1,40})?$",
        description="Basic ID of the LINE account, such as @123abcde",
    )
    line_api: str = Field(default="https://api.line.me", description="LINE's address")
    line_monthly: _AsInt = Field(default=0, ge=0, description="Messages of the LINE plan a month; 0: LINE is asked")
    line_charts: Literal["off", "on"] = Field(
        default="on", description="on: LINE is shown the chart of an alert, by an address that holds for a day"
    )
    vapid_key: _AsSecret | None = Field(
        default=None,
        description="Key for Web Push (PEM), the same on all machines; empty: HOME/vapid.pem, made when needed",
    )
    vapid_contact: str = Field(
        default="", description="mailto: or https: where push services reach the operator; empty: no Web Push"
    )
    push_hosts: str = Field(
        default="", description="Push services besides the browsers' own, with commas; 127.0.0.1 may go without TLS"
    )
    mail_host: str = Field(default="", description="Mail server that takes our mail; empty: no mail")
    mail_port: _AsInt = Field(default=587, ge=1, le=65535, description="Its port")
    mail_tls: Literal["starttls", "tls", "off"] = Field(
        default="starttls", description="starttls, tls from the start, or off (only to this machine)"
    )
    mail_user: str = Field(default="", description="User at the mail server; empty: none")
    mail_password: _AsSecret | None = Field(default=None, description="Its password")
    mail_from: str = Field(default="", description="Address that mail comes from")
    mail_ca: _AsPath | None = Field(default=None, description="CA of the mail server; empty: the system's")
    webhook: Literal["off", "on"] = Field(default="off", description="on: people may have alerts sent to an address")
    webhook_networks: Annotated[str, AfterValidator(_networks)] = Field(
        default="", description="Private networks that webhooks may go to, such as 192.168.1.0/24; empty: none"
    )
    voice_url: str = Field(default="", description="Gateway that calls people, see notify.md; empty: no calls")
    voice_token: _AsSecret | None = Field(default=None, description="Token for it")
    sms_url: str = Field(default="", description="Gateway that sends SMS, as for calls; empty: no SMS")
    sms_token: _AsSecret | None = Field(default=None, description="Token for it")
    heartbeat_url: str = Field(
        default="",
        pattern=r"^(https://.+|http://(127\.0\.0\.1|localhost)[:/].*)?$",
        description="Address outside that rings when it is not asked every minute (dead-man's switch); empty: none",
    )
    rules: _AsPath | None = Field(default=None, description="Folder of rules; default: those that come with Makiba")

    @property
    def store_url(self) -> str:
        return self.store or f"sqlite:{self.home / 'store.db'}"

    @property
    def registry_url(self) -> str:
        return self.registry or f"sqlite:{self.home / 'registry.db'}"

    @property
    def pki_dir(self) -> Path:
        return self.pki or self.home / "pki"

    @property
    def rules_dir(self) -> Path:
        return self.rules or configs_dir() / "rules"

    @property
    def lorawan_profiles_dir(self) -> Path:
        return self.lorawan_profiles or configs_dir() / "lorawan"

    @property
    def tells(self) -> bool:
        """Whether something is set up by which people are told, or by which silence is noticed."""
        ways = (self.line_token, self.vapid_contact, self.mail_host, self.sms_url, self.voice_url, self.heartbeat_url)
        return any(ways) or self.webhook == "on" or self.public_url.startswith("https://")

    @property
    def address(self) -> str:
        """Where a person opens the pages."""
        return self.public_url or f"http://{self.http_host}:{self.http_port}"

    def mqtt(self, service: str) -> MqttOptions:
        """How `service` (`collector`, `analytics`, `api`) reaches the broker, with its own certificate."""
        folder = self.pki_dir
        tls = TlsOptions(ca=folder / "ca.pem", cert=folder / f"{service}.pem", key=folder / f"{service}.key")
        return MqttOptions(host=self.mqtt_host, port=self.mqtt_port, tls=tls)


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force; `ConfigErrors` names the file's line or the variable that is wrong."""
    environ = os.environ if environ is None else environ
    given: dict[str, Any] = {}
    for variable, text in environ.items():
        if variable.startswith(PREFIX) and variable not in (PREFIX + "CONFIG",):
            name = variable.removeprefix(PREFIX).lower()
            if name.endswith("_file") and name.removesuffix("_file") in Settings.model_fields:
                given[name.removesuffix("_file")] = _secret_file(variable, text)
            elif name in Settings.model_fields:
                given[name] = text
            elif hint := nearest(variable, [PREFIX + f.upper() for f in Settings.model_fields]):
                raise ConfigErrors([Problem(variable, 1, 1, "", f"no such setting{hint}")])
    file = environ.get(PREFIX + "CONFIG")
    path = Path(file) if file else Path(given.get("home", Settings().home)).expanduser() / "makiba.yaml"
    data: dict[str, Any] = {}
    located: Located | None = None
    if file or path.is_file():
        located = load_located(path)
        if not isinstance(located.data, dict):
            raise ConfigErrors([located.problem((), "expected a mapping of settings")])
        data = located.data
        located.validate(Settings)
    try:
        return Settings.model_validate({**data, **given})
    except ValueError:
        # The file alone was right, so that a variable is wrong: name it as its user wrote it.
        places: dict[tuple[str | int, ...], tuple[int, int]] = {
            (): (1, 1),
            **{(name,): (1, 1) for name in given},
        }
        merged = Located("environment", {**data, **given}, places)
        try:
            merged.validate(Settings)
        except ConfigErrors as errors:
            raise ConfigErrors(
                [Problem(PREFIX + p.path.upper(), 1, 1, "", p.message) for p in errors.problems]
            ) from None
        raise


def _secret_file(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigErrors([Problem(variable, 1, 1, "", f"{path}: {error.strerror}")]) from None


def configs_dir() -> Path:
    """The folder `firmware_configs` that came with this installation or checkout."""
    here = Path(__file__).resolve().parent
    for folder in (here / "firmware_configs", here.parent / "firmware_configs"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError("firmware_configs is neither in the package nor beside it; install makiba again")
