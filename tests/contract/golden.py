"""Golden bytes: payloads of every shipped version, each beside the message it must decode to, for ever.

`golden/v1/<name>.hex` is the payload, `golden/v1/<name>.json` its kind and its fields (bytes as base64).
`python -m tests.contract.golden` writes those that are missing and never touches one that is there.
"""

from __future__ import annotations

import random
import textwrap
from itertools import accumulate
from pathlib import Path
from typing import get_args

import msgspec

from tests.support.sensor_noise import LEVELS, sensor_block
from wire_contract import messages as m
from wire_contract.envelope import encode
from wire_contract.flags import Flag, pack_flags

FOLDER = Path(__file__).parent / "golden"
CURRENT = FOLDER / "v1"
KINDS: dict[str, type[m.Message]] = {kind.__name__: kind for kind in get_args(m.Message)}

NOW_MS = 1_793_000_000_000
EPOCH = bytes(range(16))
CONDITION = m.Condition(
    NOW_MS, "sensor_silent", "/dev/ttyUSB0", True, "error", "no frame for 30 s", "check the plug"
)
SPIKE = pack_flags([Flag.SUSPECT_SPIKE, Flag.GOOD])
CALM = pack_flags([Flag.GOOD, Flag.GOOD])


def examples() -> dict[str, m.Message]:
    """What version 1 had to say when it was shipped: every kind, and every way a column is coded."""
    return {
        "sensor_declaration": m.SensorDeclaration(
            3,
            "sds011",
            "A1B2",
            "pole, 3 m",
            tuple(m.SlotDeclaration(channel, "µg/m³", -1) for channel in ("pm2_5", "pm10")),
            NOW_MS,
        ),
        **{f"samples_{kind}": m.SampleBatch((sensor_block(kind, 60),)) for kind in LEVELS},
        "samples_one_row": m.SampleBatch((sensor_block("sds011", 1),)),
        "samples_extremes": m.SampleBatch(
            (
                m.SampleBlock(
                    65_535, (0, 15), [0, 4_102_444_800_000], ([-(2**31), 2**31 - 1], [0, 0]), [0, 2**64 - 1]
                ),
                m.SampleBlock(0, (7,), [5, 5, 4], ([1, 1, 1],), [0x1000_0000] * 3),
            )
        ),
        "samples_drift": m.SampleBatch(
            (
                m.SampleBlock(
                    2,
                    (0, 1),
                    [NOW_MS + 60_000 * i + i % 3 for i in range(40)],
                    ([400 + 11 * i + i % 2 for i in range(40)], [250 if i != 20 else 900 for i in range(40)]),
                    [SPIKE if i in (20, 21) else CALM for i in range(40)],
                ),
            )
        ),
        "samples_walk": m.SampleBatch((_walk(),)),
        "verdict_batch": m.VerdictBatch(
            (m.Verdict(NOW_MS, 3, "smoke", 4.25, 0.875, "PM2.5 rose", "tcn-1.2.0", bytes(range(32))),)
        ),
        "tombstone": m.Tombstone(17, 40, m.TombstoneReason.SPOOL_FULL, 1440, NOW_MS - 86_400_000, NOW_MS),
        "condition_batch": m.ConditionBatch((CONDITION,)),
        "command_reply": m.CommandReply("c-17", True, "declared 3 units", NOW_MS),
        "command_reply_outcome": m.CommandReply(
            "c-18", False, "1 of 2 sensors answer", NOW_MS, m.CommandOutcome.FAILED, {"sensor.front": "gone"}
        ),
        "file_piece": m.FilePiece("c-19", "log.tar.zst", 0, 5, bytes(range(32)), b"bytes"),
        "presence_birth": m.Presence(
            True,
            NOW_MS,
            NOW_MS,
            EPOCH,
            "0.1.0",
            True,
            (CONDITION,),
            {"telemetry.flush_interval_s": "10"},
            {"live": 2, "history": 0},
        ),
        "presence_will": m.Presence(False, NOW_MS, NOW_MS, EPOCH, "0.1.0", False),
        "ask": m.Ask(EPOCH, (0, 1, 2, 3, 4)),
        "ack": m.Ack(EPOCH, 2, 1000, ((1002, 1002), (1005, 1020))),
        "command": m.Command("c-17", m.CommandName.DECLARE, {"unit": "3"}, NOW_MS + 60_000),
        "command_of_a_newer_program": m.Command("c-18", "sing", {}, NOW_MS + 60_000),
        "twin_desired": m.TwinDesired(7, {"a": 1, "b": -2.5, "c": True, "d": None, "e": "text"}, False),
        "twin_desired_from_a_base": m.TwinDesired(9, {"a": 1, "d": None}, False, 7),
        "twin_reported_with_acks": m.TwinReported(
            8,
            9,
            {"a": 1},
            (m.SettingAck("a", 1, 200, 9, ""), m.SettingAck("b", 2.5, 404, 8, "there is no such setting")),
        ),
        "twin_reported_compressed": m.TwinReported(7, 7, {f"sensor.{i}.every_s": 60 for i in range(40)}),
        "certificate_request": m.CertificateRequest(b"0\x82\x01\x00" + bytes(8)),
        "certificate_issued": m.CertificateIssued("-----BEGIN CERTIFICATE-----\n", ""),
    }


def _walk() -> m.SampleBlock:
    """A random walk: its differences are what is worth coding."""
    rng = random.Random(1)
    values = list(accumulate([round(rng.gauss(0, 9)) for _ in range(80)]))
    return m.SampleBlock(9, (4,), [NOW_MS + 1000 * i for i in range(80)], (values,), [0x10000] * 80)


def payload(file: Path) -> bytes:
    return bytes.fromhex(file.read_text(encoding="ascii"))


def expected(file: Path) -> m.Message:
    """The message in the file beside it."""
    said = msgspec.json.decode(file.with_suffix(".json").read_bytes())
    message: m.Message = msgspec.convert(said["message"], KINDS[said["kind"]])
    return message


def write(name: str, message: m.Message) -> None:
    file = CURRENT / f"{name}.hex"
    file.write_text("\n".join(textwrap.wrap(encode(message).hex(), 96)) + "\n", encoding="ascii")
    said = {"kind": type(message).__name__, "message": message}
    file.with_suffix(".json").write_bytes(msgspec.json.encode(said) + b"\n")


if __name__ == "__main__":
    CURRENT.mkdir(parents=True, exist_ok=True)
    for example, value in examples().items():
        if not (CURRENT / f"{example}.hex").exists():
            write(example, value)
