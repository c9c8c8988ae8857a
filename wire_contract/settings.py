"""Every setting that the server may change on a lamppost: one registry for both ends. Pure.

A key is dotted; `*` in a registered key stands for one name, such as a sensor's. The server refuses a value
that this registry does not allow before it is stored, the lamppost before it is obeyed: either of them may be
the older program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from wire_contract.limits import MAX_MAP_ITEMS, MAX_NAME_CHARACTERS

Value = str | int | float | bool
Kind = Literal["number", "whole number", "text", "yes or no"]

MIB = 1 << 20
MAX_KEYS = MAX_MAP_ITEMS - 56  # of one lamppost: what it reports has room beside them
OK, AT_RESTART, BAD_VALUE, UNKNOWN = 200, 202, 400, 404  # of a SettingAck
_QUIET = r"(?:(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d)?"


@dataclass(frozen=True)
class Setting:
    """One of them. `changes`: what on the lamppost. `default`: as the agent ships; None: depends on the
    lamppost, whose own configuration file goes before any default. `restart`: it takes effect at the agent's
    next start, not at once."""

    key: str
    kind: Kind
    changes: str
    default: Value | None = None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    allowed: str = ""  # the pattern in words
    restart: bool = False

    @property
    def allows(self) -> str:
        """What a value may be, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.kind == "yes or no":
            return "true or false"
        if self.kind == "text":
            return self.allowed
        unit = f" {self.unit}" if self.unit else ""
        return f"a {self.kind} from {self.low or 0:.12g} to {self.high or 0:.12g}{unit}"

    def problem(self, value: object) -> str:
        """What is wrong with a value; "" where nothing is."""
        return "" if self._fits(value) else f"must be {self.allows}"

    def _fits(self, value: object) -> bool:
        match self.kind:
            case "yes or no":
                return isinstance(value, bool)
            case "text":
                if not isinstance(value, str):
                    return False
                return value in self.choices if self.choices else bool(re.fullmatch(self.pattern, value))
            case _:
                if isinstance(value, bool) or not isinstance(value, int | float):
                    return False
                if self.kind == "whole number" and not isinstance(value, int):
                    return False
                return (self.low or 0.0) <= value <= (self.high or 0.0)  # not a number is not in it


def _number(key: str, changes: str, low: float, high: float, default: float | None, unit: str) -> Setting:
    return Setting(key, "number", changes, default, unit, low, high)


def _whole(key: str, changes: str, low: int, high: int, default: int, unit: str) -> Setting:
    return Setting(key, "whole number", changes, default, unit, low, high)


def _one_of(key: str, changes: str, choices: tuple[str, ...], default: str, restart: bool = False) -> Setting:
    return Setting(key, "text", changes, default, choices=choices, restart=restart)


SENSOR_EVERY = "sensor.*.every_s"

SETTINGS: tuple[Setting, ...] = (
    _number("telemetry.flush_interval_s", "Live samples leave each so often.", 1, 60, 10.0, "s"),
    _number(
        "telemetry.history_span_s",
        "Without a link, samples of so long make one batch: longer is fewer bytes, shorter loses less.",
        *(60, 3600, 3600.0, "s"),
    ),
    _number(
        "telemetry.diagnostic_interval_s",
        "Conditions that are raised and cleared leave together, at most so often; 0 is at once.",
        *(0, 3600, 0.0, "s"),
    ),
    _number("presence.refresh_s", "Backlog and state are told again each so often.", 5, 3600, 30.0, "s"),
    _number("sampling.every_s", "Every sensor gives one sample each so often.", 1, 3600, None, "s"),
    _number(SENSOR_EVERY, "The sensor of this name does; goes before sampling.every_s.", 1, 3600, None, "s"),
    _whole("spool.max_bytes", "The spool uses at most this.", MIB, 1 << 40, 512 * MIB, "B"),
    _whole("spool.min_free_bytes", "It leaves so much free on its disk.", 0, 1 << 40, 64 * MIB, "B"),
    _whole("spool.min_free_inodes", "Fewer free inodes are a condition.", 0, 1 << 40, 1000, ""),
    _number("spool.history_ttl_days", "Samples older than this are given up.", 0.01, 3650, 30.0, "days"),
    _number("spool.diagnostic_ttl_days", "The same for conditions' history.", 0.01, 3650, 7.0, "days"),
    Setting(
        "history.quiet_hours",
        "text",
        "Between these times (UTC, each day) history waits on the lamppost; live data does not.",
        "",
        pattern=_QUIET,
        allowed='HH:MM-HH:MM, such as 07:00-09:30, or "" for none',
    ),
    _number("data.budget_mb", "Megabytes on the wire a calendar month; 0: no limit.", 0, 1e6, 0.0, "MB"),
    _one_of("log.level", "How much it writes to its log.", ("error", "warning", "info", "debug"), "info"),
    _one_of(
        "model.runtime",
        "What runs the model that tells pollution from a faulty sensor; rule: no model.",
        *(("litert", "onnx", "rule"), "litert", True),
    ),
)
REGISTRY: Mapping[str, Setting] = MappingProxyType({each.key: each for each in SETTINGS})


def sensor_key(sensor: str) -> str:
    """The key of one sensor's interval."""
    return SENSOR_EVERY.replace("*", sensor)


def sensor_of(key: str) -> str:
    """The sensor's name in such a key; "" for another key."""
    before, after = SENSOR_EVERY.split("*")
    name = key.removeprefix(before).removesuffix(after)
    return name if name and key == sensor_key(name) else ""


def setting_of(key: str) -> Setting | None:
    """What a key means; None where there is no such setting."""
    if len(key) > MAX_NAME_CHARACTERS or "*" in key or not key.isprintable():
        return None
    return REGISTRY.get(SENSOR_EVERY if sensor_of(key) else key)


def verdict(key: str, value: object) -> tuple[int, str]:
    """The code of a SettingAck for this wish, and why where it is refused."""
    setting = setting_of(key)
    if setting is None:
        return UNKNOWN, "there is no such setting here"
    problem = setting.problem(value)
    return (BAD_VALUE, problem) if problem else (OK, "")
