"""`lamppost simulate`: as many lampposts as you like."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TypedDict

from firmware_bridge.kinds import SensorKind
from simulator import settings as asked
from simulator.clock import check_file
from simulator.settings import CannotStart, Settings, Source, Where, WrongArgument, within
from simulator.street import check_source

EXAMPLES = """examples:
  lamppost simulate --devices 200 --server-data .demo/server --clock .demo/clock.json --every 60s --flush 60s
                                                   beside a running demo, on its fast clock
  lamppost simulate --devices 500 --server-data /var/lib/lamppost --for 10m --report run.json
  lamppost simulate --devices 20 --backlog 24h     a day without a link, then all of it at once
  lamppost simulate --devices 20 --outage 1m+30s   the line is cut after a minute, for half a minute
  lamppost simulate --devices 12 --source hourly.parquet --station Dongsi,Tiantan
  lamppost simulate --devices 50 --broker city.example:8883 --ca ca.pem    certificates in --directory
  lamppost simulate --remove --server-data /var/lib/lamppost

exit status: 0 all that was spooled is acked; 1 not; 2 wrong arguments; 3 could not start.
What it needs of the machine, and what stays behind: docs/simulator.md
"""

LONGEST_BACKLOG_S = 31 * 86_400.0  # street; a month, as long as a spool keeps history


def parser() -> argparse.ArgumentParser:
    """Every option with its default."""
    made = argparse.ArgumentParser(
        prog="lamppost simulate",
        description="Simulated lampposts: the real agent's spool, sealing and link, each with a certificate "
        "and an MQTT connection of its own, in a few processes. A load generator, and a sandbox.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--devices", type=int, default=20, metavar="N", help="how many lampposts (20)")
    _where(made.add_argument_group("where the server is, and who lets them in"))
    _what(made.add_argument_group("what they do"))
    _how(made.add_argument_group("how it runs"))
    return made


def _where(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--server-data", type=Path, metavar="DIR", help="data directory of a server here")
    group.add_argument("--server-config", type=Path, metavar="FILE", help="its server.toml, where it has one")
    group.add_argument("--broker", metavar="HOST:PORT", help="instead: an MQTT broker anywhere")
    group.add_argument("--ca", type=Path, metavar="FILE", help="with --broker: what its certificate hangs on")
    group.add_argument(
        "--authority", type=Path, metavar="DIR", help="with --broker: the city's authority, to sign with"
    )
    group.add_argument("--tenant", default="", metavar="NAME", help="the city (the server's, or city)")
    group.add_argument("--prefix", default="sim", metavar="NAME", help="names: sim-00001, ... (sim)")
    group.add_argument(
        "--remove", action="store_true", help="decommission them at the server and forget their keys"
    )


def _what(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--every", default="10s", metavar="TIME", help="street time between readings (10s)")
    group.add_argument("--flush", metavar="TIME", help="street time until readings leave (half of --every)")
    group.add_argument(
        "--kinds", default="sds011", metavar="KIND,...", help="sensors, in turn; a+b: both on one (sds011)"
    )
    group.add_argument("--source", default="city", metavar="FILE", help="a recording instead of the city")
    group.add_argument("--station", default="", metavar="NAME,...", help="stations of it, in turn")
    group.add_argument("--seed", type=int, default=1, help="of the city and the sensors' noise (1)")
    group.add_argument("--speed", type=float, default=1.0, help="how fast the street's clock runs (1)")
    group.add_argument("--clock", type=Path, metavar="FILE", help="instead: a demo's clock.json")
    group.add_argument("--backlog", metavar="TIME", help="begin as if offline for so long, street time")
    group.add_argument("--outage", metavar="TIME+TIME", help="cut the line after the first, for the second")


def _how(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--for", dest="run_for", metavar="TIME", help="once all are switched on; else until Ctrl-C"
    )
    group.add_argument(
        "--drain", default="60s", metavar="TIME", help="what waits at the end has so long (60s)"
    )
    group.add_argument("--ramp", type=float, default=200.0, metavar="N", help="switched on a second (200)")
    group.add_argument("--processes", type=int, metavar="P", help="one for each 1500 lampposts")
    group.add_argument(
        "--directory", type=Path, default=Path(".simulated"), metavar="DIR", help="keys, spools (.simulated)"
    )
    group.add_argument(
        "--spool", choices=("disk", "memory"), default="disk", help="memory: a memory file system (disk)"
    )
    group.add_argument("--keep", action="store_true", help="keep spools and logs, also when all is acked")
    group.add_argument("--report", type=Path, metavar="FILE", help="the run's figures as JSON")
    group.add_argument("--ledger", type=Path, metavar="FILE", help="what each lamppost took, JSON lines")
    group.add_argument("--quiet", action="store_true", help="no progress, no summary")


def settings_from(argv: list[str]) -> Settings:
    """Raises WrongArgument with the option, the value and what is allowed; CannotStart without a server."""
    given = parser().parse_args(argv)
    _check_numbers(given)
    _check_files(given)
    every_s = within("--every", asked.duration("--every", given.every), 1, 86_400)
    flush_s = asked.duration("--flush", given.flush) if given.flush else min(max(every_s / 2, 1), 60)
    asked.check_names(given.tenant or "city", given.prefix)
    without_where = _Rest(
        kinds=asked.kinds(given.kinds),
        every_s=every_s,
        flush_s=within("--flush", flush_s, asked.FLUSH_LOW_S, asked.FLUSH_HIGH_S),
        run_s=asked.duration("--for", given.run_for) if given.run_for else None,
        drain_s=asked.duration("--drain", given.drain),
        backlog_s=_backlog_s(given),
        outage=asked.outage(given.outage) if given.outage else None,
        source=_source(given),
    )
    where = _find(given)
    asked.check_names(where.tenant, given.prefix)
    return Settings(
        devices=given.devices,
        directory=given.directory.resolve(),
        where=where,
        prefix=given.prefix,
        speed=given.speed,
        clock_file=_whole(given.clock),
        processes=given.processes or asked.processes_for(given.devices, os.cpu_count() or 1),
        ramp_per_s=given.ramp,
        in_memory=given.spool == "memory",
        keep=given.keep,
        report=_whole(given.report),
        ledger=_whole(given.ledger),
        quiet=given.quiet,
        **without_where,
    )


class _Rest(TypedDict):
    """What is checked before anybody looks for the server."""

    kinds: tuple[tuple[SensorKind, ...], ...]
    every_s: float
    flush_s: float
    run_s: float | None
    drain_s: float
    backlog_s: float
    outage: asked.Outage | None
    source: Source


def _check_numbers(given: argparse.Namespace) -> None:
    within("--devices", given.devices, 1, asked.MOST_LAMPPOSTS)
    within("--speed", given.speed, 0.1, 3600)
    within("--ramp", given.ramp, 0.1, 100_000)
    within("--seed", given.seed, 0, 1_000_000)
    if given.processes is not None:
        within("--processes", given.processes, 1, asked.MOST_PROCESSES)


def _check_files(given: argparse.Namespace) -> None:
    if given.clock is not None:
        if given.speed != 1.0:
            raise WrongArgument("--clock brings its own speed: leave out --speed")
        check_file(given.clock)
    for option, file in (("--report", given.report), ("--ledger", given.ledger)):
        if file is not None and not file.resolve().parent.is_dir():
            raise WrongArgument(f"{option} {file}: there is no folder {file.resolve().parent}")
    if given.directory.exists() and not given.directory.is_dir():
        raise WrongArgument(f"--directory {given.directory}: is not a folder")


def _backlog_s(given: argparse.Namespace) -> float:
    if not given.backlog:
        return 0.0
    return within("--backlog", asked.duration("--backlog", given.backlog), 1, LONGEST_BACKLOG_S)


def _whole(path: Path | None) -> Path | None:
    return path.resolve() if path is not None else None


def _source(given: argparse.Namespace) -> Source:
    stations = tuple(name.strip() for name in given.station.split(",") if name.strip())
    if given.source == "city":
        if stations:
            raise WrongArgument("--station names a station of a recording: give it with --source FILE")
        return Source(seed=given.seed)
    source = Source(Path(given.source).expanduser().resolve(), stations, given.seed)
    check_source(source)
    return source


def _find(given: argparse.Namespace) -> Where:
    from simulator import server

    here = given.server_data is not None or given.server_config is not None
    if here and given.broker:
        raise WrongArgument("give --server-data (a server here) or --broker (anywhere), not both")
    if here:
        return server.find(given.server_data, given.server_config, given.tenant)
    if not given.broker:
        raise WrongArgument("say where the server is: --server-data DIR, or --broker HOST:PORT and --ca FILE")
    if given.ca is None or not given.ca.is_file():
        raise WrongArgument(
            f"--ca {given.ca}: give the file of the authority that signed the broker's certificate"
        )
    host, port = asked.broker(given.broker)
    authority = given.authority.resolve() if given.authority else None
    return Where(host, port, given.ca.resolve(), given.tenant or server.DEFAULT_TENANT, authority=authority)


def main(argv: list[str]) -> int:
    """0 all that was spooled is acked; 1 not; 2 wrong arguments; 3 could not start; 130 Ctrl-C too early."""
    try:
        settings = settings_from(argv)
    except WrongArgument as wrong:
        print(f"lamppost simulate: {wrong}", file=sys.stderr)
        return 2
    except CannotStart as error:
        print(f"lamppost simulate: {error}", file=sys.stderr)
        return 3
    from simulator.run import remove, run

    return remove(settings) if "--remove" in argv else run(settings)
