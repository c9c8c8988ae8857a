"""How many samples each agent says that it ever spooled, whatever becomes of its spool meanwhile.

An agent counts from the beginning of its spool's epoch. A spool that was damaged and replaced begins a new
epoch, and its counters with it, so that the last word of an agent is not all that it spooled. Here the
highest count of each epoch is kept, as the status file told it (each two seconds), and added up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from demo.ledger import Comparison


@dataclass
class SpooledCounts:
    """By lamppost and epoch."""

    _highest: dict[str, dict[str, int]] = field(default_factory=dict)

    def hear(self, post: str, status: Mapping[str, Any]) -> None:
        """Take in a lamppost's status file; one that says nothing yet changes nothing."""
        counts, epoch = status.get("spooled"), status.get("epoch")
        if not isinstance(counts, dict) or not isinstance(epoch, str):
            return
        epochs = self._highest.setdefault(post, {})
        epochs[epoch] = max(epochs.get(epoch, 0), sum(counts.values()))

    def of(self, post: str) -> int:
        """Of one lamppost. What a new epoch took over from a damaged one counts in both."""
        return sum(self._highest.get(post, {}).values())

    def epochs(self, post: str) -> int:
        return len(self._highest.get(post, {}))

    def total(self) -> int:
        return sum(self.of(post) for post in self._highest)


def split_missing(compared: Mapping[str, Comparison], spooled: SpooledCounts) -> tuple[int, int]:
    """(lost, unspooled) samples. Unspooled: sensed in the last seconds of an agent that was killed, or when a
    spool refused, so that no spool ever had them; one lamppost's never excuse what another's lost."""
    lost = unspooled = 0
    for post, found in compared.items():
        never = max(0, found.sent - spooled.of(post))
        unspooled += never
        lost += max(0, found.missing - never)
    return lost, unspooled
