"""Where the shared real data is: read in place, never copied; a test that needs it skips without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def shared_data() -> Path | None:
    """`LAMPPOST_SHARED_DATA`, else `../shared/data` beside the checkout, else None."""
    given = os.environ.get("LAMPPOST_SHARED_DATA")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def need_shared(relative: str) -> Path:
    """The path of one shared file, or skip the test saying what is missing."""
    folder = shared_data()
    if folder is None or not (folder / relative).exists():
        pytest.skip(f"real data not here: ../shared/data/{relative} (set LAMPPOST_SHARED_DATA to its folder)")
    return folder / relative
