"""Messages between the broker's thread and the worker: what is urgent goes before history, neither starves.

Bounded by MQTT's receive maximum: the broker sends no more until messages are acknowledged. What comes with
QoS 0 is not counted by it, and is dropped where too much waits.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

from fleet_server.telemetry.ingest.intake import Incoming
from wire_contract.topics import Up

HISTORY_SUFFIX = f"/up/{Up.HISTORY}"
HISTORY_SHARE = 8  # history is kept one in so many messages and bytes, if there is any: it must end one day
MAX_UNCOUNTED = 2_000  # messages waiting when one of QoS 0 comes: nobody promised to keep it
MAX_GROUP_BYTES = 512 * 1024  # about 600,000 readings: a transaction, and so live, stays well below 1 s


class Mailbox:
    """Thread-safe. `put` from the broker's thread, `take` from the worker's."""

    def __init__(self) -> None:
        self._urgent: deque[Incoming] = deque()
        self._history: deque[Incoming] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._connection = 0
        self._groups = 0

    def put(self, arrived: Iterable[Incoming]) -> None:
        """What waits from an earlier connection is dropped: unacknowledged, it comes again."""
        with self._changed:
            for incoming in arrived:
                if incoming.connection != self._connection:
                    self._connection = incoming.connection
                    self._urgent.clear()
                    self._history.clear()
                if not incoming.mid and self._waiting() >= MAX_UNCOUNTED:
                    continue
                (self._history if incoming.topic.endswith(HISTORY_SUFFIX) else self._urgent).append(incoming)
            self._changed.notify()

    def close(self) -> None:
        """Wake `take` for good: it returns what is there, then nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, most: int, age_s: float) -> list[Incoming]:
        """Up to `most` messages: when there are so many, else `age_s` after the first. [] once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting())
            deadline = time.monotonic() + age_s
            while self._waiting() < most and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            return self._pick(most)

    def _waiting(self) -> int:
        return len(self._urgent) + len(self._history)

    def _pick(self, most: int) -> list[Incoming]:
        self._groups += 1
        turn = int(self._groups % HISTORY_SHARE == 0)  # for groups, or room, too small to be shared
        share = max(most // HISTORY_SHARE, turn)
        history = _draw(self._history, share, MAX_GROUP_BYTES // HISTORY_SHARE, turn)
        room = MAX_GROUP_BYTES - _bytes(history)
        urgent = _draw(self._urgent, most - len(history), room, 0 if history else 1)
        picked = urgent + history
        room -= _bytes(urgent)
        return picked + _draw(self._history, most - len(picked), room, 0 if picked else 1)


def _draw(queue: deque[Incoming], most: int, room: int, least: int) -> list[Incoming]:
    """The first messages of `queue`, at most so many and so many bytes; `least` whatever their size."""
    drawn: list[Incoming] = []
    while queue and len(drawn) < most and (len(drawn) < least or len(queue[0].payload) <= room):
        drawn.append(queue.popleft())
        room -= len(drawn[-1].payload)
    return drawn


def _bytes(messages: list[Incoming]) -> int:
    return sum(len(each.payload) for each in messages)
