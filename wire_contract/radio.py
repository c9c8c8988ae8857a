"""By which way a lamppost is connected, and how strong its Wi-Fi is: as Linux tells it, and as the birth
carries it (`Presence.settings["signal"]`): "wlan0 -67 dBm", or "eth0" where there is no Wi-Fi. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SIGNAL = "signal"  # the key of the settings that a birth tells
# proc_net_wireless: "wlan0: 0000   54.  -56.  -256 ...": status, quality, level in dBm.
_WIRELESS = re.compile(r"^\s*(\w[\w.-]*):\s+\S+\s+[-\d.]+\s+(-?\d+)", re.MULTILINE)
_TOLD = re.compile(r"(\w[\w.-]{0,14})(?: (-?[0-9]{1,3}) dBm)?")  # a name of Linux has at most 15 characters


@dataclass(frozen=True)
class Way:
    """dbm: of its Wi-Fi; None: it is none, or Linux does not say."""

    interface: str
    dbm: float | None = None


def way(route: str, wireless: str) -> Way | None:
    """Of /proc/net/route and /proc/net/wireless; None where there is no default route."""
    interface = default_interface(route)
    if interface is None:
        return None
    levels = {name: float(level) for name, level in _WIRELESS.findall(wireless)}
    return Way(interface, levels.get(interface))


def default_interface(route: str) -> str | None:
    """Of the default route with the lowest metric (proc_net_route(5)); None where there is none."""
    rows = [line.split() for line in route.splitlines()[1:]]
    ways = [(int(row[6]), row[0]) for row in rows if len(row) > 7 and row[1] == row[7] == "00000000"]
    return min(ways)[1] if ways else None


def told(found: Way | None) -> str:
    """As the birth carries it; "": nothing to say."""
    if found is None:
        return ""
    return found.interface if found.dbm is None else f"{found.interface} {found.dbm:.0f} dBm"


def read(text: str) -> Way | None:
    """What a birth told; None for nothing, and for what is not understood."""
    match = _TOLD.fullmatch(text)
    if match is None:
        return None
    return Way(match[1], None if match[2] is None else float(match[2]))
