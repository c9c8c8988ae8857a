"""One demo run from start to verdict."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable

from demo.alone import Alone, measure_alone
from demo.api import ApiRefused
from demo.city import TICK_S, City, backlog_of, compare_all, spooled_of
from demo.layout import Layout, Post, lay_out
from demo.ledger import Frame, Stored, latencies_ms, percentile, total
from demo.ports import DEFAULT_PORTS
from demo.records import UNREACHABLE, DatabaseFigures, Records, agent_status
from demo.report import Report
from demo.settings import DemoSettings, WrongArgument
from demo.start import ADMIN, DidNotStart
from demo.summary import PostState, Snapshot, Summary


def run(settings: DemoSettings) -> int:
    """The process's exit status (see demo.cli.main)."""
    try:
        layout = lay_out(settings)
    except (WrongArgument, OSError) as wrong:
        print(f"lamppost demo: {wrong}", file=sys.stderr)
        return 2
    summary = Summary(settings.quiet)
    city = City(settings, layout)
    try:
        for step in city.start():
            summary.say(f"  {step}")
        _announce(summary, settings, layout)
        _live(city, summary)
        return _verdict(city, summary)
    except KeyboardInterrupt:
        summary.say("stopping")
        return 0 if settings.run_for_s is None else 130
    except (DidNotStart, ApiRefused, *UNREACHABLE, OSError) as failed:
        print(f"lamppost demo: {failed}\nlogs: {layout.logs}", file=sys.stderr)
        return 3
    finally:
        city.stop()


def _announce(summary: Summary, settings: DemoSettings, layout: Layout) -> None:
    moved = [f"{use} {port}" for use, port in layout.ports.items() if port != DEFAULT_PORTS[use]]
    if moved:
        summary.say(f"  other programs have the usual ports; here: {', '.join(moved)}")
    summary.say(f"\n  dashboard  http://127.0.0.1:{layout.ports['ui']}")
    summary.say(f"  sign in    {ADMIN} / {settings.admin_password}")
    summary.say(f"  api        http://127.0.0.1:{layout.ports['api']}/api/v1\n  logs       {layout.logs}\n")


def _live(city: City, summary: Summary) -> None:
    """Draw until the time is up; without a time, until Ctrl-C."""
    summary.watch(_snapshots(city, Records(city.layout)))


def _snapshots(city: City, records: Records) -> Callable[[], Snapshot | None]:
    settings, ports = city.settings, city.layout.ports
    until_s = settings.run_for_s if settings.run_for_s is not None else float("inf")
    figures = DatabaseFigures({}, 0, 0, 0)

    def next_snapshot() -> Snapshot | None:
        nonlocal figures
        time.sleep(max(0.0, min(TICK_S, until_s - city.running_s)))
        if city.running_s >= until_s:
            return None
        if city.server is not None and not city.server.running:
            raise DidNotStart(f"the server ended with status {city.server.status}\n{city.server.tail()}")
        with contextlib.suppress(*UNREACHABLE):  # it may be killed to see what happens: show what was
            figures = records.now(city.street_zero_ms)
        return Snapshot(
            posts=tuple(_post_state(post, figures) for post in city.layout.posts),
            street_ms=city.street_now_ms,
            speed=settings.speed,
            running_s=city.running_s,
            run_for_s=settings.run_for_s,
            dashboard=f"http://127.0.0.1:{ports['ui']}",
            login=f"sign in: {ADMIN} / {settings.admin_password}",
        )

    return next_snapshot


def _post_state(post: Post, figures: DatabaseFigures) -> PostState:
    status = agent_status(post)
    latest = status.get("latest", {}).get("air", {}).get("pm2_5")
    return PostState(
        name=f"{post.name}  {post.site}",
        sensor=post.kind.upper(),
        state="online" if status.get("connected") else "offline",
        backlog=backlog_of(status),
        stored=figures.per_post.get(post.name, 0),
        latest="" if latest is None else f"{latest:g}",
        conditions=tuple(c["code"] for c in status.get("conditions", [])),
    )


def _verdict(city: City, summary: Summary) -> int:
    """Stop sampling, drain, compare with the ledgers, write the report."""
    ran_for_s = city.running_s
    summary.say("sampling stopped; draining what is still on the lampposts")
    city.stop_sampling()
    drained = city.drain()
    records = Records(city.layout)
    frames, rows = city.ledgers(), city.stored(records)
    figures = records.now(city.street_zero_ms)
    alone = None
    if city.settings.measure_alone:
        summary.say("measuring one agent alone with three sensors")
        alone = measure_alone(city)
    report = build_report(city, frames, rows, figures, alone, ran_for_s)
    if city.settings.report is not None:
        report.write(city.settings.report)
        summary.say(f"report: {city.settings.report}")
    _say_verdict(summary, report, drained)
    return 0 if report.kept_its_promise else 1


def build_report(
    city: City,
    frames: dict[str, list[Frame]],
    rows: dict[str, list[Stored]],
    figures: DatabaseFigures,
    alone: Alone | None,
    ran_for_s: float,
) -> Report:
    """Every figure from this run's records."""
    found = total(compare_all(frames, rows))
    spooled = sum(spooled_of(post) for post in city.layout.posts)
    late = sorted(
        latency for name in frames for latency in latencies_ms(frames[name], rows[name], city.street_zero_ms)
    )
    unspooled = max(0, found.sent - spooled)
    history = round(city.settings.history_h * 3600 / city.settings.cadence_s) * len(city.layout.posts)
    return Report(
        enrolled=city.enrolled,
        spooled=spooled,
        stored=found.stored,
        lost=max(0, found.missing - unspooled),
        duplicated=found.surplus,
        history_stored=figures.history,
        history_expected=history,
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
        speed=city.settings.speed,
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
    if report.latency_p50_ms is not None:
        summary.say(
            f"frame to committed row: p50 {report.latency_p50_ms:.0f} ms, p99 {report.latency_p99_ms:.0f} ms"
        )
    if report.agent_pss_mb is not None:
        summary.say(
            f"one agent alone: {report.agent_pss_mb} MB PSS, {report.agent_uss_mb} MB USS, "
            f"{report.bytes_per_reading} bytes a reading in one-minute batches"
        )
