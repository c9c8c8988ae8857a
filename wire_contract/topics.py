"""MQTT topics: `lp/1/<tenant>/<device>/up|down/<channel>`, and the names that may stand in them.

The broker's access rule is `lp/1/%u/up/<channel>` for each of `Up` and `lp/1/%u/down/#`, where %u is the
certificate's common name `<tenant>/<device>`: a name may therefore hold nothing that MQTT gives a meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from wire_contract.classes import Class
from wire_contract.errors import InvalidName, UnknownTopic

PREFIX = "lp/1"
ALL_UP_FILTER = f"{PREFIX}/+/+/up/#"

# A DNS label in lower case (RFC 1123): safe in a topic, a certificate, a host name and a path.
NAME_PATTERN = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(NAME_PATTERN)


class Up(StrEnum):
    """From a device. The first five are spooled, one a class; the others are said at once or not at all."""

    ALARM = "alarm"
    LIVE = "live"
    REPLY = "reply"
    HISTORY = "history"
    DIAGNOSTIC = "diagnostic"
    PRESENCE = "presence"
    ASK = "ask"
    TWIN = "twin"
    CERTIFICATE = "certificate"


class Down(StrEnum):
    """To a device."""

    ACK = "ack"
    COMMAND = "command"
    TWIN = "twin"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class Address:
    """Who a device is on the wire. `str(address)` is its certificate's common name. Raises InvalidName."""

    tenant: str
    device: str

    def __post_init__(self) -> None:
        for what, name in (("tenant", self.tenant), ("device", self.device)):
            if not _NAME.fullmatch(name):
                raise InvalidName(
                    f"{what} {name!r:.80}: 1 to 63 of a-z, 0-9 and '-', not at either end, are allowed"
                )

    def __str__(self) -> str:
        return f"{self.tenant}/{self.device}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """From `tenant/device`. Raises InvalidName."""
        tenant, slash, device = text.partition("/")
        if not slash:
            raise InvalidName(f"{text!r:.80}: expected tenant/device")
        return cls(tenant, device)


def up_topic(address: Address, channel: Up) -> str:
    return f"{PREFIX}/{address}/up/{channel}"


def down_topic(address: Address, channel: Down) -> str:
    return f"{PREFIX}/{address}/down/{channel}"


def down_filter(address: Address) -> str:
    """What a device subscribes to."""
    return f"{PREFIX}/{address}/down/#"


def parse_topic(topic: str) -> tuple[Address, Up | Down]:
    """The inverse of `up_topic` and `down_topic`. Raises UnknownTopic for any other text."""
    parts = topic.split("/")
    if len(parts) != 6 or "/".join(parts[:2]) != PREFIX:
        raise UnknownTopic(f"{topic!r:.120}: expected {PREFIX}/<tenant>/<device>/up|down/<channel>")
    _, _, tenant, device, direction, channel = parts
    directions: dict[str, type[Up] | type[Down]] = {"up": Up, "down": Down}
    try:
        return Address(tenant, device), directions[direction](channel)
    except (KeyError, ValueError, InvalidName) as error:
        raise UnknownTopic(f"{topic!r:.120}: {error}") from error


def class_channel(cls: Class) -> Up:
    """The channel a class travels on."""
    return Up[cls.name]


def channel_class(channel: Up) -> Class | None:
    """The class that travels on a channel; None where nothing spooled does."""
    return Class.__members__.get(channel.name)
