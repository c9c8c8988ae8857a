"""What the kernel says of the way out becomes a line of the birth, and the city reads it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.io.radio import signal
from tests.provisioning.technician.test_site_test import WIFI, route
from wire_contract.radio import Way, read


@pytest.mark.parametrize(
    ("way", "wireless", "told", "back"),
    [
        (("wlan0", 600), WIFI.format(level=-67), "wlan0 -67 dBm", Way("wlan0", -67.0)),
        (("eth0", 5), WIFI.format(level=-67), "eth0", Way("eth0")),
        (("wwan0", 5), "", "wwan0", Way("wwan0")),
        (None, WIFI.format(level=-67), "", None),
        (("wlan0", 5), "\x00\xff", "wlan0", Way("wlan0")),
    ],
)
def test_what_the_kernel_says_is_told_and_read(
    tmp_path: Path, way: tuple[str, int] | None, wireless: str, told: str, back: Way | None
) -> None:
    (tmp_path / "route").write_text(route(way) if way else route())
    (tmp_path / "wireless").write_text(wireless, encoding="latin-1")
    assert signal(tmp_path) == told
    assert read(told) == back


def test_where_the_kernel_says_nothing_or_something_else(tmp_path: Path) -> None:
    assert signal(tmp_path) == "", "no Linux"
    (tmp_path / "route").write_text("Iface\nwlan0 00000000 0 0 0 0 many 00000000\n")
    assert signal(tmp_path) == ""
    for garbage in ("", " ", "wlan0 strong", "wlan0 -67", "wlan0 -6789 dBm", "x" * 16, "<b>", "wlan0\n"):
        assert read(garbage) is None
