"""Messages between the broker's thread and the worker: what is urgent goes before history, neither starves.

Bounded by MQTT's receive maximum: the broker sends no more until messages are acknowledged.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from fleet_server.telemetry.ingest.intake import Incoming
from wire_contract.topics import Up

HISTORY_SUFFIX = f"/up/{Up.HISTORY}"
HISTORY_SHARE = (
    8  # at least one message in so many of a group is history, if there is any: it must end one day
)
MAX_GROUP_BYTES = (
    96 * 1024
)  # about 80,000 readings: a transaction stays well under a second, and so does live


class Mailbox:
    """Thread-safe. `put` from the broker's thread, `take` from the worker's."""

    def __init__(self) -> None:
        self._urgent: deque[Incoming] = deque()
        self._history: deque[Incoming] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, incoming: Incoming) -> None:
        with self._changed:
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
        reserved = min(len(self._history), most // HISTORY_SHARE)
        picked: list[Incoming] = []
        size = 0
        for queue, limit in ((self._urgent, most - reserved), (self._history, most)):
            while queue and len(picked) < limit:
                if picked and size + len(queue[0].payload) > MAX_GROUP_BYTES:
                    break
                picked.append(queue.popleft())
                size += len(picked[-1].payload)
        return picked
