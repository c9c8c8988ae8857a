"""What the sensors sent held against what the city has: nothing lost, nothing twice, the shed named. Pure.

The truth is the ledger that each emulated sensor writes before it sends. Frames and rows are told apart by
their values. Where several frames have equal values and some of them are missing, those that something
excuses, or a tombstone may name, are taken for missing first; the spool's own count of what it accepted shows
what this might hide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from demo.ledger import Frame, Stored, Values
from demo.processes import RESTART_AFTER_S
from tests.chaos.faults import Fault, Kind

SPOOLED_WITHIN_MS = 5000.0  # the promise of the wire: a sample is on the disk five seconds after its frame
READ_WITHIN_MS = (
    3500.0  # an agent that stood still asks again after three seconds: the answer before is nobody's
)
HELD_AFTER_MS = (
    15_000.0  # a write that the disk refused is tried again each ten seconds; until then memory has it
)
GRAVE_SLACK_MS = (
    300_000.0  # street: five seconds between a frame's instant and the agent's stamp, on a busy machine
)


@dataclass(frozen=True)
class Happened:
    """A fault that was carried out; wall clock, ms."""

    fault: Fault
    began_ms: float
    ended_ms: float


@dataclass(frozen=True)
class Window:
    """Frames of `post` between two instants (wall clock, ms) need not have reached the spool."""

    post: str
    from_ms: float
    to_ms: float
    why: str

    def excuses(self, frame: Frame) -> bool:
        return self.from_ms <= frame.wall_ms <= self.to_ms


@dataclass(frozen=True)
class Grave:
    """One tombstone as the city has it: so many samples shed between two instants of the agent's clock (ms
    since the epoch; 0: it does not know), and why."""

    reason: str
    samples: int
    from_ms: float = 0.0
    to_ms: float = 0.0


@dataclass(frozen=True)
class Reckoning:
    """One lamppost. Counts are samples. `accepted`: by the spool's own counters, None where not known.
    `shed`: by reason, those that are not in the store; `spared`: in a tombstone, and stored after all."""

    post: str
    produced: int
    accepted: int | None
    stored: int
    doubled: int
    altered: int
    shed: dict[str, int]
    spared: int
    excused: int
    lost: tuple[Frame, ...] = ()
    vanished: int = 0  # accepted by the spool, in no row and in no tombstone
    misfolded: int = 0  # so many samples more (or less) than rows are in the minutes

    @property
    def is_kept(self) -> bool:
        """The promise: nothing doubled, altered, lost or vanished; the minutes hold what the rows hold."""
        return not (self.doubled or self.altered or self.lost or self.vanished or self.misfolded)


@dataclass
class _Ground:
    """A grave, the room that is left in it, and by how much its lamppost's clock was ever wrong."""

    grave: Grave
    offsets_ms: tuple[float, ...]
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.grave.samples

    def spans(self, frame: Frame) -> bool:
        """Whether the frame is of its time."""
        first, last = self.grave.from_ms, self.grave.to_ms
        if not first and not last:
            return True
        early, late = first - GRAVE_SLACK_MS, last + GRAVE_SLACK_MS
        return any(early <= frame.street_ms + off_ms <= late for off_ms in self.offsets_ms)


def windows(happened: Iterable[Happened]) -> tuple[Window, ...]:
    """What the faults excuse. Only an agent that is killed or stands still may miss a frame, and one that
    holds samples in memory because its disk is full loses those when it is killed."""
    done = list(happened)
    found = []
    for each in done:
        post, began_ms = each.fault.target, each.began_ms
        if each.fault.kind is Kind.AGENT_KILL:
            held_ms = min((full.began_ms for full in done if _holds(full, post, began_ms)), default=began_ms)
            until_ms = began_ms + RESTART_AFTER_S * 1000
            found.append(Window(post, held_ms - SPOOLED_WITHIN_MS, until_ms, str(each.fault)))
        elif each.fault.kind is Kind.AGENT_FREEZE:
            found.append(
                Window(post, began_ms - READ_WITHIN_MS, each.ended_ms + READ_WITHIN_MS, str(each.fault))
            )
    return tuple(found)


def _holds(full: Happened, post: str, killed_ms: float) -> bool:
    of_disk = full.fault.kind in (Kind.DISK_FULL, Kind.DISK_TIGHT) and full.fault.target == post
    return of_disk and full.began_ms <= killed_ms <= full.ended_ms + HELD_AFTER_MS


def reckon(
    post: str,
    frames: Sequence[Frame],
    rows: Sequence[Stored],
    *,
    graves: Iterable[Grave] = (),
    excuses: Iterable[Window] = (),
    offsets_ms: Iterable[float] = (0.0,),
    accepted: int | None = None,
    folded: int | None = None,
    until_ms: float = float("inf"),
) -> Reckoning:
    """One lamppost's account of the frames up to `until_ms` (wall clock); all rows count against all frames.

    `offsets_ms`: by how much its clock was ever wrong, 0 among them.
    """
    sent = Counter(frame.values for frame in frames)
    stored = Counter(row.values for row in rows)
    surplus = stored - sent
    mine = [window for window in excuses if window.post == post]
    ground = [_Ground(grave, tuple(offsets_ms)) for grave in graves]
    missing = _missing(frames, stored, until_ms, mine, ground)
    excused, shed, lost = _sort_out(missing, mine, ground)
    buried = sum(each.grave.samples for each in ground)
    kept = stored.total() - surplus.total()
    return Reckoning(
        post=post,
        produced=len(frames),
        accepted=accepted,
        stored=stored.total(),
        doubled=sum(count for values, count in surplus.items() if values in sent),
        altered=sum(count for values, count in surplus.items() if values not in sent),
        shed=dict(shed),
        spared=buried - shed.total(),
        excused=excused,
        lost=tuple(lost),
        misfolded=0 if folded is None else folded - stored.total(),
        vanished=0 if accepted is None else max(0, accepted - kept - min(buried, shed.total() + excused)),
    )


def _sort_out(
    missing: Iterable[Frame], mine: Sequence[Window], ground: Sequence[_Ground]
) -> tuple[int, Counter[str], list[Frame]]:
    """How many are excused, how many shed by reason, and those that are lost."""
    excused, shed, lost = 0, Counter[str](), []
    for frame in missing:
        grave = next((each for each in ground if each.left and each.spans(frame)), None)
        if any(window.excuses(frame) for window in mine):
            excused += 1
        elif grave is not None:
            grave.left -= 1
            shed[grave.grave.reason] += 1
        else:
            lost.append(frame)
    return excused, shed, lost


def _missing(
    frames: Sequence[Frame],
    stored: Counter[Values],
    until_ms: float,
    mine: Sequence[Window],
    ground: Sequence[_Ground],
) -> list[Frame]:
    """Frames without a row, by time. Of equals those that are excused, then those of a grave's time, then
    those that are not asked for yet, then the latest."""

    def likely(frame: Frame) -> tuple[int, bool, float]:
        excused = any(window.excuses(frame) for window in mine)
        why = 0 if excused else 1 if any(each.spans(frame) for each in ground) else 2
        return why, frame.wall_ms <= until_ms, -frame.wall_ms

    equals: dict[Values, list[Frame]] = {}
    for frame in frames:
        equals.setdefault(frame.values, []).append(frame)
    missing = []
    for values, same in equals.items():
        short = len(same) - stored.get(values, 0)
        if short > 0:
            missing += [frame for frame in sorted(same, key=likely)[:short] if frame.wall_ms <= until_ms]
    return sorted(missing, key=lambda frame: frame.wall_ms)
