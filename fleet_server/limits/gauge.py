"""What each device sends, counted in the ingest as it comes: one look-up a message.

By topic, as it is at hand; put together by device a few times a minute. A device publishes on nine topics and
no other (the broker's access list), so what is kept is bounded by the number of devices.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from fleet_server.limits.rules import Own, Rate, Shares
from wire_contract.errors import UnknownTopic
from wire_contract.topics import Address, parse_topic

MINUTE_S = 60.0
LOOK_EVERY_S = 5.0  # a flood is stopped within so many seconds of passing the limit


class Message(Protocol):
    @property
    def topic(self) -> str: ...
    @property
    def payload(self) -> bytes: ...


class Gauge:
    """`limit`: of one device in a minute. `workers`: processes that a device's messages are dealt to in turn,
    each of which sees its share. Thread-safe."""

    def __init__(self, limit: Rate, now_s: float, workers: int = 1) -> None:
        self._limit, self._workers = limit, workers
        self._lock = threading.Lock()
        self._tallies: dict[str, list[int]] = {}
        self._began_s = self._looked_s = now_s
        self._told: set[Address] = set()  # within this minute

    def note(self, arrived: Iterable[Message]) -> None:
        with self._lock:
            tallies = self._tallies
            for each in arrived:
                tally = tallies.get(each.topic)
                if tally is None:
                    tally = tallies[each.topic] = [0, 0]
                tally[0] += 1
                tally[1] += len(each.payload)

    def floods(self, now_s: float, own: Callable[[], Mapping[str, Own]] = dict) -> dict[Address, Rate]:
        """Who is beyond the limit and was not named in this minute; looks each LOOK_EVERY_S.

        own: tenants' own limits; asked for at a look.
        """
        if now_s - self._looked_s < LOOK_EVERY_S:
            return {}
        self._looked_s = now_s
        shares = Shares(self._limit, own(), self._workers)
        with self._lock:
            found = _beyond(self._tallies, shares)
            if now_s - self._began_s >= MINUTE_S:
                self._began_s, self._tallies = now_s, {}
        beyond = {address: rate for address, rate in found.items() if address not in self._told}
        self._told = set(self._told | set(beyond)) if self._tallies else set()
        return beyond


def _beyond(tallies: dict[str, list[int]], shares: Shares) -> dict[Address, Rate]:
    # By the topic's stem, and an address for those alone that are beyond some limit: most minutes nobody is.
    sums: dict[str, list[int]] = {}
    for topic, (messages, size) in tallies.items():
        total = sums.setdefault(topic.rpartition("/up/")[0], [0, 0])
        total[0] += messages
        total[1] += size
    found, least = {}, shares.least
    for stem, (messages, size) in sums.items():
        if messages > least.messages or size > least.bytes:
            with suppress(UnknownTopic):
                address, seen = parse_topic(f"{stem}/up/live")[0], Rate(messages, size)
                if shares.beyond(address.tenant, seen):
                    found[address] = seen
    return found
