"""The five classes of what a device sends; each has its own sequence in the spool."""

from __future__ import annotations

from enum import IntEnum


class Class(IntEnum):
    """The value is the order in which the link drains: smaller first. The first sequence of each is 1."""

    ALARM = 0
    REPLY = 1
    LIVE = 2
    HISTORY = 3
    DIAGNOSTIC = 4


# A full spool pushes back on these instead of shedding them.
NEVER_DROP = frozenset({Class.ALARM, Class.REPLY})
