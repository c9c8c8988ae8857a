"""Which test files share a worker: those of whole systems stand in one queue, so that two never run at once.

Such a test waits more than it works, and starves only beside its like: three cities at a time on two cores
failed one another, one city beside two workers with everything else does not.
"""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

WHOLE_SYSTEMS = ("tests/system/", "tests/chaos/", "tests/demo/")


class OneSystemAtATime(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file is a unit of work, as with `--dist loadfile`; whole systems together are one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "whole systems" if file.startswith(WHOLE_SYSTEMS) else str(file)
