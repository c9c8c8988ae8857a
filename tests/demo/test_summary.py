"""What people see of a running city: every lamppost, what is wrong, what happens and what comes."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from demo.summary import PostState, Snapshot, draw

POST = PostState("post-01  Harbour Street 3", "PMS5003", "online", 3, 1200, "12", "57 Moderate", ())
SNAPSHOT = Snapshot(
    posts=(POST, replace(POST, name="post-05  Ring Road 11", conditions=("sensor_stuck",))),
    street_ms=1_790_000_000_000,
    speed=60,
    running_s=62,
    run_for_s=90,
    dashboard="http://127.0.0.1:8080",
    login="sign in: admin / secret",
    incidents=("Episode in Harbour (major, 3 lampposts)",),
    story=("a plume is over Harbour Street", "in 2 s a plume enters at Mill Lane"),
)


def shown(snapshot: Snapshot) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(draw(snapshot))
    return out.getvalue()


def test_every_part_of_the_picture() -> None:
    text = shown(SNAPSHOT)
    for part in (
        "http://127.0.0.1:8080",
        "running 62 s of 90 s",
        "57 Moderate",
        "sensor_stuck",
        "incident  Episode in Harbour (major, 3 lampposts)",
        "story     in 2 s a plume enters at Mill Lane",
        "2,400 samples stored, 6 waiting",
    ):
        assert part in text


def test_while_history_is_lived_through_it_says_for_how_long() -> None:
    text = shown(replace(SNAPSHOT, running_s=-12.4, story=()))
    assert "12 s until history is lived through\n" in "".join(
        f"{line.rstrip()}\n" for line in text.splitlines()
    )
