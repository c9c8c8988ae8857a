"""What both runtimes need around their native code: numpy kept to one thread, its failures named."""

from __future__ import annotations

import os

# What an import raises, beside ImportError, where numpy and the runtime were built against each other's other
# versions, or for another processor.
BROKEN = (RuntimeError, ValueError, TypeError, AttributeError, SystemError, OSError)
REINSTALL = (
    "Install numpy and the runtime again, in versions that go together: lamppost agent model shows them."
)


def one_thread() -> None:
    """Keep numpy's linear algebra from making a thread and a buffer for each core: the agent never uses it.
    Before numpy is imported."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
