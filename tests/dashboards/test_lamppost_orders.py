"""What a browser may ask of a lamppost, and what it is shown."""

from __future__ import annotations

from typing import Any

import pytest

from dashboards.lamppost_orders import OFFERED, Order, Wish, offered, rows, wish_of
from fleet_server.commands.service import CommandName


def order(**changed: Any) -> Order:
    fields: dict[str, Any] = {
        "id": 7, "command": "ping", "state": "queued", "asked_ms": 5, "asked_by": "ana", "reason": "",
        "detail": "", "result": (), "late": "", "file": 0,
    }  # fmt: skip
    return Order(**fields | changed)


@pytest.mark.parametrize(
    ("sent", "wish"),
    [
        ({"what": "tell", "command": "ping", "why": "so"}, Wish("tell", "ping")),
        ({"what": "cancel", "number": 7}, Wish("cancel", number=7)),
        ({"what": "save", "number": 7, "more": 1}, Wish("save", number=7)),
        ({"what": "tell", "command": "sing"}, None),
        ({"what": "tell"}, None),
        ({"what": "tell", "command": ["ping"]}, None),
        ({"what": "cancel", "number": True}, None),
        ({"what": "cancel", "number": 0}, None),
        ({"what": "cancel", "number": 1e3}, None),
        ({"what": "save", "number": 2**63}, None),
        ({"what": "erase", "number": 7}, None),
        ({}, None),
        ("tell", None),
        (None, None),
    ],
)
def test_what_a_browser_sends(sent: Any, wish: Wish | None) -> None:
    assert wish_of(sent) == wish


def test_everything_a_lamppost_can_do_is_offered() -> None:
    assert set(OFFERED) == set(CommandName)
    assert [each["key"] for each in offered()] == list(OFFERED)


def test_rows() -> None:
    waits, failed, whole = rows(
        [
            order(),
            order(
                state="failed", detail="0 of 1", result=(("sensor.front", "silent"),), late="succeeded: so"
            ),
            order(state="succeeded", file=1001),
        ]
    )
    assert (waits["open"], waits["kilobytes"], waits["tone"]) == (True, 0, "tone-quiet")
    assert waits["detail"].startswith("waits until the lamppost is online")
    assert (failed["open"], failed["tone"], failed["detail"]) == (
        False,
        "tone-bad",
        "0 of 1; later: succeeded: so",
    )
    assert failed["result"] == [{"name": "front", "text": "silent"}]
    assert (whole["kilobytes"], whole["tone"]) == (2, "tone-ok")
