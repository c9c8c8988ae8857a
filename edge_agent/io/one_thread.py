"""Keep numpy's linear algebra from making a thread and a buffer for each core: the agent never uses it."""

from __future__ import annotations

import os


def one_thread() -> None:
    """Before numpy is imported."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
