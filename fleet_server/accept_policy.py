"""Who is let in without a person: the rules of `[enrolment] accept`, read and applied. Pure.

A rule is one line of text: a way to ask, then what has to hold.

    registered-key                     the key was registered before the lamppost asked
    batch district=Harbour most=50     a claim of a batch for that district, at most 50 of one batch
    expired days=90                    the certificate ran out at most 90 days ago, proven by its key

`district=*` (the default) is any district, `most` is by default as many as the batch has. A lamppost whose
name is known and whose key is another is never let in so: a person compares fingerprints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

ANY_DISTRICT = "*"
EXPIRED_DAYS_MOST = 3650  # ten years: longer than a lamppost lies in a store


class Way(StrEnum):
    """How a lamppost asks; stored as these words."""

    CLAIM = "claim"  # a technician's claim, for one lamppost
    BATCH = "batch"  # one of the claims issued in advance
    KEY = "registered-key"  # its public key was registered before
    EXPIRED = "expired"  # by the key of a certificate of ours that ran out


class BadRule(ValueError):
    """The text says which rule is wrong and what is allowed."""


@dataclass(frozen=True)
class AcceptRule:
    """One rule. most: 0 is no limit; days: 0 unless `way` is EXPIRED."""

    way: Way
    district: str = ANY_DISTRICT
    most: int = 0
    days: int = 0

    def __str__(self) -> str:
        words = [str(self.way)]
        if self.way is Way.BATCH:
            words.append(f"district={self.district}")
            words += [f"most={self.most}"] if self.most else []
        if self.way is Way.EXPIRED:
            words.append(f"days={self.days}")
        return " ".join(words)


@dataclass(frozen=True)
class Asked:
    """What is known of a request that waits.

    known: there is a lamppost of this name with another key. active: it exists and is active. batch_open:
    its batch is neither suspended nor revoked. let_in: how many of its batch a rule has let in. expired_days:
    since its certificate ran out. newest: that certificate is the last one that it was given.
    """

    way: Way
    known: bool
    district: str = ""
    batch_open: bool = False
    let_in: int = 0
    active: bool = False
    newest: bool = False
    expired_days: float = 0.0


def accepting(rules: Iterable[AcceptRule], asked: Asked) -> AcceptRule | None:
    """The first rule that lets it in; None: a person decides."""
    if asked.known:
        return None
    return next((rule for rule in rules if rule.way is asked.way and _holds(rule, asked)), None)


def _holds(rule: AcceptRule, asked: Asked) -> bool:
    match rule.way:
        case Way.KEY:
            return True
        case Way.BATCH:
            district_fits = rule.district in (ANY_DISTRICT, asked.district)
            return asked.batch_open and district_fits and (rule.most == 0 or asked.let_in < rule.most)
        case Way.EXPIRED:
            return asked.active and asked.newest and asked.expired_days <= rule.days
        case Way.CLAIM:
            return False


def read_rules(texts: Sequence[str]) -> tuple[AcceptRule, ...]:
    """Raises BadRule."""
    return tuple(_rule(text) for text in texts)


def _rule(text: str) -> AcceptRule:
    name, *conditions = text.split()[:8] or [""]
    allowed = {"registered-key": set[str](), "batch": {"district", "most"}, "expired": {"days"}}.get(name)
    if allowed is None:
        raise BadRule(f"{text[:80]!r} begins with none of registered-key, batch, expired")
    given: dict[str, str] = {}
    for condition in conditions:
        key, equals, value = condition.partition("=")
        if key not in allowed or not equals or not value or key in given:
            wanted = ", ".join(f"{each}=…" for each in sorted(allowed)) or "nothing"
            raise BadRule(f"{text[:80]!r}: after {name} may stand {wanted}, each once")
        given[key] = value
    if name == "expired" and "days" not in given:
        raise BadRule(f"{text[:80]!r} lacks days=, as in: expired days=90")
    return AcceptRule(
        Way(name),
        given.get("district", ANY_DISTRICT),
        _number(text, given.get("most", "0"), 1_000_000),
        _number(text, given.get("days", "0"), EXPIRED_DAYS_MOST),
    )


def _number(text: str, value: str, most: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 7 and int(value) <= most):
        raise BadRule(f"{text[:80]!r}: {value[:20]!r} is not a whole number from 0 to {most}")
    return int(value)
