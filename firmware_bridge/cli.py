"""`lamppost sensors`: the kinds there are, what is on which port, emulated ones. Only parses and prints."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

from firmware_bridge.kinds import SPECS, SensorKind

BAD_INPUT = 2  # exit status for the operator's mistakes, as argparse's own

EXAMPLES = """\
examples:
  lamppost sensors kinds                         what can be read, and its channels
  lamppost sensors probe                         every port: what is on it, then live readings
  lamppost sensors probe --port /dev/ttyUSB0 --once --json
  lamppost sensors emulate --kind pms5003 --link /tmp/pms --seed 7
  lamppost sensors emulate --kind sps30 --replay hourly.parquet --station Dongsi
  lamppost sensors emulate --plan plan.json      many units in one process (docs/sensors.md)
"""


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 well, 1 nothing found, 2 wrong input."""
    args = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as by Ctrl-C: clean up, then go
    try:
        if args.command == "kinds":
            return _kinds(args)
        if args.command == "probe":
            return _probe(args)
        return _emulate(args)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        return 0


def parser() -> argparse.ArgumentParser:
    """`lamppost.py` gives each command its examples."""
    made = argparse.ArgumentParser(
        prog="lamppost sensors",
        description="Serial sensors: probe what is connected, emulate what is not.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")

    kinds = commands.add_parser("kinds", help="the kinds of sensor that can be read")
    kinds.add_argument("--json", action="store_true", help="one JSON document")

    probe = commands.add_parser(
        "probe",
        help="find what is on which port, and print its readings",
        description="Asks with commands that change nothing that lasts; a sleeping sensor is woken.",
    )
    probe.add_argument("--port", action="append", metavar="P", help="only this port (again for more)")
    probe.add_argument("--kind", type=_kind, metavar="KIND", help="what you know is there (see `kinds`)")
    probe.add_argument("--once", action="store_true", help="one reading each, then end")
    probe.add_argument("--json", action="store_true", help="one JSON line a port or reading")

    _add_emulate(commands)
    return made


def _add_emulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    emulate = commands.add_parser(
        "emulate",
        help="emulated sensors on pseudo-terminals",
        description="Prints one JSON line when the ports are there; ends with Ctrl-C or SIGTERM.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = emulate.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--plan",
        metavar="FILE",
        help="many units, plumes that cross them, faults at set times: JSON (docs/sensors.md)",
    )
    what.add_argument("--kind", type=_kind, metavar="KIND", help="one unit of this kind (see `kinds`)")
    emulate.add_argument("--link", metavar="PATH", help="a symbolic link to the pseudo-terminal")
    emulate.add_argument("--ledger", metavar="FILE", help="a JSON line for each measurement sent")
    emulate.add_argument("--seed", type=int, default=0, help="another unit, another noise (default 0)")
    emulate.add_argument("--serial", help="the unit's serial number or id")
    emulate.add_argument("--replay", metavar="FILE", help="air from a parquet or CSV recording")
    emulate.add_argument("--station", metavar="NAME", help="which station of the recording")
    emulate.add_argument("--offset", metavar="TIME", help="where in the recording to begin (ISO time)")
    emulate.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="TYPE[:COUNT][@AFTER]",
        help="garbage, truncate, silent, stuck or unplug (COUNT seconds), after AFTER measurements (10)",
    )


def _kind(name: str) -> SensorKind:
    try:
        return SensorKind(name.lower())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{name!r}: choose from {', '.join(SensorKind)}") from None


def _kinds(args: argparse.Namespace) -> int:
    if args.json:
        print(json.dumps([_kind_json(kind) for kind in SensorKind]))
        return 0
    for spec in SPECS.values():
        channels = ", ".join(f"{c.name} ({c.unit})" for c in spec.channels)
        serial = "tells its serial" if spec.reports_serial else "tells no serial"
        sleeps = "can sleep" if spec.can_sleep else "cannot sleep"
        print(f"{spec.kind:<9} {spec.title}")
        print(f"          {spec.baud} baud, warm-up {spec.warm_up_s:.0f} s, {serial}, {sleeps}")
        print(f"          {channels}")
    return 0


def _kind_json(kind: SensorKind) -> dict[str, Any]:
    spec = SPECS[kind]
    channels = [{"name": c.name, "unit": c.unit, "exponent": c.exponent} for c in spec.channels]
    return {
        "kind": kind,
        "title": spec.title,
        "baud": spec.baud,
        "warm_up_s": spec.warm_up_s,
        "reports_serial": spec.reports_serial,
        "can_sleep": spec.can_sleep,
        "channels": channels,
    }


def _probe(args: argparse.Namespace) -> int:
    from firmware_bridge.probe_command import run_probe

    return run_probe(args.port, args.kind, once=args.once, as_json=args.json)


def _emulate(args: argparse.Namespace) -> int:
    from firmware_bridge.emulator.air import BadPlan
    from firmware_bridge.emulator.host import EmulatorHost
    from firmware_bridge.emulator.plan import build_units, load_plan

    try:
        units = load_plan(Path(args.plan)) if args.plan else build_units(_one_unit(args))
        host = EmulatorHost(units)
        paths = host.start()
        described = [{"name": n, "kind": units[n][0].kind, "port": path} for n, path in paths.items()]
        print(json.dumps({"ready": True, "units": described}), flush=True)
        host.run()  # a clock file that appears later may be wrong, too
    except BadPlan as problem:
        print(f"lamppost sensors emulate: {problem}", file=sys.stderr)
        return BAD_INPUT
    return 0


def _one_unit(args: argparse.Namespace) -> dict[str, Any]:
    """The plan of the simple form."""
    from firmware_bridge.emulator.faults import parse_fault

    scene: dict[str, Any] = {"type": "synthetic"}
    if args.replay:
        scene = {"type": "replay", "file": args.replay, "station": args.station, "offset": args.offset}
    faults = [parse_fault(text) for text in args.fault]
    unit = {
        "name": args.kind,
        "kind": args.kind,
        "link": args.link,
        "ledger": args.ledger,
        "seed": args.seed,
        "serial": args.serial,
        "scene": scene,
        "faults": [{"type": f.type, "after": f.after, "count": f.count} for f in faults],
    }
    return {"units": [unit]}
