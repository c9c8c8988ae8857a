"""What `lamppost replay` does: streams a stretch, puts a candidate to it, or has its air computed anew."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg

from fleet_server.config import ServerConfig
from fleet_server.context import Context, command_context
from fleet_server.errors import ConfigurationError, DatabaseUnreachable
from fleet_server.progress import Progress
from fleet_server.spans import span
from fleet_server.telemetry import replaying, replaying_candidate, replaying_compare
from fleet_server.telemetry.replaying import Stretch
from fleet_server.telemetry.replaying_calibrated import Corrector, calibrations
from fleet_server.telemetry.replaying_compare import Comparison, Event, Word
from fleet_server.telemetry.replaying_formats import Correct, Line, comma_separated, iso, ndjson, wire
from fleet_server.telemetry.replaying_pace import Pace
from fleet_server.telemetry.replaying_recompute import Recomputed, recompute
from wire_contract.topics import Address

WARM_UP = timedelta(hours=24)  # a unit's background is its last day


@dataclass
class Summary:
    """What came of it, as far as it came."""

    units: int = 0
    lampposts: int = 0
    samples: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    began_s: float = field(default_factory=time.monotonic)
    stopped: bool = False  # by Ctrl-C, or because nobody reads it any more
    stretch: tuple[str, str] = ("", "")
    candidate: str = ""
    comparison: Comparison | None = None
    recomputed: Recomputed | None = None

    def begin(self, of: Stretch) -> None:
        self.units, self.lampposts = len(of.units), len({unit.device_id for unit in of.units})
        self.stretch = of.begins.isoformat(timespec="seconds"), of.ends.isoformat(timespec="seconds")

    def saw(self, line: Line) -> None:
        if line.time_ms is not None:
            self.samples += line.samples
            self.first_ms = line.time_ms if self.first_ms is None else self.first_ms
            self.last_ms = line.time_ms

    def document(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "from": self.stretch[0],
            "to": self.stretch[1],
            "lampposts": self.lampposts,
            "units": self.units,
            "samples": self.samples,
            "first": None if self.first_ms is None else iso(self.first_ms),
            "last": None if self.last_ms is None else iso(self.last_ms),
            "seconds": round(time.monotonic() - self.began_s, 3),
            "stopped": self.stopped,
        }
        if self.comparison is not None:
            told["candidate"] = self.candidate
            told["same"] = [[_told(a), _told(b)] for a, b in self.comparison.same]
            told["new"] = [_told(each) for each in self.comparison.new]
            told["missing"] = [_told(each) for each in self.comparison.missing]
            told["median_delay_s"] = self.comparison.median_delay_s
        if self.recomputed is not None:
            told["recomputed"] = vars(self.recomputed)
        return told

    def lines(self) -> list[str]:
        if self.recomputed is not None:
            return _of_recomputed(self.recomputed)
        seconds = time.monotonic() - self.began_s
        if not self.samples:
            nothing = "stopped before the first sample" if self.stopped else "nothing was measured"
            return [f"{nothing} from {self.stretch[0]} to {self.stretch[1]}"]
        told = [
            f"{'stopped after ' if self.stopped else ''}{self.samples:,} samples"
            f" of {self.units} sensor units on {self.lampposts} lampposts,"
            f" {iso(self.first_ms or 0)} to {iso(self.last_ms or 0)}, in {seconds:.1f} s"
        ]
        return told + ([] if self.comparison is None else _of_comparison(self.candidate, self.comparison))


def _told(event: Event) -> dict[str, Any]:
    return {
        "device": event.device,
        "unit": event.unit,
        "what": event.what,
        "begun": iso(event.begun_ms),
        "ended": iso(event.ended_ms),
        "peak": event.peak,
    }


def _of_recomputed(done: Recomputed) -> list[str]:
    return [
        f"{done.marked} hours of sensor units computed anew: {done.hours_changed} hours of lampposts have"
        f" other means, {done.indices_changed} hours another index"
    ]


def _of_comparison(candidate: str, found: Comparison) -> list[str]:
    delay = found.median_delay_s
    later = (
        "" if delay is None else f", in the middle {abs(delay):.0f} s {'later' if delay >= 0 else 'sooner'}"
    )
    lines = [
        f"{candidate} against what was said then: {len(found.same)} the same{later};"
        f" {len(found.new)} new; {len(found.missing)} missing"
    ]
    for title, several in (("new", found.new), ("missing", found.missing)):
        lines += [
            f"  {title:<9}{each.device} unit {each.unit}: {each.what},"
            f" {iso(each.begun_ms)} to {iso(each.ended_ms)}"
            for each in several[:20]
        ]
        lines += [f"  {title:<9}and {len(several) - 20} more (--json)"] if len(several) > 20 else []
    return lines


def replay(options: argparse.Namespace, summary: Summary) -> None:
    """Writes the stream. Raises LamppostError, InvalidName, BrokenPipeError, KeyboardInterrupt."""
    config: ServerConfig = options.loaded
    directory = config.database.embedded_directory
    if directory is not None and not directory.exists():
        raise ConfigurationError(
            f"There is no server's data in {config.data_dir}.",
            remedy="Give --config and --data as `lamppost serve` has them.",
        )
    with command_context(config) as context:
        begins, ends = span(context, options.begins, options.ends)
        wanted = [_address(text, config.tenant.name) for text in options.device]
        try:
            with context.db.raw(autocommit=options.recompute) as connection:
                if options.recompute:
                    of = replaying.stretch(connection, begins, ends, wanted)
                    _recompute(context, connection, of, summary, quiet=options.json)
                    return
                replaying.begin(connection)
                of = replaying.stretch(connection, begins, ends, wanted)
                summary.begin(of)
                if options.into:
                    _try(options, connection, of, wanted, summary)
                else:
                    _stream(options, connection, of, summary)
        except psycopg.OperationalError as lost:
            words = str(lost).split("\n", 1)[0]
            raise DatabaseUnreachable(f"The database was lost on the way: {words}.") from lost


def _address(text: str, tenant: str) -> Address:
    """Raises InvalidName."""
    return Address.parse(text) if "/" in text else Address(tenant, text)


def _stream(
    options: argparse.Namespace, connection: psycopg.Connection[Any], of: Stretch, summary: Summary
) -> None:
    correct = _corrector(connection, of) if options.calibrated else None
    stream = replaying.samples(connection, of)
    lines: Iterator[Line]
    match options.format:
        case "csv":
            lines = comma_separated(of, stream, correct)
        case "wire":
            lines = wire(of, stream, options.flush)
        case _:
            lines = ndjson(of, stream, correct)
    paced(lines, Pace(options.speed), summary)


def paced(lines: Iterable[Line], pace: Pace, summary: Summary) -> None:
    """Write each line when it is its turn; what is written is on its way before a wait."""
    output = sys.stdout
    for line in lines:
        if line.time_ms is not None and pace.due_in_s(line.time_ms) > 0:
            output.flush()
            pace.wait(line.time_ms)
        summary.saw(line)
        output.write(line.text)
    output.flush()


def _corrector(connection: psycopg.Connection[Any], of: Stretch) -> Correct:
    return Corrector(calibrations(connection, of.units))


def _try(
    options: argparse.Namespace,
    connection: psycopg.Connection[Any],
    of: Stretch,
    wanted: list[Address],
    summary: Summary,
) -> None:
    """The candidate's verdicts to the output, the comparison into the summary."""
    warm = replaying.stretch(connection, of.begins - options.warm_up, of.ends, wanted)
    correct = _corrector(connection, warm) if options.calibrated else None
    progress = Progress(quiet=options.json)

    def fed() -> Iterator[Line]:
        pace = Pace(options.speed)
        for line in ndjson(warm, replaying.samples(connection, warm), correct):
            if line.time_ms is not None and line.time_ms >= of.begins.timestamp() * 1000:
                pace.wait(line.time_ms)
                summary.saw(line)
            if line.time_ms is not None:
                progress.told(f"judging {iso(line.time_ms)}")
            yield line

    try:
        trial = replaying_candidate.judge(options.into, fed(), of.begins, _print)
    finally:
        progress.done()
    sys.stdout.flush()
    stored = replaying_compare.events(replaying_candidate.stored_words(connection, of))
    summary.candidate = trial.who
    summary.comparison = replaying_compare.compare(stored, replaying_compare.events(trial.words))


def _print(word: Word) -> None:
    told = {
        "type": "verdict",
        "time": iso(word.time_ms),
        "device": word.device,
        "unit": word.unit,
        "kind": word.kind,
        "score": word.score,
        "model": word.model,
        "reason": word.reason,
    }
    print(json.dumps(told, separators=(",", ":")), flush=True)


def _recompute(
    context: Context, connection: psycopg.Connection[Any], of: Stretch, summary: Summary, *, quiet: bool
) -> None:
    summary.begin(of)
    progress = Progress(quiet=quiet)
    try:
        summary.recomputed = recompute(connection, of, context.clock.now, progress.told)
    finally:
        progress.done()
