"""Lost is what a spool had and the city has not: by lamppost, and across the epochs of its spool."""

from __future__ import annotations

from typing import Any

from demo.counts import SpooledCounts, split_missing
from demo.ledger import Comparison


def told(epoch: str, **counts: int) -> dict[str, Any]:
    return {"epoch": epoch, "spooled": counts}


def test_a_counter_that_starts_over_does_not_excuse_what_was_lost() -> None:
    spooled = SpooledCounts()
    for status in (told("a", live=40, history=50), told("b", live=8), {}, told("b", live=10)):
        spooled.hear("post", status)
    assert (spooled.of("post"), spooled.epochs("post")) == (100, 2)
    # By the last counter alone ninety would never have been spooled, and the seven no loss.
    assert split_missing({"post": Comparison(100, 93, 7, 0)}, spooled) == (7, 0)


def test_what_no_spool_ever_had_is_not_lost_and_excuses_no_other_lamppost() -> None:
    spooled = SpooledCounts()
    spooled.hear("killed", told("a", live=97))
    spooled.hear("other", told("c", live=100))
    compared = {"killed": Comparison(100, 97, 3, 0), "other": Comparison(100, 98, 2, 0)}
    assert split_missing(compared, spooled) == (2, 3)
    assert split_missing({"never heard": Comparison(5, 5, 0, 0)}, spooled) == (0, 5)
