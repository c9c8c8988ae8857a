"""What time it is before the clock was set: whose word counts, and within which bounds. Pure.

A certificate is checked against a clock, and a device without a battery has none until a time service
answers, which at many sites nothing but our server does. So the server is asked, over TLS that checks
everything about its certificate but the dates; its word counts where it fits the dates of that very
certificate and is not before anything that we know to be past. Whoever holds a key that ran out can only tell
times of its own life.
"""

from __future__ import annotations

from edge_agent.core.stamping import CLOCK_LATEST_MS, CLOCK_SET_MS

SKEW_S = 300.0  # certificates begin five minutes before they are made, for clocks a little behind


def floor_s(own_from_s: float | None) -> float:
    """The earliest that it can be: this program was made, and our own certificate has begun. Since 1970."""
    made_s = CLOCK_SET_MS / 1000
    return made_s if own_from_s is None else max(made_s, own_from_s)


def is_behind(now_s: float, floor: float) -> bool:
    """Was this clock never set, or put back to where it was when the power went?"""
    return now_s < floor - SKEW_S


def doubt(told_s: float, floor: float, from_s: float, until_s: float) -> str:
    """Why the time that a server tells is not taken; "" where it is. from_s, until_s: of its certificate."""
    if told_s < floor - SKEW_S:
        return "it is before what is known to be past"
    if told_s >= CLOCK_LATEST_MS / 1000:
        return "it is later than any clock of ours can be"
    if not from_s <= told_s <= until_s:
        return "its own certificate is not valid then"
    return ""
