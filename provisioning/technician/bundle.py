"""What a lamppost's computer is given: configuration, trust roots, claim, a script for the rest, a label.

Pure: names and bytes. `delivering.py` puts them where they belong.

    trust.pem    tells the real server from a false one
    install.sh   as root, on the lamppost: installs, asks for the certificate, checks, starts
    label.svg    to print
    README.txt   what to do with it
    agent.toml   0600: it holds the claim; written last, so that what has it is whole
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from provisioning.claims import parse_token_text
from provisioning.errors import BadSetting
from provisioning.technician import label
from provisioning.technician.home import Settings
from provisioning.technician.installer import INSTALL, README
from wire_contract.topics import Address

# Which kinds there are is the agent's word (`agent_check.py`). A port is any absolute path, as an emulator's.
_SENSOR = re.compile(r"([^:,\s][^:]{0,63}):([A-Za-z0-9]{2,16}):(/[^\s\"']{1,200})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
EVERY_S = 60
SITE_MOST = 64  # characters that the agent takes; on the server and the label it is whole
PRIVATE = "agent.toml"  # holds the claim


@dataclass(frozen=True)
class Sensor:
    name: str
    kind: str
    port: str
    serial: str = ""


@dataclass(frozen=True)
class Bundle:
    """`claim` is "<id>.<secret>" and stays out of every repr."""

    address: Address
    settings: Settings
    claim: str = field(repr=False)
    site: str = ""
    sensors: Sequence[Sensor] = ()
    latitude: float | None = None
    longitude: float | None = None
    wait_for_time: bool = True  # most lamppost computers have no battery for their clock

    @property
    def claim_id(self) -> str:
        return self.claim.partition(".")[0]

    @property
    def label(self) -> label.Label:
        return label.Label(self.settings.pages_url, self.claim_id, str(self.address), self.site)


def sensor_of(text: str) -> Sensor:
    """From NAME:KIND:PORT, as in pm:pms5003:/dev/ttyAMA0. Raises BadSetting."""
    found = _SENSOR.fullmatch(text)
    if found is None:
        raise BadSetting(
            f"{text!r:.100} is no sensor",
            "Write NAME:KIND:PORT, the port from the / on, as in pm:pms5003:/dev/ttyAMA0",
        )
    return Sensor(*found.groups())


def serial_of(text: str) -> tuple[str, str]:
    """(sensor, serial number) from NAME=SERIAL. Raises BadSetting."""
    name, equals, serial = text.partition("=")
    if not name or not equals or not serial or len(serial) > SITE_MOST or _CONTROL.search(serial):
        raise BadSetting(f"{text!r:.100} is no serial number of a sensor", "Write NAME=SERIAL, as in pm=2F81")
    return name, serial


def files(bundle: Bundle) -> dict[str, bytes]:
    """File name to content, in the order in which they are written. Raises BadSetting."""
    if parse_token_text(bundle.claim) is None:
        raise BadSetting("the claim is not <id>.<secret>", "Copy it whole")
    settings = bundle.settings
    if "-----BEGIN CERTIFICATE-----" not in settings.trust_pem:
        raise BadSetting("the city's trust roots are not known", "Sign in once: lamppost provision sign-in")
    if not (settings.enrolment_url.startswith("https://") and settings.broker_host):
        raise BadSetting("the server's addresses are not known", "Sign in once with a connection")
    return {
        "trust.pem": settings.trust_pem.encode(),
        "install.sh": INSTALL.encode(),
        "label.svg": label.svg(bundle.label).encode(),
        "README.txt": README.format(device=bundle.address, claim=bundle.claim_id).encode(),
        PRIVATE: agent_toml(bundle).encode(),
    }


def agent_toml(bundle: Bundle) -> str:
    """The agent's configuration, as `lamppost agent config` checks it."""
    place = ""
    if bundle.latitude is not None and bundle.longitude is not None:
        place = f"latitude = {bundle.latitude!r}\nlongitude = {bundle.longitude!r}\n"
    sensors = "".join(
        f"\n[[sensor]]\nname = {toml(s.name)}\nkind = {toml(s.kind)}\nport = {toml(s.port)}\n"
        f"every_s = {EVERY_S}\n" + (f"serial = {toml(s.serial)}\n" if s.serial else "")
        for s in bundle.sensors
    )
    return (
        f"[device]\ntenant = {toml(bundle.address.tenant)}\nname = {toml(bundle.address.device)}\n"
        f"site = {toml(bundle.site[:SITE_MOST])}\n{place}"
        f"wait_for_time_sync = {str(bundle.wait_for_time).lower()}\n"
        f"\n[server]\nhost = {toml(bundle.settings.broker_host)}\nport = {bundle.settings.broker_port}\n"
        f"\n[enrolment]\nurl = {toml(bundle.settings.enrolment_url)}\nclaim = {toml(bundle.claim)}\n"
        f'ca_file = "/etc/lamppost/trust.pem"\n{sensors}'
    )


def toml(value: str) -> str:
    """As a TOML basic string. Raises BadSetting for control characters."""
    if _CONTROL.search(value):
        raise BadSetting(f"{value!r:.60} has a control character")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


_TABLE = re.compile(r"^\s*\[\[?\s*([A-Za-z_]+)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*(name|serial)\s*=\s*\"((?:[^\"\\]|\\.)*)\"\s*(?:#.*)?$")


def with_serial(text: str, sensor: str, serial: str) -> str:
    """An agent.toml where the sensor of this name has another serial number; everything else is as it was.

    Raises BadSetting where there is no such sensor.
    """
    lines = text.splitlines()
    there: list[str] = []
    starts = [n for n, line in enumerate(lines) if _TABLE.match(line)] + [len(lines)]
    for first, end in pairwise(starts):
        table = _TABLE.match(lines[first])
        keys = {found[1]: n for n in range(first, end) if (found := _KEY.match(lines[n]))}
        named = _KEY.match(lines[keys["name"]]) if "name" in keys else None
        if table is None or table[1] != "sensor" or named is None:
            continue
        there.append(toml_text(named[2]))
        if there[-1] != sensor:
            continue
        line = f"serial = {toml(serial)}"
        if "serial" in keys:
            lines[keys["serial"]] = line
        else:
            lines.insert(keys["name"] + 1, line)
        return "\n".join(lines) + "\n"
    known = f"It has {', '.join(map(repr, there))}" if there else "It has none"
    raise BadSetting(f"the configuration has no sensor {sensor!r:.64}", known)


def toml_text(escaped: str) -> str:
    return escaped.replace('\\"', '"').replace("\\\\", "\\")
