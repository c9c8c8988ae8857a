"""What a lamppost was told, from values to what the browser is sent, and what a browser asks for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SHOWN = 20  # the newest
NUMBER_MAX = 2**63 - 1
# what a person reads -> what is told; the service judges it again
OFFERED = {
    "ping": "Answer",
    "sensors": "Read each sensor once",
    "logs": "Send the last log lines",
    "bundle": "Send a support bundle",
    "declare": "Declare its sensors again",
    "restart": "Restart the agent",
    "reboot": "Restart the computer",
}
_LOOKS = {
    "succeeded": ("fresh", "tone-ok"),
    "failed": ("error", "tone-bad"),
    "rejected": ("error", "tone-bad"),
    "timed out": ("warning", "tone-warn"),
    "expired": ("warning", "tone-warn"),
}
_TAKEN_BACK_FROM = {"queued", "sent"}
_WAITS = {
    "queued": "waits until the lamppost is online, and for what was asked before",
    "sent": "sent, no word yet",
    "received": "the lamppost has begun",
}


@dataclass(frozen=True)
class Order:
    """One command. Instants are real time. file: its size in bytes, 0 where there is no whole one."""

    id: int
    command: str
    state: str
    asked_ms: int
    asked_by: str
    reason: str
    detail: str
    result: tuple[tuple[str, str], ...]
    late: str
    file: int


@dataclass(frozen=True)
class Wish:
    """What a person asked for: to tell `command`, to take back or to save the file of `number`."""

    what: str
    command: str = ""
    number: int = 0


def wish_of(sent: Any) -> Wish | None:
    """None for garbage."""
    if not isinstance(sent, dict):
        return None
    match sent.get("what"):
        case "tell":
            command = sent.get("command")
            if not isinstance(command, str) or command not in OFFERED:
                return None
            return Wish("tell", command)
        case ("cancel" | "save") as what:
            number = sent.get("number")
            if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= NUMBER_MAX:
                return None
            return Wish(what, number=number)
        case _:
            return None


def rows(found: Sequence[Order]) -> list[dict[str, Any]]:
    """A line for each, newest first."""
    return [_row(order) for order in found]


def _row(order: Order) -> dict[str, Any]:
    mark, tone = _LOOKS.get(order.state, ("none", "tone-quiet"))
    told = order.detail or _WAITS.get(order.state, "")
    return {
        "id": order.id,
        "title": OFFERED.get(order.command, order.command),
        "state": order.state,
        "mark": mark,
        "tone": tone,
        "asked": order.asked_ms,
        "by": order.asked_by,
        "reason": order.reason,
        "detail": f"{told}; later: {order.late}" if order.late else told,
        "result": [{"name": name.removeprefix("sensor."), "text": text} for name, text in order.result],
        "open": order.state in _TAKEN_BACK_FROM,
        "kilobytes": -(-order.file // 1000),
    }


def offered() -> list[dict[str, str]]:
    return [{"key": key, "title": title} for key, title in OFFERED.items()]
