"""Is the log the one that was written? Pure: lines and checkpoints in, the first fault out, or none.

What each part can see:
  the chain             a line that was changed, left out, put in or moved, unless all after it were made anew
  checkpoints           that: nobody without the key signs for another line; and that the log was cut short
  the head              lines cut off at the end since the newest checkpoint, by somebody who forgot it
  digests               a personal value that is not the one that was recorded
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from fleet_server.audit.rules import BEFORE_THE_FIRST, Personal, chained, digest


class FaultKind(StrEnum):
    MISSING = "missing"
    REORDERED = "reordered"
    CHANGED = "changed"
    FORGED = "forged"
    PERSONAL = "personal value changed"
    CHECKPOINT = "checkpoint forged"
    CUT = "cut off"


@dataclass(frozen=True)
class Fault:
    """`line`: the first that is not as it was. `means`: in words, for whoever has to act on it."""

    line: int
    kind: FaultKind
    means: str


@dataclass(frozen=True)
class Line:
    """body None: somebody else's, of whom a tenant's export tells the hash alone.

    beside None: the values were left out, there is nothing to compare. copied: columns beside the body.
    """

    number: int
    body: str | None
    hash: bytes
    beside: tuple[Personal, ...] | None = None
    copied: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Checkpoint:
    number: int
    hash: bytes
    at: datetime
    kind: str
    key_id: str
    signature: bytes


@dataclass(frozen=True)
class Place:
    """A line's number and hash: where a chain goes on from, or ends."""

    number: int
    hash: bytes


@dataclass(frozen=True)
class Verified:
    """fault None: sound. signed_to: the newest line that a right signature covers; 0: none."""

    lines: int
    first: int
    last: int
    checkpoints: int
    erased: int
    signed_to: int
    fault: Fault | None


START = Place(0, BEFORE_THE_FIRST)
RETENTION = "retention"
# does the key of this id say so? None: there is no such key here
Signed = Callable[[Checkpoint], bool | None]


def signed_bytes(number: int, line_hash: bytes, at: datetime, kind: str) -> bytes:
    """What a checkpoint's signature is over: five lines of ASCII."""
    instant = at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"lamppost audit checkpoint 1\n{kind}\n{number}\n{line_hash.hex()}\n{instant}\n".encode()


def verify(
    lines: Iterable[Line],
    checkpoints: Sequence[Checkpoint],
    signed: Signed,
    *,
    start: Place | None = None,
    head: Place | None = None,
    seen: Sequence[Place] = (),
) -> Verified:
    """Walk the log once, in the order given.

    start: where a part of a log is said to begin; None: the whole log, whose first lines may be gone only if
    a checkpoint of retention stands for them. head: the newest line by the log's own word. seen: what
    somebody noted down elsewhere.
    """
    walk = _Walk(checkpoints, signed, seen)
    fault = walk.bad_signature() or walk.through(lines, start)
    fault = fault or walk.end(head, whole=start is None) or walk.not_seen()
    return Verified(
        walk.count, walk.first, walk.at.number, len(checkpoints), walk.erased, walk.signed_to, fault
    )


class _Walk:
    """Where a verification is: `at` is the last line that was right."""

    def __init__(self, checkpoints: Sequence[Checkpoint], signed: Signed, seen: Sequence[Place]) -> None:
        self._checkpoints, self._signed = checkpoints, signed
        self._seen = {each.number: each.hash for each in seen}
        self._by_number: dict[int, list[Checkpoint]] = {}
        for each in checkpoints:
            self._by_number.setdefault(each.number, []).append(each)
        self.at = START
        self.count = self.first = self.erased = self.signed_to = 0

    def bad_signature(self) -> Fault | None:
        for each in sorted(self._checkpoints, key=lambda one: one.number):
            right = self._signed(each)
            if right is None:
                what = f"its key {each.key_id} is not among those given, so it proves nothing"
            elif not right:
                what = (
                    "its signature is not this server's: it was made or changed by somebody without the key"
                )
            else:
                continue
            return Fault(each.number, FaultKind.CHECKPOINT, f"The checkpoint at line {each.number}: {what}.")
        return None

    def through(self, lines: Iterable[Line], start: Place | None) -> Fault | None:
        for line, following in _pairs(lines):
            if self.count == 0:
                self.at = start or self._where_kept_from(line.number)
            fault = self._fault_of(line, following)
            if fault is not None:
                return fault
            self.count += 1
            self.first = self.first or line.number
            self.at = Place(line.number, line.hash)
        return None

    def _where_kept_from(self, first: int) -> Place:
        """What stands for the lines before the first that is left."""
        for each in self._by_number.get(first - 1, ()):
            if each.kind == RETENTION:
                self.signed_to = each.number
                return Place(each.number, each.hash)
        return START

    def _fault_of(self, line: Line, following: Line | None) -> Fault | None:
        expected = self.at.number + 1
        if line.number > expected:
            gone = (
                f"line {expected}"
                if line.number == expected + 1
                else f"lines {expected} to {line.number - 1}"
            )
            return Fault(
                expected,
                FaultKind.MISSING,
                f"There is no {gone}, and no signed checkpoint of retention stands for it: removed.",
            )
        if line.number < expected:
            return Fault(
                line.number,
                FaultKind.REORDERED,
                f"Line {line.number} stands after line {self.at.number}: moved, or put in twice.",
            )
        if line.body is not None:
            computed = chained(self.at.hash, line.number, line.body)
            if computed != line.hash:
                return Fault(line.number, FaultKind.CHANGED, self._how_changed(line, computed, following))
        return self._against_checkpoints(line) or self._beside(line)

    @staticmethod
    def _how_changed(line: Line, computed: bytes, following: Line | None) -> str:
        n = line.number
        if following is not None and following.number == n + 1 and following.body is not None:
            if chained(line.hash, n + 1, following.body) == following.hash:
                return (
                    f"What line {n} says was changed after it was written, or another line put in its place."
                )
            if chained(computed, n + 1, following.body) == following.hash:
                return f"The hash of line {n} was changed; what it says is what was written."
        return (
            f"Line {n} does not follow line {n - 1}: it was changed, moved or put in,"
            " and nothing after it can be trusted."
        )

    def _against_checkpoints(self, line: Line) -> Fault | None:
        if self._seen.pop(line.number, line.hash) != line.hash:
            return Fault(
                self.signed_to + 1,
                FaultKind.FORGED,
                f"Line {line.number} is not the one that was noted down: between line {self.signed_to + 1}"
                f" and line {line.number} the log was written anew.",
            )
        for each in self._by_number.get(line.number, ()):
            if each.hash != line.hash:
                since = self.signed_to + 1
                return Fault(
                    since,
                    FaultKind.FORGED,
                    f"The chain fits, and line {line.number} is not the one that was signed: between line"
                    f" {since} and line {line.number} the log was written anew by somebody without the key.",
                )
            self.signed_to = line.number
        return None

    def _beside(self, line: Line) -> Fault | None:
        told = {} if line.body is None else _told(line.body)
        wrong = _copies_differ(told, line.copied)
        if wrong:
            return Fault(
                line.number,
                FaultKind.CHANGED,
                f"The column {wrong} beside line {line.number} says something else than the line.",
            )
        if line.beside is None:
            return None
        digests = told.get("personal", {})
        values = {each.name: each for each in line.beside}
        for name in sorted(digests.keys() | values.keys()):
            value = values.get(name)
            if value is None or name not in digests:
                what = "is missing, and was not erased" if value is None else "was put there"
            elif value.salt is None:
                self.erased += 1
                continue
            elif digest(value.salt, value.value).hex() != digests[name]:
                what = "is not the one that was recorded"
            else:
                continue
            return Fault(
                line.number, FaultKind.PERSONAL, f"The value {name!r} beside line {line.number} {what}."
            )
        return None

    def not_seen(self) -> Fault | None:
        """A line that was noted down and is not there (any more)."""
        for number in sorted(self._seen):
            last = self.at.number
            where = f"the log ends with line {last}" if number > last else f"it begins with line {self.first}"
            return Fault(number, FaultKind.CUT, f"Line {number} was noted down, and {where}.")
        return None

    def end(self, head: Place | None, *, whole: bool) -> Fault | None:
        last = self.at.number
        signed = [each.number for each in self._checkpoints]
        if whole and self.count == 0:
            retained = [each.number for each in self._checkpoints if each.kind == RETENTION]
            last = max(retained, default=0)
        if signed and max(signed) > last and (whole or self.count):
            return Fault(
                last + 1,
                FaultKind.CUT,
                f"Line {max(signed)} was signed, and the log ends with line {last}: its end was cut off.",
            )
        if head is not None and head.number != last:
            return Fault(
                last + 1,
                FaultKind.CUT,
                f"The log's head says {head.number} lines, and the last there is is line {last}.",
            )
        if head is not None and self.count and head.hash != self.at.hash:
            return Fault(last, FaultKind.CHANGED, f"The log's head is of another line than line {last}.")
        return None


def _pairs(lines: Iterable[Line]) -> Iterator[tuple[Line, Line | None]]:
    """Each line with the one after it."""
    before: Line | None = None
    for line in lines:
        if before is not None:
            yield before, line
        before = line
    if before is not None:
        yield before, None


def _told(body: str) -> dict[str, Any]:
    """A body whose hash is right is what we wrote; anything else tells nothing."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _copies_differ(told: Mapping[str, Any], copied: Mapping[str, Any] | None) -> str:
    """The name of a column that is not what the body says, or ""."""
    return next((name for name, value in (copied or {}).items() if told.get(name) != value), "")
