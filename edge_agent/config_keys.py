"""Every key of the agent's configuration: its type, default, what is allowed, what it is for.

The dataclasses are the one source: the reader (`config.py`), `lamppost agent config --explain` and the
documented file `agent.toml` are made from them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from air_quality.place import cell_of
from edge_agent.core.allow_list import FINEST_CELL
from firmware_bridge.kinds import SensorKind
from wire_contract.topics import NAME_PATTERN

REQUIRED = object()  # a key without a default
MIB = 1 << 20


def key(
    doc: str,
    default: Any = REQUIRED,
    *,
    example: Any = None,
    low: float | None = None,
    high: float | None = None,
    pattern: str = "",
    allowed: str = "",
    choices: tuple[str, ...] = (),
    path: bool = False,
) -> Any:
    """A field and what is allowed in it. `example`: agent.toml shows it where there is no default or None."""
    metadata = {
        "doc": doc,
        "required": default is REQUIRED,
        "example": example,
        "low": low,
        "high": high,
        "pattern": pattern,
        "allowed": allowed,
        "choices": choices,
        "path": path,
    }
    if default is REQUIRED:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


def name_key(doc: str, example: str) -> Any:
    """A key that holds a name of the wire."""
    rule = "1 to 63 of a-z, 0-9 and '-', not at either end"
    return key(doc, example=example, pattern=NAME_PATTERN, allowed=rule)


def path_key(doc: str, default: str) -> Any:
    """A key for a file or a folder; a relative one counts from the folder of the configuration."""
    return key(doc, default, path=True)


def words_key(doc: str, default: Any = "", *, example: Any = None) -> Any:
    """A key for words of people's own, as many as the wire carries of a name."""
    rule = "at most 64 characters, none of them a control character"
    return key(doc, default, example=example, pattern=r"[^\x00-\x1f\x7f]{0,64}", allowed=rule)


@dataclass(frozen=True)
class Device:
    """Who this lamppost is."""

    tenant: str = name_key("The city, as in the certificate's common name tenant/name.", "city")
    name: str = name_key("The lamppost, unique in its city.", "post-0042")
    site: str = words_key("Where it stands, for you; stays on the device, as the place does.")
    latitude: float | None = key(
        "Degrees north; the exact place, which never leaves the device.",
        None,
        example=52.5163,
        low=-90,
        high=90,
    )
    longitude: float | None = key("Degrees east.", None, example=13.3777, low=-180, high=180)
    cell_precision: int = key(
        "What leaves instead: its geohash cell. 6 characters are 1.2 by 0.6 km, 5 are 5 by 5, 4 39 by 20.",
        FINEST_CELL,
        low=1,
        high=FINEST_CELL,
    )
    data_dir: str = path_key("Key, certificate and spool live here.", "/var/lib/lamppost")
    wait_for_time_sync: bool = key(
        "Samples get no time until a time service has set the clock; true where it has no battery.", False
    )


@dataclass(frozen=True)
class Server:
    """Where the city's MQTT broker is. Mutual TLS; the three files come from enrolment."""

    host: str = key(
        "The broker's host name, as in its certificate.",
        example="lamppost.city.example",
        pattern=r"[A-Za-z0-9._:-]{1,253}",
        allowed="a host name or an address, without https:// and port",
    )
    port: int = key("The broker's MQTT-over-TLS port.", 8883, low=1, high=65_535)
    transport: str = key(
        "tls: that port; websocket: through the web's, where a site lets nothing else out; auto: what works.",
        "auto",
        choices=("auto", "tls", "websocket"),
    )
    websocket_port: int = key("The server's device address, for websocket and auto.", 443, low=1, high=65_535)
    ca_file: str = path_key("The city's authority; empty: <data_dir>/identity/ca.pem.", "")
    certificate_file: str = path_key("This device's certificate; empty: <data_dir>/identity/device.pem.", "")
    key_file: str = path_key("This device's key; empty: <data_dir>/identity/device.key.", "")
    keepalive_s: int = key("A dead connection is noticed after 1.5 times this.", 30, low=5, high=3600)


@dataclass(frozen=True)
class Enrolment:
    """How this device gets its first certificate (docs/technician.md)."""

    url: str = key(
        "The server's device address.",
        "",
        pattern=r"(https://.+)?",
        allowed="an address that begins with https://, or empty",
    )
    claim: str = key(
        "The claim a technician was given.",
        "",
        pattern=r"([^.\s:]+\.[^\s:]+)?",
        allowed="<id>.<secret> as it was given, or empty",
    )
    ca_file: str = path_key("Verifies the server at enrolment; the technician brings it.", "")


@dataclass(frozen=True)
class SensorKeys:
    """One sensor; repeat the table for each."""

    name: str = words_key("A name for people; conditions name it.", REQUIRED, example="front")
    kind: str = key("What it is.", example="pms5003", choices=tuple(kind.value for kind in SensorKind))
    port: str = key("Its serial port; /dev/serial/by-path names stay the same.", example="/dev/ttyUSB0")
    every_s: float = key("One sample each so many seconds.", 60.0, low=1, high=3600)
    serial: str = words_key("Its serial number, for kinds that do not tell theirs: change it with the unit.")
    site: str = words_key("Where on the post it sits; empty: its name.")
    duty_cycle: bool = key("Switch fan and laser off between samples, to save their life.", False)
    warm_up_s: float = key("Awake so long before a sample; -1: as its kind needs.", -1.0, low=-1, high=600)


@dataclass(frozen=True)
class Telemetry:
    """What is sent, when, and how much of it."""

    flush_interval_s: float = key("Live samples are sent each so many seconds.", 10.0, low=1, high=60)
    budget_mb: float = key(
        "Megabytes on the wire in a calendar month; from 80 % on it saves. 0: no limit.", 0.0, low=0, high=1e6
    )


@dataclass(frozen=True)
class SpoolKeys:
    """What is kept while the server cannot be reached. Past a limit the least important goes."""

    max_bytes: int = key("The spool uses at most this.", 512 * MIB, low=MIB, high=1 << 40)
    min_free_bytes: int = key("It leaves at least this free on its disk.", 64 * MIB, low=0, high=1 << 40)
    min_free_inodes: int = key("Fewer free inodes are a condition.", 1000, low=0, high=1 << 40)
    history_ttl_days: float = key("Samples older than this are given up.", 30.0, low=0.01, high=3650)
    diagnostic_ttl_days: float = key("The same for conditions' history.", 7.0, low=0.01, high=3650)


@dataclass(frozen=True)
class ModelKeys:
    """What tells pollution from a faulty sensor, here on the device (docs/device.md)."""

    runtime: str = key("What runs it; rule: no model.", "litert", choices=("litert", "onnx", "rule"))
    directory: str = path_key(
        "A model's folder, with its manifest.json; empty: the one that came with the agent.", ""
    )


@dataclass(frozen=True)
class Commands:
    """What the server may have this lamppost do beyond looking at itself and restarting the agent."""

    reboot: bool = key("Let it restart the computer (systemctl reboot).", False)


@dataclass(frozen=True)
class Bench:
    """For the demo and for tests; leave it out on a lamppost."""

    clock_speed: float = key("Street seconds a real second.", 1.0, low=0.1, high=3600)
    clock_file: str = path_key("Take clock and speed from this file; the agent waits for it.", "")
    backoff_max_s: float = key("The longest wait between two attempts to connect.", 120.0, low=0.1, high=3600)
    insecure_broker: bool = key("Plain TCP to a broker on this machine; refused for any other.", False)


@dataclass(frozen=True)
class AgentConfig:
    """The whole file. `source` is where it was read."""

    source: Path
    device: Device
    server: Server
    enrolment: Enrolment
    sensors: tuple[SensorKeys, ...]
    telemetry: Telemetry
    spool: SpoolKeys
    model: ModelKeys
    commands: Commands
    bench: Bench

    @property
    def cell(self) -> str:
        """The public cell of the place; "" where none is configured."""
        latitude, longitude = self.device.latitude, self.device.longitude
        if latitude is None or longitude is None:
            return ""
        return cell_of(latitude, longitude, self.device.cell_precision)

    @property
    def data_dir(self) -> Path:
        return Path(self.device.data_dir)

    @property
    def identity_dir(self) -> Path:
        return self.data_dir / "identity"

    @property
    def ca_file(self) -> Path:
        return Path(self.server.ca_file or self.identity_dir / "ca.pem")

    @property
    def certificate_file(self) -> Path:
        return Path(self.server.certificate_file or self.identity_dir / "device.pem")

    @property
    def key_file(self) -> Path:
        return Path(self.server.key_file or self.identity_dir / "device.key")

    @property
    def spool_dir(self) -> Path:
        return self.data_dir / "spool"


# section of the file -> (field of AgentConfig, its keys)
SECTIONS: dict[str, tuple[str, type]] = {
    "device": ("device", Device),
    "server": ("server", Server),
    "enrolment": ("enrolment", Enrolment),
    "sensor": ("sensors", SensorKeys),
    "telemetry": ("telemetry", Telemetry),
    "spool": ("spool", SpoolKeys),
    "model": ("model", ModelKeys),
    "commands": ("commands", Commands),
    "bench": ("bench", Bench),
}
