"""Codecs: bytes in, events out, without I/O.

`codec(kind)` is the way in; `measurement(event)` unwraps or raises.
"""

from __future__ import annotations

from typing import assert_never

from firmware_bridge.codecs.frames import Codec, Measurement, measurement
from firmware_bridge.codecs.nova import NovaCodec
from firmware_bridge.codecs.plantower import PlantowerCodec
from firmware_bridge.codecs.sps30 import Sps30Codec
from firmware_bridge.codecs.winsen import WinsenCodec
from firmware_bridge.kinds import SensorKind

__all__ = ["codec", "decode", "measurement"]


def codec(kind: SensorKind) -> Codec:
    """The codec of a kind."""
    match kind:
        case SensorKind.PMS5003 | SensorKind.PMS7003 | SensorKind.PMSA003 | SensorKind.PMS5003T:
            return PlantowerCodec(kind)
        case SensorKind.SDS011 | SensorKind.SDS021:
            return NovaCodec(kind)
        case SensorKind.SPS30:
            return Sps30Codec()
        case SensorKind.MHZ19B:
            return WinsenCodec(kind)
        case _:
            assert_never(kind)


def decode(kind: SensorKind, frame: bytes) -> Measurement:
    """One whole measurement frame. Raises the FrameError that tells what is wrong with it."""
    return measurement(codec(kind).event(frame))
