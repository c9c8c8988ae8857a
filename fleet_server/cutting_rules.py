"""Whose connection to the broker ends when the revocation list has changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import datetime

OUT = b"out"  # what the process that ends connections says when everybody is out


@dataclass(frozen=True)
class Issued:
    """A certificate of a lamppost; name: "tenant/device", its client id at the broker."""

    serial: int
    name: str
    not_after: datetime


@dataclass(frozen=True)
class Cut:
    """names: whose connection ends. shut: those of them that have no good certificate left, so that nobody
    may come in by their name. strangers: serials that are new on the list and in no record of ours."""

    names: tuple[str, ...] = ()
    shut: frozenset[str] = frozenset()
    strangers: frozenset[int] = frozenset()


def cut(started: Set[int], before: Set[int], after: Set[int], issued: Iterable[Issued], now: datetime) -> Cut:
    """What follows from the list with the serials `after` where it had `before`, on hold or for good alike.

    started: those that the broker has known since it started: by them nobody ever shook hands with it.
    issued: every certificate of each lamppost that has one among those that were not on both.
    """
    known = list(issued)
    good = good_names(after, known, now)
    shut = {each.name for each in known if each.serial in after - started} - good
    fresh = after - before
    names = {each.name for each in known if each.serial in fresh} | shut
    strangers = fresh - {each.serial for each in known}
    return Cut(tuple(sorted(names)), frozenset(shut), frozenset(strangers))


def good_names(listed: Set[int], issued: Iterable[Issued], now: datetime) -> set[str]:
    """Those that have a certificate which opens the door."""
    return {each.name for each in issued if each.serial not in listed and each.not_after > now}
