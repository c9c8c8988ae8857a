"""What a run says at its end: the reckoning for people, and all of it as JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from tests.chaos.evidence import Evidence
from tests.chaos.faults import Fault
from tests.chaos.reckoning import Reckoning
from tests.chaos.room import Allowed

COLUMNS = (
    "lamppost",
    "produced",
    "accepted",
    "stored",
    "doubled",
    "altered",
    "shed",
    "excused",
    "lost",
    "minutes",
    "verdict",
)


@dataclass(frozen=True)
class Done:
    """A fault that was carried out: seconds since the lampposts went live, whom it met, how many samples
    waited on all lampposts then."""

    fault: Fault
    began_s: float
    met: str
    waiting: int


class What(Protocol):
    """What was asked for."""

    @property
    def seed(self) -> int: ...
    @property
    def minutes(self) -> float: ...
    @property
    def report(self) -> Path | None: ...


@dataclass
class Report:
    """`counts`: what each line did."""

    asked: What
    allowed: Allowed
    done: list[Done] = field(default_factory=list)
    accounts: list[Reckoning] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    echo: dict[str, int] = field(default_factory=dict)
    evidence: Evidence | None = None

    def write(self) -> None:
        """To the file that was asked for, if one was."""
        if self.asked.report is not None:
            self.asked.report.write_text(json.dumps(self.as_json(), indent=1) + "\n")

    def as_json(self) -> dict[str, object]:
        return {
            "seed": self.asked.seed,
            "minutes": self.asked.minutes,
            "kept": bool(self.accounts) and all(account.is_kept for account in self.accounts),
            "faults": [asdict(done) for done in self.done],
            "lampposts": [asdict(account) for account in self.accounts],
            "lines": self.counts,
            "repeated": self.echo,
            "dead_letters": self.evidence.dead_letters if self.evidence else {},
            "duplicates_refused": self.evidence.duplicates if self.evidence else None,
            "not_allowed_here": {str(need): why for need, why in self.allowed.refused.items()},
            "netem": self.allowed.netem or "used",
        }


def table(report: Report) -> Iterator[str]:
    """The reckoning, one line a lamppost, and what shows that the faults bit."""
    rows = [COLUMNS, *(_row(account) for account in report.accounts)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    yield ""
    for row in rows:
        yield "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
    if report.evidence is not None:
        ours = ", ".join(f"{count:,} {what}" for what, count in sorted(report.echo.items())) or "none"
        yield f"duplicates the ingest refused: {report.evidence.duplicates:,}; repeated here: {ours}"
        if report.evidence.dead_letters:
            yield f"dead letters: {report.evidence.dead_letters}"
    for name, counts in report.counts.items():
        yield f"line of {name}: " + ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))


def _row(account: Reckoning) -> tuple[str, ...]:
    shed = ", ".join(f"{count} {reason}" for reason, count in sorted(account.shed.items())) or "0"
    lost = f"{len(account.lost) + account.vanished}"
    verdict = "kept" if account.is_kept else "BROKEN"
    accepted = "-" if account.accepted is None else str(account.accepted)
    counts = (account.produced, accepted, account.stored, account.doubled, account.altered)
    minutes = f"{account.misfolded:+d}" if account.misfolded else "same"
    return (account.post, *map(str, counts), shed, str(account.excused), lost, minutes, verdict)
