"""The end of a run: what was stored against what was sensed, what was found against what was planted."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict

from demo.alone import Alone, measure_alone
from demo.city import City, compare_all
from demo.counts import split_missing
from demo.findings import Findings, read_findings
from demo.ledger import Frame, Stored, latencies_ms, percentile, skipped, total
from demo.outcome import Outcome, judge, of_half_a_story
from demo.records import DatabaseFigures, Records, agent_status
from demo.report import Report
from demo.story import ENDS_S
from demo.summary import Summary

DECIDED_S = 15.0  # the city decides each second; a busy laptop takes a few


def reckon(city: City, summary: Summary) -> int:
    """Stop sampling, drain, compare, write the report. Exit status 1 when it lost or doubled anything."""
    ran_for_s = city.running_s
    summary.say("sampling stopped; draining what is still on the lampposts")
    city.stop_sampling()
    drained = city.drain()
    records = Records(city.layout)
    found = _decided(records)
    frames, rows = city.ledgers(), city.stored(records)
    figures = records.now(city.street_zero_ms, city.history_from_ms)
    city.hear_agents()
    alone = None
    if city.settings.measure_alone:
        summary.say("measuring one agent alone with three sensors")
        alone = measure_alone(city)
    outcome = judge(city.story, found)
    if ran_for_s * city.settings.speed < ENDS_S:
        outcome = of_half_a_story(outcome)
    report = build_report(city, frames, rows, figures, alone, ran_for_s, outcome)
    if city.settings.report is not None:
        report.write(city.settings.report)
        summary.say(f"report: {city.settings.report}")
    if found.undecided:
        summary.say(f"{found.undecided} verdicts of lampposts were not looked at by the city")
    _say_verdict(summary, report, drained)
    _say_outcome(summary, outcome)
    return 0 if report.kept_its_promise else 1


def _decided(records: Records) -> Findings:
    """The city's findings once it has looked at every verdict, or when the time for it is up."""
    deadline = time.monotonic() + DECIDED_S
    while True:
        with contextlib.closing(records.connect()) as connection:
            found = read_findings(connection)
        if not found.undecided or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def build_report(
    city: City,
    frames: dict[str, list[Frame]],
    rows: dict[str, list[Stored]],
    figures: DatabaseFigures,
    alone: Alone | None,
    ran_for_s: float,
    outcome: Outcome,
) -> Report:
    """Every figure from this run's records."""
    compared = compare_all(frames, rows)
    found = total(compared)
    lost, unspooled = split_missing(compared, city.spooled)
    late = sorted(
        latency for name in frames for latency in latencies_ms(frames[name], rows[name], city.street_zero_ms)
    )
    settings = city.settings
    linked_ms = city.history_from_ms if settings.live_history else city.street_zero_ms
    history = round(settings.history_h * 3600 / settings.cadence_s) * len(city.layout.posts)
    return Report(
        enrolled=city.enrolled,
        spooled=city.spooled.total(),
        stored=found.stored,
        lost=lost,
        duplicated=found.surplus,
        history_stored=figures.history,
        history_expected=history,
        skipped=sum(skipped(each, settings.cadence_s, linked_ms) for each in frames.values()),
        latency_p50_ms=_rounded(percentile(late, 0.50)),
        latency_p99_ms=_rounded(percentile(late, 0.99)),
        live_samples=len(late),
        agent_pss_mb=alone.memory.pss_mb if alone and alone.memory else None,
        agent_uss_mb=alone.memory.uss_mb if alone and alone.memory else None,
        bytes_per_reading=alone.bytes_per_reading if alone else None,
        city_bytes_per_reading=city_bytes_per_reading(city),
        shed=figures.shed,
        unspooled=unspooled,
        dead_letters=figures.dead_letters,
        ran_for_s=round(ran_for_s, 1),
        speed=settings.speed,
        history_speed=settings.history_speed if settings.live_history else None,
        seed=settings.seed,
        **asdict(outcome),
    )


def city_bytes_per_reading(city: City) -> float | None:
    """Payload bytes of all sample batches over their readings, history and live together."""
    sealed = [agent_status(post).get("sealed", {}) for post in city.layout.posts]
    readings = sum(one.get("readings", 0) for one in sealed)
    return round(sum(one.get("bytes", 0) for one in sealed) / readings, 3) if readings else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _say_verdict(summary: Summary, report: Report, drained: bool) -> None:
    if not drained:
        summary.say("not everything had left the lampposts when the time was up")
    summary.say(
        f"{report.enrolled} enrolled; {report.spooled:,} samples spooled, {report.stored:,} stored "
        f"({report.history_stored:,} of {report.history_expected:,} from before), "
        f"{report.lost} lost, {report.duplicated} duplicated"
    )
    if report.skipped:
        summary.say(
            f"{report.skipped} readings never happened: this machine does not hold that speed "
            "(--history-speed, --speed)"
        )
    if report.latency_p50_ms is not None:
        summary.say(
            f"frame to committed row: p50 {report.latency_p50_ms:.0f} ms, p99 {report.latency_p99_ms:.0f} ms"
        )
    if report.agent_pss_mb is not None:
        summary.say(
            f"one agent alone: {report.agent_pss_mb} MB PSS, {report.agent_uss_mb} MB USS, "
            f"{report.bytes_per_reading} bytes a reading in one-minute batches"
        )


def _say_outcome(summary: Summary, outcome: Outcome) -> None:
    for words, reached in outcome.bars():
        summary.say(f"{'reached' if reached else 'MISSED '}  {words}")
