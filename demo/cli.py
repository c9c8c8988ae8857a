"""`lamppost demo`: a whole city on this machine."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
from pathlib import Path
from types import FrameType

from demo.settings import HISTORY_SPEED, DemoSettings, WrongArgument, parse_duration, parse_replay

EXAMPLES = """examples:
  lamppost demo                                     until Ctrl-C, with a live summary and a story
  lamppost demo --for 90s --report report.json      unattended; exits 1 if anything was lost or stored twice
  lamppost demo --live-history --for 90s --report report.json
                                                    lives through two days first: is anything taken for an
                                                    incident that is none?
  lamppost demo --no-story --posts 20               a plain city of twenty lampposts
  lamppost demo --replay hourly.parquet --station Dongsi
  make demo ARGS="--for 90s --report report.json"   the same through make

the story: an hour of the street's clock after the link is back (a minute at --speed 60) a plume crosses
three lampposts, while the sensor of another is stuck and a further one stands in fog. What the report says:
docs/demo.md
"""


def parser() -> argparse.ArgumentParser:
    """Every option with its default."""
    options = argparse.ArgumentParser(
        prog="lamppost demo",
        description="Run a city on this machine: broker, database, server, and lampposts that are the real "
        "agent, each enrolled with a certificate of its own, reading an emulated sensor over a "
        "pseudo-terminal. The street's clock runs fast; each lamppost first drains two days of history, and "
        "an hour later something happens.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument(
        "--for", dest="run_for", metavar="TIME", help="stop so long after the link is back: 90s, 5m, 2h"
    )
    options.add_argument("--report", metavar="FILE", help="write the run's figures as JSON")
    options.add_argument("--speed", type=float, default=60.0, help="how fast the street's clock runs (60)")
    options.add_argument("--posts", type=int, default=6, help="how many lampposts (6)")
    options.add_argument(
        "--history", default="48h", metavar="TIME", help="how much street time lies before that (48h)"
    )
    options.add_argument(
        "--live-history",
        action="store_true",
        help="live through that time, linked, sampling and deciding, instead of draining it",
    )
    options.add_argument(
        "--history-speed",
        type=float,
        default=HISTORY_SPEED,
        metavar="TIMES",
        help=f"how fast the street's clock runs meanwhile ({HISTORY_SPEED:g})",
    )
    options.add_argument(
        "--no-story", action="store_true", help="nothing happens: no plume, no stuck sensor, no fog"
    )
    options.add_argument(
        "--replay", metavar="FILE", help="feed the sensors from a recording (.parquet or .csv)"
    )
    options.add_argument("--station", metavar="NAME", help="which station of the recording")
    options.add_argument(
        "--seed", type=int, default=1, help="seed of the synthetic city and the sensors' noise (1)"
    )
    options.add_argument(
        "--dir", default=".demo", metavar="DIR", help="where the city lives; made anew (.demo)"
    )
    options.add_argument("--no-measure", action="store_true", help="leave out measuring one agent alone")
    options.add_argument("--quiet", action="store_true", help="no progress and no summary, only errors")
    return options


def settings_from(argv: list[str]) -> DemoSettings:
    """Raises WrongArgument with the option, the value and what is allowed."""
    given = parser().parse_args(argv)
    if not 1 <= given.speed <= 600:
        raise WrongArgument(f"--speed {given.speed:g}: choose from 1 to 600")
    if not 1 <= given.posts <= 50:
        raise WrongArgument(f"--posts {given.posts}: choose from 1 to 50")
    if not 1 <= given.history_speed <= 3600:
        raise WrongArgument(f"--history-speed {given.history_speed:g}: choose from 1 to 3600")
    if given.station and not given.replay:
        raise WrongArgument("--station names a station of a recording: give the recording with --replay FILE")
    report = Path(given.report).resolve() if given.report else None
    if report is not None and not report.parent.is_dir():
        raise WrongArgument(f"--report {given.report}: there is no folder {report.parent}")
    return DemoSettings(
        directory=Path(given.dir).resolve(),
        run_for_s=parse_duration(given.run_for) if given.run_for else None,
        report=report,
        speed=given.speed,
        posts=given.posts,
        history_h=parse_duration(given.history) / 3600,
        seed=given.seed,
        replay=parse_replay(given.replay, given.station) if given.replay else None,
        story=not given.no_story,
        live_history=given.live_history,
        history_speed=given.history_speed,
        measure_alone=not given.no_measure,
        quiet=given.quiet,
        admin_password=secrets.token_urlsafe(12),
    )


def main(argv: list[str]) -> int:
    """0 kept its promise; 1 lost or doubled something; 2 wrong arguments; 3 could not start; 130 Ctrl-C."""
    try:
        settings = settings_from(argv)
    except WrongArgument as wrong:
        print(f"lamppost demo: {wrong}", file=sys.stderr)
        return 2

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)  # a shell that starts us in its background had it ignored
    from demo.run import run

    return run(settings)
