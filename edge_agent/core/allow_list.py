"""What may leave a lamppost: every channel, message, field, settings key and kind of verdict; nothing else.

`core/leaving.py` lets through what stands here, docs/privacy_on_the_device.md shows it as a table. A field
that is added to a message has to be listed here, with what it is for, or a test fails. Nothing here is a
latitude, a longitude or an address: the place leaves as a public cell, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from wire_contract.classes import Class
from wire_contract.messages import (
    Ask,
    CertificateRequest,
    CommandReply,
    Condition,
    ConditionBatch,
    FilePiece,
    Presence,
    SampleBatch,
    SampleBlock,
    SensorDeclaration,
    SettingAck,
    SlotDeclaration,
    Tombstone,
    TwinReported,
    Verdict,
    VerdictBatch,
)
from wire_contract.settings import REGISTRY, SENSOR_EVERY
from wire_contract.topics import Up
from wire_contract.verdict_kinds import VerdictKind

# A cell of six characters is 1.2 km by 0.6 km at the equator: some thousand people in a city, no doorstep.
FINEST_CELL = 6


@dataclass(frozen=True)
class AsIs:
    """Numbers, names and bytes that say nothing of the place."""

    why: str


@dataclass(frozen=True)
class Words:
    """Text, some of it from outside (a sensor, an error, a person): coordinates in it lose their fraction."""

    why: str


@dataclass(frozen=True)
class Cell:
    """A geohash of at most FINEST_CELL characters; anything else stays."""

    why: str


@dataclass(frozen=True)
class OneOf:
    """One of a closed set; what holds another stays."""

    values: frozenset[str]
    why: str


@dataclass(frozen=True)
class Each:
    """Several of a type that has fields of its own."""

    of: type
    why: str


@dataclass(frozen=True)
class Keys:
    """A map: the listed keys, each by its rule, and those that begin with `prefix`; other keys stay."""

    rules: Mapping[str, Words | AsIs | Cell]
    why: str
    prefix: str = ""


Rule = AsIs | Words | Cell | OneOf | Each | Keys

_TIME = AsIs("when")
_UNIT = AsIs("the number that this device gave the sensor unit")
_EPOCH = AsIs("random; which spool the sequences belong to")
_TOMBSTONE = {
    "first": AsIs("sequence of the first that was given up"),
    "last": AsIs("sequence of the last"),
    "reason": AsIs("why, of a closed set"),
    "samples": AsIs("how many"),
    "from_ms": _TIME,
    "to_ms": _TIME,
}
_SETTINGS: Mapping[str, Words | AsIs | Cell] = MappingProxyType(
    {
        "flush_interval_s": AsIs("how often live samples leave"),
        "sensors": Words("the sensors' names and kinds, as configured"),
        "cell": Cell("the public cell that the lamppost stands in"),
        "model": Words("the model and runtime that decide, or the rule, and why"),
        "signal": Words(
            "by which interface it is connected, how strong its Wi-Fi or its modem's radio is, and by which"
            " technology; no network's, operator's or subscriber's name or number"
        ),
    }
)
_TWIN: Mapping[str, Words | AsIs | Cell] = MappingProxyType(
    {
        **{key: AsIs(each.changes) for key, each in REGISTRY.items() if key != SENSOR_EVERY},
        "agent.version": AsIs("the agent's version"),
    }
)

FIELDS: Mapping[type, Mapping[str, Rule]] = MappingProxyType(
    {
        SensorDeclaration: {
            "unit": _UNIT,
            "kind": AsIs("the sensor's model"),
            "serial": Words(
                "the sensor's serial number, its own or as configured: a replaced unit is another one"
            ),
            "site": Words("where on the post it sits, as configured"),
            "slots": Each(SlotDeclaration, "what its values are"),
            "time_ms": _TIME,
        },
        SlotDeclaration: {
            "channel": AsIs("what is measured"),
            "unit": AsIs("in which unit"),
            "exponent": AsIs("at which scale"),
        },
        SampleBatch: {"blocks": Each(SampleBlock, "the measurements")},
        SampleBlock: {
            "unit": _UNIT,
            "slots": AsIs("which channels"),
            "times_ms": _TIME,
            "columns": AsIs("values, at the sensor's own resolution"),
            "flags": AsIs("their quality"),
        },
        VerdictBatch: {"verdicts": Each(Verdict, "what was decided here")},
        Verdict: {
            "time_ms": _TIME,
            "unit": _UNIT,
            "kind": OneOf(frozenset(VerdictKind), "what it says"),
            "score": AsIs("how strongly"),
            "confidence": AsIs("how surely"),
            "reason": Words("why, for people"),
            "model": AsIs("what decided"),
            "input_hash": AsIs("a hash of the measurements it came from; they cannot be had back from it"),
        },
        Tombstone: _TOMBSTONE,
        ConditionBatch: {"conditions": Each(Condition, "what is wrong here, and what is over")},
        Condition: {
            "time_ms": _TIME,
            "code": AsIs("what is wrong"),
            "subject": Words("with what: a sensor's name, the link, the disk"),
            "active": AsIs("raised or over"),
            "severity": AsIs("how bad"),
            "detail": Words("more of it, for people"),
            "remedy": Words("what to do about it"),
        },
        CommandReply: {
            "command": AsIs("the id that the server gave"),
            "ok": AsIs("done or not"),
            "detail": Words("what came of it"),
            "time_ms": _TIME,
            "outcome": AsIs("what came of it, of a closed set"),
            "result": Keys({}, "what came of it for each sensor", prefix="sensor."),
        },
        FilePiece: {
            "command": AsIs("the id that the server gave"),
            "name": AsIs("of the file"),
            "index": AsIs("which piece of it"),
            "size": AsIs("of the whole file"),
            "sha256": AsIs("a hash of the whole file"),
            "data": AsIs("of an archive of the texts below, in which coordinates and secrets are cut"),
        },
        Presence: {
            "online": AsIs("there or not"),
            "session": AsIs("which connection"),
            "time_ms": _TIME,
            "epoch": _EPOCH,
            "version": AsIs("the agent's version"),
            "clock_ok": AsIs("whether its clock was set"),
            "conditions": Each(Condition, "what is wrong now"),
            "settings": Keys(_SETTINGS, "what it is configured to do"),
            "backlog": Keys(
                {cls.name.lower(): AsIs("messages that wait here") for cls in Class}, "what is yet to come"
            ),
        },
        Ask: {"epoch": _EPOCH, "classes": AsIs("of which classes it wants to know")},
        TwinReported: {
            "version": AsIs("of this report"),
            "acknowledged": AsIs("the last desired version taken in"),
            "document": Keys(_TWIN, "what holds; of a sensor where the server named it", prefix="sensor."),
            "acks": Each(SettingAck, "what became of each wish of the server's"),
        },
        SettingAck: {
            "key": AsIs("the setting, as the server named it"),
            "value": AsIs("the value, as the server wished it; of a setting that is known here"),
            "ac": AsIs("done, refused, or at the next start"),
            "av": AsIs("the desired version that brought it"),
            "ad": Words("why, for people"),
        },
        CertificateRequest: {"csr_der": AsIs("a public key and the name tenant/device")},
    }
)

LEAVES: Mapping[Up, frozenset[type]] = MappingProxyType(
    {
        Up.ALARM: frozenset({VerdictBatch}),
        Up.REPLY: frozenset({SensorDeclaration, CommandReply, FilePiece}),
        Up.LIVE: frozenset({SampleBatch, Tombstone}),
        Up.HISTORY: frozenset({SampleBatch, Tombstone}),
        Up.DIAGNOSTIC: frozenset({ConditionBatch, Tombstone}),
        Up.PRESENCE: frozenset({Presence}),
        Up.ASK: frozenset({Ask}),
        Up.TWIN: frozenset({TwinReported}),
        Up.CERTIFICATE: frozenset({CertificateRequest}),
    }
)

# The texts that a support bundle, or a log that was asked for, is made of: nothing else gets into a file.
PARTS: Mapping[str, str] = MappingProxyType(
    {
        "log.txt": "the agent's last lines",
        "config.txt": "its configuration, the keys below only",
        "status.json": "what it says of itself: conditions, link, latest readings",
        "doctor.json": "what `lamppost agent doctor` finds",
        "spool.json": "what waits, was acknowledged, was given up",
        "versions.txt": "of the agent, of Python, of the system and of the packages that it uses",
        "disk.txt": "room and inodes on its disk",
    }
)
# Of the configuration: neither the place, nor a claim, nor a path that a person chose.
CONFIG_KEYS = frozenset(
    {
        *(f"device.{key}" for key in ("tenant", "name", "cell_precision", "wait_for_time_sync")),
        *(f"server.{key}" for key in ("host", "port", "keepalive_s", "transport")),
        *(f"sensor.{key}" for key in ("name", "kind", "port", "every_s", "duty_cycle", "warm_up_s")),
        "telemetry.flush_interval_s",
        *(f"spool.{key}" for key in ("max_bytes", "min_free_bytes", "min_free_inodes")),
        *(f"spool.{key}" for key in ("history_ttl_days", "diagnostic_ttl_days")),
        "model.runtime",
        "commands.reboot",
        "telemetry.budget_mb",
    }
)
