"""The server's configuration: `server.toml` beside this file has every key, its meaning and its default.

A wrong configuration raises `WrongValue`, which names the file, the key, the value and what is allowed.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field, fields
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from fleet_server.accept_policy import AcceptRule
from fleet_server.config_rules import RULES, Listen, Refused
from fleet_server.errors import ConfigurationError, WrongValue
from fleet_server.people_rules import OIDC_KEYS, GroupGrant
from fleet_server.secrets_by_reference import read_secret

MOST_SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path has 108 bytes, the last of them zero (unix(7))

__all__ = ["Listen", "ServerConfig", "explained", "load_config"]


@dataclass(frozen=True)
class TenantConfig:
    name: str


@dataclass(frozen=True)
class DatabaseConfig:
    url: str = field(repr=False)  # embedded:DIR with an absolute DIR, or postgresql:// with its password
    commit_timestamps: bool
    timescale: str = "auto"  # or "off"

    @property
    def embedded_directory(self) -> Path | None:
        """The folder of the embedded PostgreSQL; None where the database stands elsewhere."""
        return Path(self.url.removeprefix("embedded:")) if self.url.startswith("embedded:") else None


@dataclass(frozen=True)
class BrokerConfig:
    host: str
    port: int
    managed: bool
    listen: str
    ca_file: Path
    certificate_file: Path
    key_file: Path
    most_connections: int = 10_000
    # Where the server's roles connect instead of host and port: a broker of our own on this machine.
    server_socket: Path | None = None


@dataclass(frozen=True)
class AuthorityConfig:
    directory: Path
    server_names: tuple[str, ...]


@dataclass(frozen=True)
class EnrolmentConfig:
    """accept: who is let in without a person."""

    accept: tuple[AcceptRule, ...]


@dataclass(frozen=True)
class ApiConfig:
    listen: Listen
    device_listen: Listen | None
    device_certificate_file: Path
    device_key_file: Path
    max_body_bytes: int
    behind_tls: bool


@dataclass(frozen=True)
class UiConfig:
    listen: Listen
    secret_file: Path
    map_tiles: str  # an address with {z}, {x}, {y}; "": a map without tiles
    map_attribution: str


@dataclass(frozen=True)
class SignInConfig:
    key_file: Path  # seals second factors
    second_factor_roles: tuple[str, ...]  # of local accounts


@dataclass(frozen=True)
class AccessConfig:
    two_person: str  # "auto", "on" or "off"


@dataclass(frozen=True)
class OidcConfig:
    """issuer "": nobody signs in through a provider. client_secret: where it lies; "": a public client."""

    issuer: str
    client_id: str
    client_secret: str
    pages: str  # the address under which browsers reach the pages
    title: str
    scopes: tuple[str, ...]
    name_claim: str
    groups_claim: str
    grants: tuple[GroupGrant, ...]
    session_longest: timedelta
    ca_file: Path | None


@dataclass(frozen=True)
class IngestConfig:
    workers: int
    group_messages: int
    group_age_ms: int


@dataclass(frozen=True)
class LimitsConfig:
    """What of one device is a flood, each a minute, and what follows; WebSockets of one address at once."""

    flood_messages: int
    flood_megabytes: int
    flood_hold: bool
    flood_pause_minutes: int
    tunnels_per_address: int


@dataclass(frozen=True)
class RetentionConfig:
    """For how many days each is kept; 0: for ever."""

    short_days: int
    standard_days: int
    long_days: int
    minutes_days: int
    hours_days: int
    days_days: int
    verdicts_days: int
    dead_letters_days: int
    audit_days: int = 730
    names_days: int = 730
    addresses_days: int = 90

    def of_class(self, name: str) -> int:
        return {"short": self.short_days, "standard": self.standard_days, "long": self.long_days}[name]


@dataclass(frozen=True)
class LogConfig:
    json: bool
    files: bool


@dataclass(frozen=True)
class BenchConfig:
    clock_file: Path | None


@dataclass(frozen=True)
class ServerConfig:
    """Checked and complete: every path absolute, every default filled in. `file` is None for the defaults."""

    file: Path | None
    data_dir: Path
    tenant: TenantConfig
    database: DatabaseConfig
    broker: BrokerConfig
    authority: AuthorityConfig
    enrolment: EnrolmentConfig
    api: ApiConfig
    ui: UiConfig
    sign_in: SignInConfig
    access: AccessConfig
    oidc: OidcConfig
    ingest: IngestConfig
    limits: LimitsConfig
    retention: RetentionConfig
    log: LogConfig
    bench: BenchConfig

    @property
    def certificates_directory(self) -> Path:
        """Where the certificates lie that the server makes for its own roles."""
        return self.data_dir / "certificates"


def explained() -> str:
    """The documented configuration, every key with its default."""
    return files("fleet_server").joinpath("server.toml").read_text(encoding="utf-8")


def default_data_dir() -> Path:
    """/var/lib/lamppost for root, else the user's own data folder (XDG base directories)."""
    if os.geteuid() == 0:
        return Path("/var/lib/lamppost")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "lamppost"


def load_config(file: Path | None = None, *, data_dir: Path | None = None) -> ServerConfig:
    """Read `file` over the defaults. `data_dir` (the option --data) goes before the file's.

    Raises ConfigurationError (file missing, unreadable, not TOML) and WrongValue.
    """
    given = {} if file is None else _read(file)
    values = {key: rule(default) for (key, rule), default in zip(RULES.items(), _defaults(), strict=True)}
    for key, value in _flatten(given).items():
        values[key] = _checked(file, key, value)
    base = Path.cwd() if file is None else file.resolve().parent
    return _build(None if file is None else file.resolve(), values, base, data_dir)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"{file}: there is no such file.", remedy="Write one from `lamppost serve --explain`."
        ) from None
    except (OSError, UnicodeDecodeError) as unreadable:
        raise ConfigurationError(f"{file}: cannot be read: {unreadable}.") from None
    except tomllib.TOMLDecodeError as broken:
        raise ConfigurationError(f"{file}: is not TOML: {broken}.") from None


def _defaults() -> list[Any]:
    documented = _flatten(tomllib.loads(explained()))
    return [documented[key] for key in RULES]


def _flatten(table: dict[str, Any]) -> dict[str, Any]:
    """{"api": {"listen": x}} -> {"api.listen": x}; sections are one level deep."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": v for inner, v in value.items()} or {f"{name}.": {}}
        else:
            flat[name] = value
    return {key: value for key, value in flat.items() if not key.endswith(".")}


def _checked(file: Path | None, key: str, value: object) -> Any:
    rule = RULES.get(key)
    where = file or "server.toml"
    if rule is None:
        section = key.partition(".")[0]
        siblings = [k for k in RULES if k.partition(".")[0] == section] or list(RULES)
        raise WrongValue(where, key, value, "only a key that exists: " + ", ".join(siblings))
    try:
        return rule(value)
    except Refused as refused:
        raise WrongValue(where, key, _without_password(value), str(refused)) from None


def _without_password(value: object) -> object:
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", value) if isinstance(value, str) else value


def _build(file: Path | None, v: dict[str, Any], base: Path, override: Path | None) -> ServerConfig:
    data = (override.absolute() if override else base / v["data_dir"]) if override or v["data_dir"] else None
    home = data or default_data_dir()
    certificates = home / "certificates"

    def path(key: str, otherwise: Path) -> Path:
        return base / v[key] if v[key] else otherwise

    url = v["database.url"]
    if url.startswith("embedded:"):
        inside = url.removeprefix("embedded:")
        url = f"embedded:{base / inside if inside else home / 'postgres'}"
    elif v["database.password"]:
        url = with_password(url, read_secret("database.password", v["database.password"]))
    return ServerConfig(
        file=file,
        data_dir=home,
        tenant=TenantConfig(v["tenant.name"]),
        database=DatabaseConfig(url, v["database.commit_timestamps"], v["database.timescale"]),
        broker=BrokerConfig(
            v["broker.host"],
            v["broker.port"],
            v["broker.managed"],
            v["broker.listen"],
            path("broker.ca_file", certificates / "ca.pem"),
            path("broker.certificate_file", certificates / "ingest.pem"),
            path("broker.key_file", certificates / "ingest.key"),
            v["broker.most_connections"],
            server_socket(home) if v["broker.managed"] else None,
        ),
        authority=AuthorityConfig(
            path("authority.directory", home / "authority"), v["authority.server_names"]
        ),
        enrolment=EnrolmentConfig(v["enrolment.accept"]),
        api=ApiConfig(
            v["api.listen"],
            v["api.device_listen"],
            path("api.device_certificate_file", certificates / "server.pem"),
            path("api.device_key_file", certificates / "server.key"),
            v["api.max_body_bytes"],
            v["api.behind_tls"],
        ),
        ui=UiConfig(
            v["ui.listen"],
            path("ui.secret_file", home / "ui.secret"),
            v["ui.map_tiles"],
            v["ui.map_attribution"],
        ),
        sign_in=SignInConfig(path("sign_in.key_file", home / "people.key"), v["sign_in.second_factor_roles"]),
        access=AccessConfig(v["access.two_person"]),
        oidc=_oidc(file, v, base),
        ingest=IngestConfig(
            v["ingest.workers"] or min(2, os.cpu_count() or 1),  # one works while the other waits
            v["ingest.group_messages"],
            v["ingest.group_age_ms"],
        ),
        limits=LimitsConfig(**{each.name: v[f"limits.{each.name}"] for each in fields(LimitsConfig)}),
        retention=_retention(file, v),
        log=LogConfig(v["log.json"], v["log.files"]),
        bench=BenchConfig(base / v["bench.clock_file"] if v["bench.clock_file"] else None),
    )


def with_password(url: str, password: str) -> str:
    """The URL's account with this password. Raises ConfigurationError where it names no account."""
    parts = urlsplit(url)
    if not parts.username:
        raise ConfigurationError("database.url names no account for database.password.")
    account, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{account.partition(':')[0]}:{quote(password, safe='')}@{place}").geturl()


def server_socket(home: Path) -> Path | None:
    """The socket of a broker of our own; None where the folder's path is too long for one."""
    socket = home.absolute() / "broker" / "server.sock"
    return socket if len(str(socket).encode()) <= MOST_SOCKET_PATH_BYTES else None


def _oidc(file: Path | None, v: dict[str, Any], base: Path) -> OidcConfig:
    """Raises WrongValue where a provider is named and not what is needed to speak with it."""
    given = {name: v[f"oidc.{name}"] for name in OIDC_KEYS}
    for name in ("client_id", "pages"):
        if given["issuer"] and not given[name]:
            raise WrongValue(file or "server.toml", f"oidc.{name}", "", "not empty while oidc.issuer is set")
    return OidcConfig(**given, ca_file=base / v["oidc.ca_file"] if v["oidc.ca_file"] else None)


def _retention(file: Path | None, v: dict[str, Any]) -> RetentionConfig:
    """Raises WrongValue where what is made of something would go before it."""
    made = RetentionConfig(**{field.name: v[f"retention.{field.name}"] for field in fields(RetentionConfig)})
    for finer, coarser in (("minutes_days", "hours_days"), ("hours_days", "days_days")):
        least, given = getattr(made, finer), getattr(made, coarser)
        if given and (not least or given < least):
            allowed = f"0 (for ever), or at least retention.{finer} ({least or 'for ever'})"
            raise WrongValue(file or "server.toml", f"retention.{coarser}", given, allowed)
    return made
