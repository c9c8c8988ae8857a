from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from demo.layout import MARKER, lay_out
from demo.ports import DEFAULT_PORTS, claim_ports
from demo.settings import DemoSettings, WrongArgument


def test_a_folder_that_no_demo_made_is_never_emptied(tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    with pytest.raises(WrongArgument, match="no demo made it"):
        lay_out(DemoSettings(tmp_path))
    assert precious.read_text() == "mine"
    with pytest.raises(WrongArgument, match="is not a folder"):
        lay_out(DemoSettings(precious))


def test_a_folder_in_use_is_left_alone_and_a_left_one_is_made_anew(tmp_path: Path) -> None:
    settings = DemoSettings(tmp_path / "city", posts=2)
    first = lay_out(settings)
    (first.posts[0].directory / "kept").touch()
    with pytest.raises(WrongArgument, match="another demo runs in it"):
        lay_out(settings)
    assert (first.posts[0].directory / "kept").exists()
    first.lock.close()
    second = lay_out(replace(settings, posts=6))
    assert not (second.posts[0].directory / "kept").exists()
    assert (second.root / MARKER).exists()
    kinds = [post.kind for post in second.posts]
    assert kinds == ["pms5003", "sds011", "sps30", "pms5003t", "pms5003", "sds011"]
    assert {post.place.district for post in second.posts} == {"Harbour", "Park"}


def test_a_documented_port_that_is_taken_gives_way_to_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", DEFAULT_PORTS["ui"]))
            taken.listen()
        except OSError:
            pass  # somebody else has it: just as taken
        ports = claim_ports().by_use
    assert ports["ui"] != DEFAULT_PORTS["ui"]
    assert len(set(ports.values())) == len(DEFAULT_PORTS)


def test_two_demos_that_start_at_once_take_different_ports() -> None:
    first, second = claim_ports(), claim_ports()
    assert not set(first.by_use.values()) & set(second.by_use.values())
