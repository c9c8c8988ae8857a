"""A simulation from its identities to its summary."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulator import identities
from simulator.crew import Crew
from simulator.job import jobs
from simulator.report import Report, lines, report, write_ledger
from simulator.settings import CannotStart, Settings
from simulator.tally import Tally

TELL_EVERY_S = 1.0
LATE_S = 30.0  # beyond the drain: a process that has not ended by then hangs
HANDLES_EACH = 5  # socket; the spool's lock, file, journal and index
HANDLES_MORE = 100
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 a folder of our own is made in it


class Stopped(Exception):
    """Ctrl-C, or SIGTERM."""


def run(settings: Settings) -> int:
    """0: all that was spooled is acked. 1: not. 3: could not start."""
    try:
        with _signals():
            made = _run(settings)
    except CannotStart as error:
        print(f"lamppost simulate: {error}", file=sys.stderr)
        return 3
    except Stopped:
        print("lamppost simulate: stopped before it began", file=sys.stderr)
        return 130
    return 0 if made.complete and not made.troubled else 1


def _run(settings: Settings) -> Report:
    _check_handles(settings)
    settings.directory.mkdir(parents=True, exist_ok=True)
    made = identities.prepare(settings, _progress(settings, "let in"))
    if made:
        _say(settings, f"{made} lampposts let in")
    spools = _spools(settings)
    street_ms = time.time_ns() // 1_000_000
    began_s = time.monotonic()
    complete = False
    try:
        with Crew(jobs(settings, spools, street_ms, street_ms), settings.directory) as crew:
            _watch(settings, crew)
            ran_s = time.monotonic() - began_s
            found = report(settings, crew.tally, crew.outcomes, ran_s)
            complete = found.complete and not found.troubled
            _tell(settings, found, crew.outcomes)
    finally:
        _clear(settings, spools, complete)
    return found


def _watch(settings: Settings, crew: Crew) -> None:
    """Until it has run for long enough, or was told to stop; then until all have drained."""
    before, until_s, stop_s = Tally(), None, None
    while not crew.done:
        try:
            crew.hear(TELL_EVERY_S)
            now_s, tally = time.monotonic(), crew.tally
            _say_moment(settings, crew, tally, before)
            before = tally
            if crew.started and until_s is None and settings.run_s is not None:
                until_s = now_s + settings.run_s
            if stop_s is None and until_s is not None and now_s >= until_s:
                raise Stopped
            if stop_s is not None and now_s > stop_s + settings.drain_s + LATE_S:
                raise CannotStart("a process of the simulation did not end; what it had not sent is kept")
        except Stopped:
            if stop_s is not None:
                raise  # the second Ctrl-C
            stop_s = time.monotonic()
            crew.stop()


def _say_moment(settings: Settings, crew: Crew, tally: Tally, before: Tally) -> None:
    if settings.quiet:
        return
    rate = (tally.acked - before.acked) / TELL_EVERY_S
    recent = tally.latency.percentile_ms(0.95)
    state = "" if crew.started else f" of {settings.devices} switched on"
    behind = f", {tally.behind_s:.1f} s behind" if tally.behind_s >= 1.0 else ""
    start, end = ("\r\x1b[K", "") if sys.stderr.isatty() else ("", "\n")
    print(
        f"{start}{tally.lampposts}{state}, {tally.connected} connected, {tally.taken} taken, "
        f"{tally.in_flight} in flight, {tally.acked} acked ({rate:.0f}/s), "
        f"{tally.lost_connections} connections lost, p95 {recent if recent is not None else '-'} ms{behind}",
        end=end,
        file=sys.stderr,
        flush=True,
    )


def _tell(settings: Settings, found: Report, outcomes: list[dict[str, object]]) -> None:
    if settings.report is not None:
        settings.report.write_text(found.text, encoding="utf-8")
    if settings.ledger is not None:
        write_ledger(settings.ledger, outcomes)
    if not settings.quiet:
        if sys.stderr.isatty():
            print(file=sys.stderr)
        print("\n".join(lines(found, outcomes)))


# -- what it needs of the machine -------------------------------------------------------------------------


def _check_handles(settings: Settings) -> None:
    """Raises CannotStart where a process may not open enough files."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    each = -(-settings.devices // min(settings.processes, settings.devices))
    need = each * HANDLES_EACH + HANDLES_MORE
    if most != resource.RLIM_INFINITY and need > most:
        enough = -(-settings.devices * HANDLES_EACH // (most - HANDLES_MORE))
        raise CannotStart(
            f"{each} lampposts in a process need {need} open files, and this user may open {most}: "
            f"give --processes {enough} or more, or raise the limit (ulimit -Hn, LimitNOFILE=)"
        )


def _spools(settings: Settings) -> Path:
    if not settings.in_memory:
        folder = settings.directory / "spools"
        folder.mkdir(exist_ok=True)
        return folder
    if not os.access(MEMORY_FOLDER, os.W_OK):
        raise CannotStart(f"--spool memory: there is no memory file system in {MEMORY_FOLDER}")
    return Path(tempfile.mkdtemp(prefix="lamppost-simulate-", dir=MEMORY_FOLDER))


def _clear(settings: Settings, spools: Path, complete: bool) -> None:
    """Spools that are empty go; what was not acked is kept for the next run, unless it lies in memory."""
    if settings.in_memory or (complete and not settings.keep):
        shutil.rmtree(spools, ignore_errors=True)
    if complete and not settings.keep:
        for log in settings.directory.glob("*.log"):
            log.unlink(missing_ok=True)
    if not complete and not settings.in_memory and any(spools.glob("*/spool.db")):
        _say(settings, f"what was not acked is kept in {spools}: the next run with this --directory sends it")


def _say(settings: Settings, text: str) -> None:
    if not settings.quiet:
        print(text, file=sys.stderr)


def _progress(settings: Settings, what: str) -> identities.Progress:
    told_s = time.monotonic()

    def tell(done: int, of: int) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= TELL_EVERY_S:
            told_s = time.monotonic()
            _say(settings, f"{done} of {of} {what}")

    return tell


@contextmanager
def _signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM become Stopped, in the main thread."""

    def stop(_number: int, _frame: object) -> None:
        raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def remove(settings: Settings) -> int:
    """`--remove`: 0 done, 3 the server refused."""
    try:
        with _signals():
            count = identities.remove(settings, _progress(settings, "decommissioned"))
    except CannotStart as error:
        print(f"lamppost simulate: {error}", file=sys.stderr)
        return 3
    except Stopped:
        return 130
    shutil.rmtree(settings.directory / "spools", ignore_errors=True)
    print(f"{count} simulated lampposts removed; what they measured stays in the database")
    return 0
