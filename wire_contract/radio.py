"""By which way a lamppost is connected and how strong its radio is, as the birth carries it
(`Presence.settings["signal"]`), and what is to be thought of it. Pure. Where a strength is known:

    eth0                    a cable has none
    wlan0 -67 dBm           Wi-Fi's level
    wwan0 64 % UMTS         a modem's quality as ModemManager has it, and by which technology
    wwan0 26 % -97 dBm LTE  and its RSRP (3GPP TS 36.214, 38.215), where ModemManager was told to measure it

A server that knows the first two forms alone takes the others for one that tells nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SIGNAL = "signal"  # the key of the settings that a birth tells
NOT_MEASURED = "not measured"  # how words begin that say neither well nor wrong

WIFI_LEAST_DBM = -75  # below it 802.11n falls to its lowest rates and loses frames in rain
# ModemManager (src/mm-modem-helpers.h) spreads RSSI from -113 to -51 dBm, or RSRP from -110 to -60 dBm, over
# its 100 %: 25 % is -97 dBm of either, 40 % is -90 dBm RSRP or -88 dBm RSSI. Of RSRP, Teltonika's "Mobile
# Signal Strength Recommendations" call down to -90 dBm good, to -100 dBm fair to poor, below it no signal.
MODEM_GOOD_PERCENT, MODEM_LEAST_PERCENT = 40, 25
RSRP_GOOD_DBM, RSRP_LEAST_DBM = -90, -100

_MODEMS = ("ww", "ppp", "rmnet", "usb", "qmap", "mhi")  # how Linux and its drivers name a modem's interfaces
# A name of Linux has at most 15 characters; the longest technology is "GSM-COMPACT", two may be joined.
_TOLD = re.compile(
    r"(?P<interface>\w[\w.-]{0,14})(?: (?P<percent>100|[0-9]{1,2}) %)?(?: (?P<dbm>-?[0-9]{1,3}) dBm)?"
    r"(?: (?P<technology>(?=[0-9+-]*[A-Z])[0-9A-Z][0-9A-Z+-]{0,23}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Way:
    """dbm: Wi-Fi's level, or a modem's RSRP; percent, technology: a modem's. None, "": not known, or none."""

    interface: str
    dbm: int | None = None
    percent: int | None = None
    technology: str = ""

    @property
    def is_modem(self) -> bool:
        told = self.percent is not None or bool(self.technology)
        return told or self.interface.startswith(_MODEMS)


@dataclass(frozen=True)
class Judged:
    """`remedy` is empty where `ok`. What is not known is ok, and its detail begins with NOT_MEASURED."""

    ok: bool
    detail: str
    remedy: str = ""


def told(found: Way | None) -> str:
    """As the birth carries it; "": nothing to say, or nothing that `read` would understand."""
    if found is None:
        return ""
    percent = "" if found.percent is None else f" {found.percent} %"
    dbm = "" if found.dbm is None else f" {found.dbm} dBm"
    text = f"{found.interface}{percent}{dbm}{found.technology and ' ' + found.technology}"
    return text if _TOLD.fullmatch(text) else ""


def read(text: str) -> Way | None:
    """What a birth told; None for nothing, and for what is not understood."""
    match = _TOLD.fullmatch(text)
    if match is None:
        return None
    dbm, percent = match["dbm"], match["percent"]
    return Way(
        match["interface"],
        None if dbm is None else int(dbm),
        None if percent is None else int(percent),
        match["technology"] or "",
    )


def judged(way: Way) -> Judged:
    """Is it enough for a lamppost that stays there?"""
    if way.is_modem:
        return _modem(way)
    if way.dbm is None:
        return Judged(True, f"by {way.interface}, no radio of its own")
    ok = way.dbm >= WIFI_LEAST_DBM
    remedy = "" if ok else "Too weak for rain and leaves: an outdoor antenna, or LTE"
    return Judged(ok, f"Wi-Fi {way.interface}: {way.dbm} dBm", remedy)


def _modem(way: Way) -> Judged:
    """By its RSRP where that is told: percent mean another thing with each modem."""
    if way.dbm is not None:
        ok, good = way.dbm >= RSRP_LEAST_DBM, way.dbm >= RSRP_GOOD_DBM
        strength = f"{way.dbm} dBm RSRP"
    elif way.percent is not None:
        ok, good = way.percent >= MODEM_LEAST_PERCENT, way.percent >= MODEM_GOOD_PERCENT
        strength = f"{way.percent} %"
    else:
        return Judged(True, f"{NOT_MEASURED}: by {way.interface}, whose strength it does not tell")
    by = f" {way.technology}" if way.technology else ""
    verdict = "good" if good else "weak" if ok else "too weak"
    remedy = "" if ok else "Move the antenna, try another operator's SIM"
    return Judged(ok, f"mobile {way.interface}: {strength}{by}, {verdict}", remedy)
