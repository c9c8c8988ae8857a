"""The last word on the whole log: kept in this process, so that asking for it costs what was written since.

All but the newest line of a walk is the base. For BASE_GOOD_FOR the next walk begins after it: somebody who
changes an old line meanwhile is found when that is over, or at once by an officer of the installation who
asks for the whole. One walk at a time: whoever comes meanwhile hears the last word, with its instant.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from fleet_server.audit.verifying import Place, Verified
from fleet_server.db import Database
from fleet_server.errors import TooManyRequests

BASE_GOOD_FOR = timedelta(hours=1)
FAULT_GOOD_FOR = timedelta(minutes=1)  # whoever mends something looks again
RETRY_AFTER_S = 10


class Walking(TooManyRequests):
    """Somebody has the log verified just now, and nobody before."""


@dataclass(frozen=True)
class Verdict:
    """`at`: when somebody looked last; `whole_at`: when every line was walked last. Real time."""

    found: Verified
    at: datetime
    whole_at: datetime


@dataclass(frozen=True)
class Base:
    """Lines up to `place`, as they were found sound."""

    found: Verified
    place: Place


class Verdicts:
    """Of one installation, for every thread of this process."""

    def __init__(self) -> None:
        self._walking = threading.Lock()
        self.last: Verdict | None = None
        self.base: Base | None = None
        self.ends: tuple[Place, int] | None = None  # of the log, when it was looked at last

    @contextmanager
    def walking(self) -> Iterator[bool]:
        """False where somebody else is at it. Raises Walking where there is no last word either."""
        mine = self._walking.acquire(blocking=False)
        if not mine and self.last is None:
            raise Walking(
                "Somebody has the log verified just now.",
                remedy=f"Come again in {RETRY_AFTER_S} s.",
                members={"retry_after_s": RETRY_AFTER_S},
            )
        try:
            yield mine
        finally:
            if mine:
                self._walking.release()

    def base_now(self, now: datetime) -> Base | None:
        """Where the next walk may begin; None: at the first line."""
        if self.last is None or self.base is None or not _within(now - self.last.whole_at, BASE_GOOD_FOR):
            return None
        return self.base

    def stands(self, now: datetime, ends: tuple[Place, int]) -> bool:
        """Is the last word still about this log? ends: its newest line, the newest that is signed for."""
        if self.last is None:
            return False
        if self.last.found.fault is not None:
            return _within(now - self.last.at, FAULT_GOOD_FOR)
        return self.ends == ends and _within(now - self.last.whole_at, BASE_GOOD_FOR)


def _within(age: timedelta, most: timedelta) -> bool:
    """False of what is of a later time, too: somebody put the clock back."""
    return timedelta(0) <= age < most


_of: WeakKeyDictionary[Database, Verdicts] = WeakKeyDictionary()
_making = threading.Lock()


def verdicts_of(db: Database) -> Verdicts:
    """What this process knows of the log in this database."""
    with _making:
        return _of.setdefault(db, Verdicts())


def joined(base: Verified, since: Verified) -> Verified:
    """Of a log that was walked in two parts."""
    return replace(
        since,
        lines=base.lines + since.lines,
        first=base.first or since.first,
        checkpoints=base.checkpoints + since.checkpoints,
        erased=base.erased + since.erased,
        signed_to=max(base.signed_to, since.signed_to),
    )
