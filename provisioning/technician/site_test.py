"""The site test: what the lamppost says of itself, measured where it stands. Decisions are pure; `carry_out`
asks the lamppost and decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from provisioning.technician.errors import LamppostUnreachable, WrongInput
from provisioning.technician.lamppost import Lamppost
from provisioning.technician.picture import Course
from wire_contract.radio import NOT_MEASURED, SIGNAL

CLOCK_OFF_S = 2.0  # a minute's mean is wrong by a thirtieth; TLS and TOTP bear far more
ACK_SLOW_S = 90.0  # the longest flush interval is 60 s; then the server answers within a second
ASK_EVERY_S = 1.0


@dataclass(frozen=True)
class Line:
    """One thing that was looked at. `remedy` is empty where `ok`. What could not be measured is no failure,
    and its detail begins with NOT_MEASURED."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""

    @property
    def verdict(self) -> str:
        """In a word, for people."""
        if self.detail.startswith(NOT_MEASURED):
            return "-"
        return "ok" if self.ok else "PROBLEM"


@dataclass(frozen=True)
class SiteTest:
    """What was found. `device`: "tenant/name". `first_ack_s`: None where nothing was acked in time."""

    device: str
    version: str
    made_at: str  # ISO 8601, UTC
    span_s: float
    lines: tuple[Line, ...]
    courses: tuple[Course, ...]
    first_ack_s: float | None

    @property
    def passed(self) -> bool:
        return all(line.ok for line in self.lines)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}


def from_json(told: object) -> SiteTest:
    """The inverse of `as_json`. Raises WrongInput."""
    try:
        fields = dict(told)  # type: ignore[call-overload]
        fields.pop("passed", None)
        fields["lines"] = tuple(Line(**each) for each in fields["lines"])
        fields["courses"] = tuple(
            Course(each["sensor"], each["channel"], tuple((float(a), float(b)) for a, b in each["points"]))
            for each in fields["courses"]
        )
        made = SiteTest(**fields)
        datetime.fromisoformat(made.made_at)
        return made
    except (TypeError, ValueError, KeyError, AttributeError) as wrong:
        raise WrongInput("this is no site test", "Make one: lamppost provision test") from wrong


def clock_line(ahead_s: float, unsure_s: float) -> Line:
    told = f"{ahead_s:+.1f} s beside the technician's clock, to {unsure_s:.1f} s"
    ok = abs(ahead_s) - unsure_s <= CLOCK_OFF_S
    return Line(
        "clock", ok, told, "" if ok else "Set it: timedatectl set-ntp true; look at your own clock too"
    )


def with_signal(doctor: Sequence[Line]) -> list[Line]:
    """An older agent's doctor does not look at it."""
    if any(line.name == SIGNAL for line in doctor):
        return list(doctor)
    return [*doctor, Line(SIGNAL, True, f"{NOT_MEASURED}: this lamppost's agent is older than that")]


def ack_line(first_ack_s: float | None, waited_s: float) -> Line:
    if first_ack_s is None:
        told = f"nothing new was acknowledged within {waited_s:.0f} s"
        return Line("first ack", False, told, "Look at `lamppost agent doctor`: broker, topics, server")
    ok = first_ack_s <= ACK_SLOW_S
    told = f"a new sample was stored by the city after {first_ack_s:.0f} s"
    return Line("first ack", ok, told, "" if ok else "A slow link: what waits goes first; test again")


def readings_line(courses: Sequence[Course], sensors: Sequence[str]) -> Line:
    """Every sensor told something, and nothing that is no number."""
    silent = sorted(set(sensors) - {course.sensor for course in courses if course.points})
    if not sensors:
        return Line("readings", False, "no sensor is configured", "lamppost sensors probe")
    if silent:
        return Line("readings", False, f"silent: {', '.join(silent)}", "Look at plug and port; test again")
    return Line("readings", True, f"{len(courses)} channels, sensors: {len(sensors)}")


def acked(spool: Mapping[str, Any]) -> int:
    """Samples that the city has, of `lamppost agent spool --json`."""
    return sum(int(each["acked_samples"]) for each in spool["classes"].values())


def courses_of(looks: Sequence[tuple[float, Mapping[str, Any]]]) -> tuple[Course, ...]:
    """From what `lamppost agent status --json` said, each with the seconds since the test began."""
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for at_s, status in looks:
        for sensor, values in (status.get("latest") or {}).items():
            for channel, value in values.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    points.setdefault((sensor, channel), []).append((round(at_s, 1), float(value)))
    return tuple(Course(*name, tuple(found)) for name, found in sorted(points.items()))


def carry_out(
    post: Lamppost,
    config: str,
    least_s: float,
    most_s: float = ACK_SLOW_S,
    tell: Callable[[str], None] = lambda _line: None,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> SiteTest:
    """Ask the lamppost for at least `least_s`, and until the city has something new and every sensor that is
    well has been heard, at most `most_s`. Raises LamppostUnreachable."""
    where = ("--config", config)
    tell("asking what is wrong with it")
    checks = post.agent("doctor", *where)
    if not isinstance(checks, list):
        raise LamppostUnreachable("its agent gave no report", "Is its configuration there?")
    with _understood("doctor"):
        doctor = with_signal([_checked(each) for each in checks])
    clock = clock_line(*post.clock()) if post.host else None
    tell("watching its readings, and what the city acknowledges")
    began, had, first_ack_s = now(), _acked(post, where), None
    looks: list[tuple[float, Mapping[str, Any]]] = []
    sensors = {
        line.name.removeprefix("sensor "): line.ok for line in doctor if line.name.startswith("sensor ")
    }
    due = {sensor for sensor, well in sensors.items() if well}
    while (past := now() - began) < least_s or (past < most_s and (first_ack_s is None or due)):
        looks.append((past, _agent(post, "status", where)))
        with _understood("status"):
            due -= {course.sensor for course in courses_of(looks[-1:])}
        if first_ack_s is None and _acked(post, where) > had:
            first_ack_s = now() - began
        sleep(ASK_EVERY_S)
    span = now() - began
    status = looks[-1][1] if looks else _agent(post, "status", where)
    with _understood("status"):
        courses = courses_of(looks)
        device, version = f"{status['tenant']}/{status['device']}", str(status["version"])
    mine = [] if clock is None else [clock]
    lines = [*doctor, *mine, ack_line(first_ack_s, span), readings_line(courses, list(sensors))]
    return SiteTest(
        device=device,
        version=version,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        span_s=round(span, 1),
        lines=tuple(lines),
        courses=courses,
        first_ack_s=None if first_ack_s is None else round(first_ack_s, 1),
    )


@contextmanager
def _understood(what: str) -> Iterator[None]:
    """Raises LamppostUnreachable where an answer has another form than this version's agents give it."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as garbled:
        raise LamppostUnreachable(
            f"what `lamppost agent {what}` answers there is not understood", "Is it of another version?"
        ) from garbled


def _checked(told: Mapping[str, Any]) -> Line:
    line = Line(told["name"], bool(told["ok"]), told["detail"], told.get("remedy", ""))
    if not all(isinstance(each, str) for each in (line.name, line.detail, line.remedy)):
        raise TypeError("a check is told in words")
    return line


def _acked(post: Lamppost, where: Sequence[str]) -> int:
    with _understood("spool"):
        return acked(_agent(post, "spool", where))


def _agent(post: Lamppost, what: str, where: Sequence[str]) -> Mapping[str, Any]:
    told = post.agent(what, *where)
    if not isinstance(told, dict) or "code" in told:
        detail = told.get("detail", "") if isinstance(told, dict) else ""
        raise LamppostUnreachable(
            f"its agent says nothing of itself: {str(detail)[:200]}", "Is it running? lamppost agent install"
        )
    return told
