"""Wait for something to become true, with a deadline and a message that says what was awaited."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.05  # short beside any deadline here, long beside a query
# A shared machine stops for seconds at a time, and a lamppost sends again after thirty what nobody acked;
# patience costs only where a test fails
LEAST_S = 60.0
KEEP_ALIVE_S = 600  # of a server in a test: uvicorn's five, and it hangs up while the next request is written


def wait_until(predicate: Callable[[], T], timeout_s: float, what: str) -> T:
    """Call `predicate` until it returns something true; return that. After `timeout_s`, or LEAST_S where
    that is more, the test fails.
    """
    timeout_s = max(timeout_s, LEAST_S)
    deadline = time.monotonic() + timeout_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s for: {what}")
        time.sleep(POLL_S)
