"""What a look at a database or a backup comes to, check by check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    SOUND = "sound"
    UNSOUND = "unsound"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Finding:
    """`remedy`: what to do, of what is not sound; of what was not checked, how it could be."""

    check: str
    verdict: Verdict
    detail: str
    remedy: str = ""

    def row(self) -> dict[str, str]:
        return {
            "check": self.check,
            "verdict": str(self.verdict),
            "detail": self.detail,
            "remedy": self.remedy,
        }


def sound(check: str, detail: str) -> Finding:
    return Finding(check, Verdict.SOUND, detail)


def unsound(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, Verdict.UNSOUND, detail, remedy)


def not_checked(check: str, why: str, remedy: str = "") -> Finding:
    return Finding(check, Verdict.NOT_CHECKED, why, remedy)


def all_sound(findings: Iterable[Finding]) -> bool:
    """What was not checked does not count against it."""
    return all(finding.verdict is not Verdict.UNSOUND for finding in findings)


def named(items: Iterable[str], most: int = 5) -> str:
    """The first few, and how many more there are."""
    listed = list(items)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
