"""Which test files share a worker: those of whole systems stand in one queue, those of browsers in another.

Such tests wait more than they work, and starve beside their like: three cities at a time on two cores failed
one another. One city and one browser beside a worker with everything else do not.
"""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

QUEUES = {  # in this order they begin, before everything else
    "whole systems": ("tests/system/", "tests/chaos/", "tests/demo/"),
    "browsers": ("tests/dashboards/",),
}


def queue_of(file: str) -> str | None:
    """file: below the project's folder. None: it stands in none, any worker may take it."""
    return next((name for name, folders in QUEUES.items() if file.startswith(folders)), None)


class OneOfAKindAtATime(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file is a unit of work, as with `--dist loadfile`; a queue is one, too."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return queue_of(file) or str(file)
