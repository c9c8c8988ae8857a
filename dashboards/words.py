"""The words of the field for what the wire abbreviates: channels, units, flags, sensor kinds, conditions."""

from __future__ import annotations

import re

UNITS = {
    "ug/m3": "µg/m³",
    "1/dL": "per 0.1 l",
    "1/cm3": "per cm³",
    "um": "µm",
    "degC": "°C",
    "Cel": "°C",
    "percent": "%",
    "%RH": "% RH",
}
CHANNELS = {
    "co2": "CO₂",
    "temperature": "Temperature",
    "humidity": "Humidity",
    "typical_size": "Typical particle size",
}
KINDS = {
    "pms5003": "PMS5003",
    "pms7003": "PMS7003",
    "pmsa003": "PMSA003",
    "pms5003t": "PMS5003T",
    "sds011": "SDS011",
    "sds021": "SDS021",
    "sps30": "SPS30",
    "mhz19b": "MH-Z19B",
}
# Flags as the wire numbers them (QARTOD's scale and what failed). "" stands for nothing to say.
FLAGS = {
    0: "not checked",
    1: "good",
    2: "not checked",
    3: "suspect",
    4: "failed",
    5: "suspect: range",
    6: "suspect: spike",
    7: "suspect: rate of change",
    8: "suspect: flat line",
    9: "missing",
    10: "failed: range",
    11: "failed: spike",
    12: "failed: rate of change",
    13: "failed: flat line",
    14: "time corrected",
}
UNREMARKABLE = {0, 1, 2, 14}  # a corrected time does not make the value doubtful

_PARTICLE = re.compile(r"(pm|n)(\d+)(?:_(\d))?(_cf1)?")


def channel(name: str, unit: str = "") -> str:
    """`pm2_5` -> PM2.5; `pm10_cf1` -> PM10 (CF=1); `n0_3` -> Particles > 0.3 µm.

    Sensirion counts per cm³ from 0.3 µm up to a size, Plantower per 0.1 l what is larger.
    """
    if match := _PARTICLE.fullmatch(name):
        size = match[2] + (f".{match[3]}" if match[3] else "")
        if match[1] == "n" and unit == "1/cm3":
            return f"Particles 0.3–{size} µm"
        if match[1] == "n":
            return f"Particles > {size} µm"
        return f"PM{size}" + (" (CF=1)" if match[4] else "")
    return CHANNELS.get(name, name.replace("_", " ").capitalize())


def unit(name: str) -> str:
    return UNITS.get(name, name)


def kind(name: str) -> str:
    return KINDS.get(name, name.upper())


def flag(number: int) -> str:
    return FLAGS.get(number, f"flag {number}")


def remarkable(number: int) -> str:
    """The flag's word where the value is doubtful, else ""."""
    return "" if number in UNREMARKABLE else flag(number)


def condition(code: str) -> str:
    """`sensor.silent` -> Sensor silent."""
    return re.sub(r"[._:/-]+", " ", code).strip().capitalize()


def step(seconds: int) -> str:
    """A rollup's bucket in words: 60 -> minute."""
    return {60: "minute", 600: "10 minutes", 3600: "hour", 86400: "day"}.get(seconds, f"{seconds} s")


def doubt(flag_of_one: int | None, good: int, bad: int) -> str:
    """What is doubtful about a point: a reading's own flag, or how much of a bucket failed or was missing."""
    if flag_of_one is not None:
        return remarkable(flag_of_one)
    return f"{bad} of {good + bad} failed or missing" if bad else ""


def exact(value: float | None, exponent: int) -> str | None:
    """A reading with the sensor's own number of digits; `exponent` is its resolution as a power of ten."""
    return None if value is None else f"{value:.{max(0, -exponent)}f}"
