"""The way out becomes a line of the birth, and the city reads it back; for a modem nobody waits."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent import doctor
from edge_agent.core.radio import STEP_PERCENT
from edge_agent.io import radio
from edge_agent.io.modem import look
from edge_agent.io.radio import ASK_EVERY_S, KEPT_S, MOVES_MOST, MOVES_WITHIN_S, NONE_EVERY_S, Radio
from tests.edge_agent.core.test_radio import WIFI, route
from tests.support.modem_manager import modem, signal, stand_in
from tests.support.waiting import wait_until
from wire_contract.radio import Way, read


class Desk:
    """A modem that answers when it is let, a clock that goes when it is told."""

    def __init__(self, net: Path, interface: str) -> None:
        (net / "route").write_text(route((interface, 5)))
        self.now_s, self.asked, self.changes = 0.0, 0, 0
        self.answer = threading.Semaphore(0)
        self.percent: int | None = 64
        self.radio = Radio(self._changed, net, self._ask, lambda: self.now_s)

    def _changed(self) -> None:
        self.changes += 1

    def _ask(self, way: Way) -> Way:
        self.asked += 1
        self.answer.acquire()
        return way if self.percent is None else replace(way, percent=self.percent, technology="LTE")

    def answered(self, percent: int | None) -> str:
        """What is told after the modem was asked once more, and said this."""
        self.percent = percent
        self.radio.signal()
        self.answer.release()
        wait_until(lambda: not self.radio._asking, 5, "its answer")
        return self.radio.signal()


@pytest.mark.parametrize(
    ("way", "wireless", "told", "back"),
    [
        (("wlan0", 600), WIFI.format(level=-67), "wlan0 -67 dBm", Way("wlan0", -67)),
        (("wwan0", 5), WIFI.format(level=-67), "wwan0 64 % LTE", Way("wwan0", None, 64, "LTE")),
        (None, WIFI.format(level=-67), "", None),
        (("wlan0", 5), "\x00\xff", "wlan0 64 % LTE", Way("wlan0", None, 64, "LTE")),
    ],
)
def test_what_the_kernel_and_the_modem_say_is_told_and_read(
    tmp_path: Path, way: tuple[str, int] | None, wireless: str, told: str, back: Way | None
) -> None:
    desk = Desk(tmp_path, "eth0")
    (tmp_path / "route").write_text(route(way) if way else route())
    (tmp_path / "wireless").write_text(wireless, encoding="latin-1")
    desk.radio.signal()
    desk.answer.release()
    wait_until(lambda: desk.radio.signal() == told, 5, told)
    assert read(told) == back


def test_a_wifi_that_trembles_is_told_once(tmp_path: Path) -> None:
    """Each telling is a birth, and costs data."""
    desk = Desk(tmp_path, "wlan0")
    said = []
    for level in (-67, -68, -66, -69, -70, -69, -68):
        (tmp_path / "wireless").write_text(WIFI.format(level=level))
        said.append(desk.radio.signal())
    assert said == ["wlan0 -67 dBm"] * 4 + ["wlan0 -70 dBm"] * 3


def test_what_trembles_all_day_is_told_some_times_an_hour(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "wwan0")
    for hour in range(2):
        desk.now_s = hour * MOVES_WITHIN_S
        for percent in (60, 66) * 4:
            desk.answered(percent + hour * STEP_PERCENT)
            desk.now_s += ASK_EVERY_S
    assert desk.changes == 2 * MOVES_MOST
    assert desk.answered(20) == "wwan0 20 % LTE", "an antenna fell"
    for interface, level in (("wlan0", -60), ("wlan0", -64)):
        (tmp_path / "route").write_text(route((interface, 5)))
        (tmp_path / "wireless").write_text(WIFI.format(level=level))
        assert desk.radio.signal() == "wlan0 -60 dBm"


def test_a_modem_named_as_a_cable_is_asked_again_soon_when_one_answer_failed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "eth1")
    assert desk.answered(64) == "eth1 64 % LTE"
    desk.now_s += ASK_EVERY_S
    assert desk.answered(None) == "eth1 64 % LTE"
    desk.now_s += ASK_EVERY_S
    assert desk.answered(30) == "eth1 30 % LTE"
    assert desk.asked == 3


def test_where_the_kernel_says_nothing(tmp_path: Path) -> None:
    made = Radio(lambda: None, tmp_path / "none", lambda way: way)
    assert made.signal() == "", "no Linux"


def test_nobody_waits_for_a_modem_and_it_is_asked_once_at_a_time(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "wwan0")
    for _ in range(3):
        assert desk.radio.signal() == "wwan0", "it has not answered yet"
    wait_until(lambda: desk.asked, 5, "the question")
    desk.now_s += 10 * NONE_EVERY_S
    assert desk.radio.signal() == "wwan0"
    assert desk.asked == 1, "while it hangs no other is begun"
    assert desk.answered(64) == "wwan0 64 % LTE"
    assert (desk.asked, desk.changes) == (1, 1)


def test_how_often_it_is_asked_and_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "wwan0")
    assert desk.answered(64) == "wwan0 64 % LTE"
    desk.now_s += ASK_EVERY_S - 1
    desk.radio.signal()
    assert desk.asked == 1
    desk.now_s += 1
    assert desk.answered(67) == "wwan0 64 % LTE", "a little more is no news"
    assert (desk.asked, desk.changes) == (2, 1)
    desk.now_s += ASK_EVERY_S
    assert desk.answered(30) == "wwan0 30 % LTE"
    assert (desk.asked, desk.changes) == (3, 2)
    desk.now_s += ASK_EVERY_S
    assert desk.answered(None) == "wwan0 30 % LTE", "one answer that failed"
    desk.now_s += KEPT_S - ASK_EVERY_S
    assert desk.answered(None) == "wwan0", "what is too old is told no more"
    desk.now_s += ASK_EVERY_S
    assert desk.answered(30) == "wwan0 30 % LTE"


def test_a_cable_is_asked_about_seldom_and_another_way_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "eth0")
    assert desk.answered(None) == "eth0"
    desk.now_s += NONE_EVERY_S - 1
    desk.radio.signal()
    assert desk.asked == 1
    (tmp_path / "route").write_text(route(("wwan0", 5)))
    assert desk.answered(64) == "wwan0 64 % LTE"
    (tmp_path / "route").write_text(route(("ppp0", 5)))
    assert desk.radio.signal() == "ppp0", "the other one's strength is not its own"
    desk.answer.release()


def test_the_doctor_judges_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "route").write_text(route(("wwan0", 5)))
    program = stand_in(tmp_path, {0: (modem("wwan0"), signal(lte="-104.00", rate="10"))})
    found = radio.look(tmp_path, lambda way: look(way, program, 60.0))
    for seen, ok, detail in (
        (found, False, "mobile wwan0: -104 dBm RSRP LTE, too weak"),
        (Way("eth0"), True, "by eth0, no radio of its own"),
        (None, True, "not measured: there is no default route"),
    ):
        monkeypatch.setattr(radio, "look", lambda seen=seen: seen)
        check = doctor._signal()
        assert (check.name, check.ok, check.detail, bool(check.remedy)) == ("signal", ok, detail, not ok)
