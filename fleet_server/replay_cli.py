"""`lamppost replay`: a stretch of stored samples as the stream it was. Parsing and words."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path

from fleet_server import data_folder
from fleet_server import replay_commands as run
from fleet_server.admin_commands import duration
from fleet_server.air.commands import instant
from fleet_server.config import load_config
from fleet_server.errors import ConfigurationError, LamppostError
from fleet_server.telemetry.replaying_formats import FLUSH_S
from wire_contract.errors import InvalidName

EXAMPLES = """\
examples:
  lamppost replay --from 2026-11-20 --to 2026-11-21 > day.ndjson
  lamppost replay --from 2026-11-20T06:00 --to 2026-11-20T09:00 --device lamp-07 --speed 60
  lamppost replay --from 2026-11-20 --to 2026-11-21 --format csv --calibrated > day.csv
  lamppost replay --from 2026-11-01 --to 2026-11-21 --into build/air_anomaly      a candidate model
  lamppost replay --from 2026-11-01 --to 2026-11-21 --recompute --device lamp-07  after a calibration

Times are UTC unless they name a zone. The stream goes to standard output, declarations first; what came of
it, to standard error. Exit status 0: done; 1: refused; 2: configuration, command line or candidate are wrong;
130: Ctrl-C.
"""
FASTEST = 1_000_000.0  # beyond it no clock tells the waits apart: that is "max"
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="lamppost replay",
        description="Read any stretch of stored samples back as the stream it was.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--from", dest="begins", type=instant, required=True, metavar="TIME")
    made.add_argument("--to", dest="ends", type=instant, required=True, metavar="TIME", help="not included")
    made.add_argument(
        "--device", action="append", default=[], metavar="[TENANT/]NAME", help="repeat for more (all)"
    )
    made.add_argument(
        "--speed",
        type=speed,
        metavar="FACTOR",
        help="1: as it happened; 60: a minute a second; max (default)",
    )
    made.add_argument("--format", choices=("ndjson", "csv", "wire"), default="ndjson")
    made.add_argument(
        "--flush", type=flush, metavar="S", help=f"--format wire: seconds a batch ({FLUSH_S:.0f})"
    )
    made.add_argument("--calibrated", action="store_true", help="particles as calibrations make them")
    made.add_argument(
        "--into", metavar="RULE_OR_MODEL", help="`rule`, or a model's folder: its verdicts instead"
    )
    made.add_argument(
        "--warm-up",
        type=duration,
        default=run.WARM_UP,
        metavar="TIME",
        help="before --from, for --into (24h)",
    )
    made.add_argument(
        "--recompute", action="store_true", help="compute the air of the stretch anew, and wait"
    )
    made.add_argument("--config", type=Path, metavar="FILE", help="the server's configuration (server.toml)")
    made.add_argument("--data", type=Path, metavar="DIR", help="the server's data directory")
    made.add_argument("--json", action="store_true", help="the summary in JSON, without progress")
    return made


def speed(text: str) -> float | None:
    """None: as fast as it goes. Raises argparse.ArgumentTypeError."""
    if text == "max":
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor <= FASTEST:  # NaN is not
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is neither max nor a factor up to {FASTEST:.0f}")
    return factor


def flush(text: str) -> float:
    """Seconds, as [telemetry] flush_interval_s of an agent. Raises argparse.ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 1 <= seconds <= 60:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number of seconds from 1 to 60")
    return seconds


def main(argv: list[str]) -> int:
    """See `EXAMPLES` for the exit statuses. A reader that has enough (a broken pipe) is no error."""
    made = parser()
    options = made.parse_args(argv)
    _check(made, options)
    summary, status = run.Summary(), 0
    try:
        options.loaded = load_config(options.config, data_dir=options.data)
        data_folder.check(options.loaded)
        run.replay(options, summary)
    except BrokenPipeError:
        _close_output()
        summary.stopped = True
    except KeyboardInterrupt:
        _close_output()
        summary.stopped, status = True, INTERRUPTED
    except OSError as failed:
        _close_output()
        print(f"lamppost replay: the output cannot be written: {failed.strerror or failed}.", file=sys.stderr)
        return 1
    except (LamppostError, InvalidName) as refused:
        print(
            json.dumps({"error": str(refused)}) if options.json else f"lamppost replay: {refused}",
            file=sys.stderr,
        )
        return 2 if isinstance(refused, ConfigurationError) else 1
    if options.json:
        print(json.dumps(summary.document()), file=sys.stderr)
    else:
        print("\n".join(summary.lines()), file=sys.stderr)
    return status


def _check(made: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Exits with status 2 where options do not go together."""
    if options.recompute and (options.into or options.calibrated or options.speed):
        made.error("--recompute prints no stream: it goes with --from, --to and --device only")
    if options.into and options.format != "ndjson":
        made.error("--into prints verdicts: it has no --format")
    if options.flush is not None and options.format != "wire":
        made.error("--flush: lines are no batches, it goes with --format wire only")
    if options.flush is None:
        options.flush = FLUSH_S
    if options.calibrated and options.format == "wire":
        made.error("--calibrated: what lampposts send is not calibrated, choose --format ndjson or csv")


def _close_output() -> None:
    """Nobody reads it any more: what Python would still write at its end goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
