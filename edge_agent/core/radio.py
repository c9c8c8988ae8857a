"""By which way this lamppost is connected, from what Linux and ModemManager say of it. Pure.

ModemManager's tool is asked for JSON (mmcli(1), `-J`; its cli/mmcli-output.c): a map of maps whose leaves are
strings or lists of strings, "--" where nothing is known. Of all that it tells (the modem's number and the
subscriber's among it) only ports, quality, technologies and RSRP are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from wire_contract.radio import Way

# proc_net_wireless: "wlan0: 0000   54.  -56.  -256 ...": status, quality, level in dBm.
_WIRELESS = re.compile(r"^\s*(\w[\w.-]*):\s+\S+\s+[-\d.]+\s+(-?\d{1,3})\b", re.MULTILINE)
_NUMBER = re.compile(r"/org/freedesktop/ModemManager1/Modem/([0-9]{1,6})")
_TECHNOLOGY = re.compile(r"(?!unknown)[0-9]?[a-z][0-9a-z-]{1,10}")  # MMModemAccessTechnology
_RSRP = re.compile(r"(-[0-9]{2,3})(?:\.[0-9]{1,6})?")
_RSRP_DBM = range(-157, -30)  # what TS 36.133 and TS 38.133 let a modem report
_REJECTED = 0x200  # RTF_REJECT of linux/route.h
MODEMS_MOST = 4  # a lamppost has one, perhaps one more; each is a question to another process
STEP_PERCENT, STEP_DBM = 6, 3  # double or half; less is no news: each telling is paid for by the byte
LEAP_STEPS = 3  # what is news even where it trembles: an antenna was moved, or a branch grew before it


class _Quality(msgspec.Struct, frozen=True):
    value: str
    recent: str = "yes"


class _Generic(msgspec.Struct, frozen=True):
    ports: list[str] = []
    quality: _Quality | None = msgspec.field(default=None, name="signal-quality")
    technologies: list[str] = msgspec.field(default=[], name="access-technologies")


class _Power(msgspec.Struct, frozen=True):
    rsrp: str = ""


class _Signal(msgspec.Struct, frozen=True):
    lte: _Power = _Power()
    nr: _Power = msgspec.field(default=_Power(), name="5g")


class _Parts(msgspec.Struct, frozen=True):
    generic: _Generic = _Generic()
    signal: _Signal = _Signal()


class _Told(msgspec.Struct, frozen=True):
    modem: _Parts


class _Listed(msgspec.Struct, frozen=True):
    modems: list[str] = msgspec.field(name="modem-list")


@dataclass(frozen=True)
class Modem:
    """`percent` 0 to 100, None: not known. `technology`: "LTE", "LTE+5GNR"; "" where it has none now."""

    number: str
    interfaces: tuple[str, ...]
    percent: int | None
    technology: str

    @property
    def has_rsrp(self) -> bool:
        """Whether its technology has such a thing as RSRP."""
        return "LTE" in self.technology or "5GNR" in self.technology


def kernel_way(route: str, route6: str, wireless: str) -> Way | None:
    """Of /proc/net/route, ipv6_route and wireless; None where there is no default route, or where the form
    is another one."""
    try:
        interface = _by_ipv4(route) or _by_ipv6(route6)
    except ValueError:
        return None
    if interface is None:
        return None
    levels = {name: int(level) for name, level in _WIRELESS.findall(wireless)}
    return Way(interface, levels.get(interface))


def _by_ipv4(route: str) -> str | None:
    """Of the default route with the lowest metric (proc_net_route(5)). Raises ValueError."""
    rows = [line.split() for line in route.splitlines()[1:]]
    ways = [(int(row[6]), row[0]) for row in rows if len(row) > 7 and row[1] == row[7] == "00000000"]
    return min(ways)[1] if ways else None


def _by_ipv6(route6: str) -> str | None:
    """The same (proc_net_ipv6_route(5)); the kernel's own refusals go to "lo". Raises ValueError."""
    rows = [line.split() for line in route6.splitlines()]
    defaults = [row for row in rows if len(row) > 9 and int(row[0] + row[1], 16) == 0 and row[9] != "lo"]
    ways = [(int(row[5], 16), row[9]) for row in defaults if not int(row[8], 16) & _REJECTED]
    return min(ways)[1] if ways else None


def modem_numbers(listed: bytes) -> tuple[str, ...]:
    """Of `mmcli -L -J`; () for none, and for what is not understood."""
    try:
        paths = msgspec.json.decode(listed, type=_Listed).modems
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    found = [match[1] for path in paths if (match := _NUMBER.fullmatch(path))]
    return tuple(found[:MODEMS_MOST])


def modem(number: str, told: bytes) -> Modem | None:
    """Of `mmcli -m NUMBER -J`; None for what is not understood."""
    parts = _parts(told)
    if parts is None:
        return None
    ports = [port.removesuffix(" (net)") for port in parts.generic.ports if port.endswith(" (net)")]
    names = [each.upper() for each in parts.generic.technologies if _TECHNOLOGY.fullmatch(each)]
    return Modem(number, tuple(ports), _percent(parts.generic.quality), "+".join(names[:2]))


def rsrp(told: bytes) -> int | None:
    """dBm, of `mmcli -m NUMBER --signal-get -J`; LTE's, which 5G's control goes by where both are there. None
    where nobody told ModemManager to measure it (`--signal-setup`), and for what is not understood."""
    parts = _parts(told)
    for power in () if parts is None else (parts.signal.lte, parts.signal.nr):
        match = _RSRP.fullmatch(power.rsrp)
        if match is not None and int(match[1]) in _RSRP_DBM:
            return int(match[1])
    return None


def modem_of(way: Way, modems: Sequence[Modem]) -> Modem | None:
    """The one that has this interface as its port; for a name as modems have it, the only one there is: PPP
    and multiplexed interfaces are no ports."""
    owners = [each for each in modems if way.interface in each.interfaces]
    if not owners and way.is_modem:
        owners = list(modems)
    return owners[0] if len(owners) == 1 else None


def steady(before: Way | None, now: Way, often: bool = False) -> Way:
    """What is told: the same as before while it moves less than a step of either measure. often: it moved so
    often of late that it trembles; then the same while neither leaps, by whatever technology."""
    if before is None or before.interface != now.interface or before == Way(before.interface):
        return now
    steps = LEAP_STEPS if often else 1
    still = _near(before.percent, now.percent, steps * STEP_PERCENT, often)
    still = still and _near(before.dbm, now.dbm, steps * STEP_DBM, often)
    return before if still and (often or before.technology == now.technology) else now


def _near(before: int | None, now: int | None, step: int, unknown: bool) -> bool:
    """unknown: whether what is known at one time alone counts as near."""
    if before is None or now is None:
        return unknown or before is now
    return abs(before - now) < step


def _percent(quality: _Quality | None) -> int | None:
    """0 that is not recent is what ModemManager begins with (MMModem, SignalQuality)."""
    if quality is None or not re.fullmatch(r"100|[0-9]{1,2}", quality.value, re.ASCII):
        return None
    percent = int(quality.value)
    return None if percent == 0 and quality.recent != "yes" else percent


def _parts(told: bytes) -> _Parts | None:
    try:
        return msgspec.json.decode(told, type=_Told).modem
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
