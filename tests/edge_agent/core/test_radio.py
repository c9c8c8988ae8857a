"""What Linux and ModemManager say of the way out, and all that they might say instead."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core import radio
from edge_agent.core.radio import Modem
from tests.support.modem_manager import listed, modem, signal
from wire_contract.radio import Way

ROUTE = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
WIFI = "Inter-| sta-|\n face | tus |\n wlan0: 0000   54.  {level}.  -256        0      0\n"


def route(*ways: tuple[str, int]) -> str:
    """/proc/net/route with default routes of these interfaces and metrics, and one to a network."""
    rows = [f"{name}\t00000000\t0101A8C0\t0003\t0\t0\t{metric}\t00000000\t0\t0\t0" for name, metric in ways]
    return ROUTE + "eth9\t0001A8C0\t00000000\t0001\t0\t0\t1\t00FFFFFF\t0\t0\t0\n" + "\n".join(rows)


@pytest.mark.parametrize(
    ("ways", "level", "found"),
    [
        ([], -60, None),
        ([("eth0", 100)], -90, Way("eth0")),
        ([("wlan0", 600)], -60, Way("wlan0", -60)),
        ([("eth0", 700), ("wlan0", 600)], -80, Way("wlan0", -80)),
        ([("wwan0", 5), ("wlan0", 600)], -80, Way("wwan0")),
    ],
)
def test_the_kernels_way(ways: list[tuple[str, int]], level: int, found: Way | None) -> None:
    assert radio.kernel_way(route(*ways), "", WIFI.format(level=level)) == found


ZERO, LINK = "0" * 32, "fe80" + "0" * 28


def route6(name: str, metric: int, flags: str = "00000003", to: str = ZERO, length: str = "00") -> str:
    """A line of /proc/net/ipv6_route."""
    return f"{to} {length} {ZERO} 00 {LINK} {metric:08x} 00000001 00000000 {flags} {name:>8}\n"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([route6("wwan0", 1024)], Way("wwan0")),
        ([route6("eth0", 1024), route6("wwan0", 256)], Way("wwan0")),
        ([route6("lo", 0xFFFFFFFF, "00200200"), route6("eth0", 9, to=LINK, length="40")], None),
        ([route6("eth0", 9, flags="00200200"), route6("eth1", 9, length="08")], None),
        (["0 0\n", "many " * 10 + "\n"], None),
    ],
)
def test_a_way_of_ipv6_alone(lines: list[str], found: Way | None) -> None:
    assert radio.kernel_way(route(), "".join(lines), "") == found
    assert radio.kernel_way(route(("wlan0", 600)), "".join(lines[:1]), "") == Way("wlan0"), "IPv4 is first"


def test_a_kernel_of_another_form() -> None:
    for table in ("", "\n\n", "Iface\nwlan0 00000000 0 0 0 0 many 00000000\n", "Iface\nwlan0 00000000\n"):
        assert radio.kernel_way(table, "", WIFI.format(level=-60)) is None
    for levels in ("", "\x00\ufffd", "wlan0: 0000 54. -99999. -256", "wlan0:"):
        assert radio.kernel_way(route(("wlan0", 1)), "", levels) == Way("wlan0")


DEEP = b"[" * 60_000
GARBAGE = [
    b"",
    b"{",
    b"garbage",
    b"null",
    b"3",
    b"[]",
    b"{}",
    b"\xff\xfe{}",
    b'{"modem": "\xff"}',
    b'{"modem": 3}',
    b'{"modem": [{}]}',
    b'{"modem-list": "x"}',
    b'{"modem-list": [1]}',
    DEEP,
    b'{"modem": ' + DEEP,
    b'{"modem": {"generic": {"ports": "wwan0"}}}',
    b'{"modem": {"generic": {"signal-quality": 64}}}',
    b'{"modem": {"generic": {"signal-quality": {"value": 64}}}}',
    b'{"modem": {"signal": {"lte": "-97"}}}',
]


@pytest.mark.parametrize("told", GARBAGE)
def test_what_is_no_answer_of_mmcli(told: bytes) -> None:
    assert radio.modem_numbers(told) == ()
    assert radio.rsrp(told) is None
    found = radio.modem("0", told)
    assert found is None or found == Modem("0", (), None, "")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda each: (
        st.lists(each) | st.dictionaries(st.sampled_from(["modem", "generic", "ports", "lte"]), each)
    ),
)


@given(st.binary() | JSON.map(lambda each: json.dumps(each).encode()))
def test_nothing_that_is_printed_raises(told: bytes) -> None:
    radio.modem_numbers(told)
    radio.rsrp(told)
    radio.modem("0", told)


def test_which_modems_there_are() -> None:
    assert radio.modem_numbers(listed().encode()) == ()
    assert radio.modem_numbers(listed(0, 12).encode()) == ("0", "12")
    assert radio.modem_numbers(listed(*range(99)).encode()) == ("0", "1", "2", "3")
    paths = ["/org/freedesktop/ModemManager1/Modem/--reset", "/etc/passwd", "-m 3", "", "7"]
    assert radio.modem_numbers(json.dumps({"modem-list": paths}).encode()) == ()


@pytest.mark.parametrize(
    ("told", "percent", "technology"),
    [
        (modem("wwan0"), 64, "LTE"),
        (modem("wwan0", percent="0"), 0, "LTE"),
        (modem("wwan0", percent="0", recent="no"), None, "LTE"),
        (modem("wwan0", percent="64", recent="no"), 64, "LTE"),
        (modem("wwan0", percent="100", technologies=("lte", "5gnr")), 100, "LTE+5GNR"),
        (modem("wwan0", technologies=("gsm-compact", "lte-nb-iot", "umts")), 64, "GSM-COMPACT+LTE-NB-IOT"),
        *(
            (modem("wwan0", percent=wrong), None, "LTE")
            for wrong in ("--", "", "101", "-1", "6.4", "nan", "٦٤")
        ),
        *(
            (modem("wwan0", technologies=(odd,)), 64, "")
            for odd in ("unknown", "--", "", "a b", "LTE", "l" * 30)
        ),
    ],
)
def test_what_a_modem_says(told: str, percent: int | None, technology: str) -> None:
    found = radio.modem("3", told.encode())
    assert found == Modem("3", ("wwan0",), percent, technology)


@pytest.mark.parametrize(
    ("lte", "nr", "dbm"),
    [
        ("-97.00", "--", -97),
        ("-97", "-80.00", -97),
        ("--", "-104.50", -104),
        ("--", "--", None),
        *((wrong, "--", None) for wrong in ("97", "-9", "-1e3", "-999.0", "nan", "-97.0 dBm", "", "-٩٧")),
    ],
)
def test_its_rsrp(lte: str, nr: str, dbm: int | None) -> None:
    assert radio.rsrp(signal(lte, nr).encode()) == dbm


ONE, OTHER = Modem("0", ("wwan0", "wwan1"), 64, "LTE"), Modem("1", ("eth1",), 20, "UMTS")


@pytest.mark.parametrize(
    ("interface", "modems", "found"),
    [
        ("wwan1", [ONE, OTHER], ONE),
        ("eth1", [ONE, OTHER], OTHER),
        ("eth0", [ONE, OTHER], None),
        ("ppp0", [ONE], ONE),
        ("ppp0", [ONE, OTHER], None),
        ("ppp0", [], None),
        ("eth0", [ONE], None),
        ("wwan0", [ONE, ONE], None),
    ],
)
def test_which_modem_an_interface_goes_over(interface: str, modems: list[Modem], found: Modem | None) -> None:
    assert radio.modem_of(Way(interface), modems) == found


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (None, Way("wwan0", None, 64, "LTE"), "now"),
        (Way("wwan0", None, 64, "LTE"), Way("wwan0", None, 69, "LTE"), "before"),
        (Way("wwan0", None, 64, "LTE"), Way("wwan0", None, 70, "LTE"), "now"),
        (Way("wwan0", -97, 64, "LTE"), Way("wwan0", -99, 69, "LTE"), "before"),
        (Way("wwan0", -97, 64, "LTE"), Way("wwan0", -100, 64, "LTE"), "now"),
        (Way("wwan0", -97, 64, "LTE"), Way("wwan0", None, 64, "LTE"), "now"),
        (Way("wwan0", None, 64, "LTE"), Way("wwan0", None, None, "LTE"), "now"),
        (Way("wwan0", None, 64, "LTE"), Way("wwan0", None, 64, "UMTS"), "now"),
        (Way("wwan0", None, 64, "LTE"), Way("ppp0", None, 64, "LTE"), "now"),
        (Way("wwan0"), Way("wwan0", None, 64, "LTE"), "now"),
    ],
)
def test_what_moves_little_is_not_told_anew(before: Way | None, now: Way, told: str) -> None:
    assert radio.steady(before, now) == (now if told == "now" else before)


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (Way("wwan0", -97, 64, "LTE"), Way("wwan0", -105, 47, "LTE"), "before"),
        (Way("wwan0", -97, 64, "LTE"), Way("wwan0", -106, 64, "LTE"), "now"),
        (Way("wwan0", -97, 64, "LTE"), Way("wwan0", -97, 46, "LTE"), "now"),
        (Way("wwan0", -97, 64, "LTE"), Way("wwan0", None, 70, "LTE+5GNR"), "before"),
        (Way("wwan0", -97, 64, "LTE"), Way("ppp0", -97, 64, "LTE"), "now"),
        (Way("wwan0"), Way("wwan0", -97, 64, "LTE"), "now"),
        (Way("wlan0", -60), Way("wlan0", -68), "before"),
        (Way("wlan0", -60), Way("wlan0", -69), "now"),
    ],
)
def test_of_what_trembles_a_leap_is_told(before: Way, now: Way, told: str) -> None:
    assert radio.steady(before, now, often=True) == (now if told == "now" else before)
