"""ModemManager's tool as another's program: what it answers, and that nothing it does holds anybody up."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from edge_agent.io import modem
from tests.support.modem_manager import SUBSCRIBER, asked, signal, stand_in
from tests.support.modem_manager import modem as generic
from tests.support.waiting import wait_until
from wire_contract.radio import Way

LONG_S = 60.0  # nothing here waits for it
MODEMS = {
    0: (
        generic("eth1", percent="12", technologies=("umts",)),
        signal(lte="-90.00"),
    ),  # of before it fell back
    3: (generic("wwan0", percent="26"), signal(lte="-97.00", rate="10")),
}


@pytest.mark.parametrize(
    ("interface", "found"),
    [
        ("wwan0", Way("wwan0", -97, 26, "LTE")),
        ("eth1", Way("eth1", None, 12, "UMTS")),
        ("eth0", Way("eth0")),
        ("ppp0", Way("ppp0")),
    ],
)
def test_the_modem_that_the_way_goes_over(tmp_path: Path, interface: str, found: Way) -> None:
    program = stand_in(tmp_path, MODEMS)
    assert modem.look(Way(interface), program, LONG_S) == found
    assert SUBSCRIBER not in str(found)
    assert {line.split()[-1] for line in asked(tmp_path)} == {"-J"}
    assert not [line for line in asked(tmp_path) if "setup" in line], "it only looks"


def test_the_agents_sandbox_lets_it_speak_to_the_system_bus() -> None:
    unit = (Path(modem.__file__).parent.parent / "lamppost-agent.service").read_text()
    (families,) = re.findall("^RestrictAddressFamilies=(.*)$", unit, re.MULTILINE)
    assert "AF_UNIX" in families.split()
    assert "InaccessiblePaths" not in unit, "/run/dbus is seen; DBus asks for no other right"


def test_without_a_modem_or_a_modem_manager(tmp_path: Path) -> None:
    assert modem.look(Way("wwan0"), stand_in(tmp_path, {})) == Way("wwan0")
    assert asked(tmp_path) == ["-L -J"]
    (tmp_path / "no_program").write_text("not executable")
    for program in ("none", "no_program", "."):
        assert modem.look(Way("wwan0"), str(tmp_path / program)) == Way("wwan0")


@pytest.mark.parametrize(
    "script",
    [
        "echo 'error: could not find the ModemManager process in the bus' >&2; exit 1",
        "head -c 10000000 /dev/zero; exit 0",
        "while :; do echo flood; done",
        "printf garbage; exit 0",
        "trap 'exit 1' EXIT  # each answer is whole, and then it failed",
        "kill -9 $$",
        "exec >&-; exit 0",
    ],
)
def test_what_fails_floods_or_babbles_tells_nothing(tmp_path: Path, script: str) -> None:
    assert modem.look(Way("wwan0"), stand_in(tmp_path, MODEMS, script), LONG_S) == Way("wwan0")


@pytest.mark.parametrize(
    "script",
    [
        "echo $$ > pid; exec sleep 300",
        "sleep 300 & echo $! > pid; cat list.json; exit 0  # its child keeps the output open",
        "trap '' TERM; exec >&-; echo $$ > pid; while :; do sleep 300; done",
    ],
)
def test_what_hangs_is_ended_with_all_that_it_started(tmp_path: Path, script: str) -> None:
    program = stand_in(tmp_path, MODEMS, script)
    assert modem.look(Way("wwan0"), program, 0.5) == Way("wwan0")
    file = tmp_path / "pid"
    if file.exists():  # a slow machine may have ended it before that
        wait_until(lambda: not lives(int(file.read_text())), 5, "its end")
    assert len(asked(tmp_path)) <= 1, "no second question after the time was over"


def test_no_question_is_begun_when_the_time_is_over(tmp_path: Path) -> None:
    assert modem.answer((stand_in(tmp_path, MODEMS), "-L", "-J"), time.monotonic()) == b""
    assert asked(tmp_path) == []


def lives(pid: int) -> bool:
    """Whether it runs; a zombie that its new parent has not looked at yet does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False
