"""What a birth tells of its way out is what the city reads, and what is thought of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.leaving import leave
from wire_contract.envelope import decode
from wire_contract.messages import Presence
from wire_contract.radio import NOT_MEASURED, SIGNAL, Judged, Way, judged, read, told
from wire_contract.topics import Up

WAYS = st.builds(
    Way,
    st.from_regex(r"[a-z0-9_][\w.-]{0,14}", fullmatch=True, alphabet=st.characters(codec="ascii")),
    st.none() | st.integers(-160, 0),
    st.none() | st.integers(0, 100),
    st.just("")
    | st.sampled_from(["GSM", "UMTS", "LTE", "5GNR", "LTE+5GNR", "1XRTT", "HSPA-PLUS", "LTE-NB-IOT"]),
)
OLDER = re.compile(r"(\w[\w.-]{0,14})(?: (-?[0-9]{1,3}) dBm)?")  # how `read` understood it before modems


@given(WAYS)
def test_what_is_told_is_read(way: Way) -> None:
    text = told(way)
    assert read(text) == way
    assert len(text) <= 55
    birth = Presence(True, 1, 5, bytes(16), "", True, settings={SIGNAL: text})
    left = decode(leave(Up.PRESENCE, birth))
    assert isinstance(left, Presence)
    assert left.settings[SIGNAL] == text, "nothing of it is taken for a place"


@given(st.text() | st.from_regex(r"[a-z]{1,16}( \S{1,5} (%|dBm)){0,3}( \S{1,30})?", fullmatch=True))
def test_whatever_is_read_is_told_again(text: str) -> None:
    way = read(text)
    assert way is None or read(told(way)) == way


@pytest.mark.parametrize(
    ("way", "text", "older"),
    [
        (Way("eth0"), "eth0", True),
        (Way("wlan0", -67), "wlan0 -67 dBm", True),
        (Way("wwan0"), "wwan0", True),
        (Way("wwan0", None, 64, "UMTS"), "wwan0 64 % UMTS", False),
        (Way("wwan0", -97, 26, "LTE"), "wwan0 26 % -97 dBm LTE", False),
        (Way("eth1", None, None, "5GNR"), "eth1 5GNR", False),
        (Way("ppp0", None, 0), "ppp0 0 %", False),
    ],
)
def test_an_older_server_reads_what_it_knows_and_takes_the_rest_for_nothing(
    way: Way, text: str, older: bool
) -> None:
    assert told(way) == text
    assert (OLDER.fullmatch(text) is not None) == older


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "wlan0 strong",
            "wlan0 -67",
            "wlan0 -6789 dBm",
            "x" * 16,
            "<b>",
            "wlan0\n",
            "wlan0 -67 dBm\n",
        ),
        *(
            "wwan0 101 %",
            "wwan0 -5 %",
            "wwan0 6.4 %",
            "wwan0 ٦٤ %",
            "wwan0 64%",
            "wwan0 % LTE",
            "wwan0 -9 dBm 64 %",
        ),
        *(
            "wwan0 64 % lte",
            "wwan0 64 % LTE LTE",
            "wwan0 64 % 4711",
            "wwan0 64 % " + "L" * 25,
            "wwan0 64 %  LTE",
        ),
        "w\u00fclan0 -67 dBm",
    ],
)
def test_what_is_none_of_the_forms_is_not_understood(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize(
    "way", [Way(""), Way("veth 0"), Way("x" * 16), Way("wwan0", None, 101), Way("wwan0", None, 5, "4 g")]
)
def test_what_could_not_be_read_is_not_told(way: Way) -> None:
    assert told(way) == ""


WIFI_WEAK = "Too weak for rain and leaves: an outdoor antenna, or LTE"
MODEM_WEAK = "Move the antenna, try another operator's SIM"


@pytest.mark.parametrize(
    ("text", "ok", "detail"),
    [
        ("eth0", True, "by eth0, no radio of its own"),
        ("wlan0 -75 dBm", True, "Wi-Fi wlan0: -75 dBm"),
        ("wlan0 -76 dBm", False, "Wi-Fi wlan0: -76 dBm"),
        ("wwan0", True, f"{NOT_MEASURED}: by wwan0, whose strength it does not tell"),
        ("eth1 LTE", True, f"{NOT_MEASURED}: by eth1, whose strength it does not tell"),
        ("wwan0 57 %", True, "mobile wwan0: 57 %, good"),
        ("wwan0 40 % UMTS", True, "mobile wwan0: 40 % UMTS, good"),
        ("wwan0 39 % UMTS", True, "mobile wwan0: 39 % UMTS, weak"),
        ("wwan0 25 % UMTS", True, "mobile wwan0: 25 % UMTS, weak"),
        ("wwan0 24 % UMTS", False, "mobile wwan0: 24 % UMTS, too weak"),
        ("wwan0 9 % -90 dBm LTE", True, "mobile wwan0: -90 dBm RSRP LTE, good"),
        ("wwan0 90 % -91 dBm LTE", True, "mobile wwan0: -91 dBm RSRP LTE, weak"),
        ("wwan0 90 % -100 dBm LTE", True, "mobile wwan0: -100 dBm RSRP LTE, weak"),
        ("eth1 90 % -101 dBm 5GNR", False, "mobile eth1: -101 dBm RSRP 5GNR, too weak"),
    ],
)
def test_what_is_thought_of_it(text: str, ok: bool, detail: str) -> None:
    way = read(text)
    assert way is not None
    remedy = "" if ok else WIFI_WEAK if text.startswith("wlan") else MODEM_WEAK
    assert judged(way) == Judged(ok, detail, remedy)
