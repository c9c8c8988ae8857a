"""`lamppost agent`: run the daemon, look at it, set it up. Only parses and prints."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from edge_agent.config import explain, load, missing_files
from edge_agent.config_keys import AgentConfig
from edge_agent.errors import AgentError, ConfigError, EnrolmentPending

DEFAULT_CONFIG = "/etc/lamppost/agent.toml"
PROBLEM, WRONG_INPUT, PENDING = 1, 2, 4  # exit statuses; 0 is well, 3 a missing package (lamppost.py)

EXAMPLES = """\
examples:
  lamppost agent config --explain > agent.toml     every key, documented
  lamppost agent enrol --config agent.toml --wait  get a certificate; a person accepts it
  lamppost agent doctor --config agent.toml        what is wrong, and what to do about it
  lamppost agent run --config agent.toml           the daemon, in the foreground
  lamppost agent status --config agent.toml        what the running agent says of itself
  lamppost agent model --config agent.toml         the model or the rule that decides, checked
  lamppost agent spool --config agent.toml --json  what is kept, acknowledged, given up
  lamppost agent config --config agent.toml        is it well, before the agent starts?
  sudo lamppost agent install --config /etc/lamppost/agent.toml
  lamppost agent install --config agent.toml --print             only show the unit
  lamppost agent rehearse --config agent.toml --hours 2 --until-ms 1795219200000
"""


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 well, 1 a problem, 2 wrong input, 4 enrolment pending."""
    args = parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except AgentError as error:
        if getattr(args, "json", False):
            print(json.dumps({"code": error.code, "detail": error.detail, "remedy": error.remedy}))
        else:
            remedy = f"\n{error.remedy}" if error.remedy else ""
            print(f"{error.detail}{remedy}", file=sys.stderr)
        if isinstance(error, EnrolmentPending):
            return PENDING
        return WRONG_INPUT if isinstance(error, ConfigError) else PROBLEM
    except KeyboardInterrupt:
        return 0


def parser() -> argparse.ArgumentParser:
    """`lamppost.py` gives each command its examples."""
    raw = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(
        prog="lamppost agent", description="The lamppost's daemon.", epilog=EXAMPLES, formatter_class=raw
    )
    commands = made.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, what: str, command: Callable[[argparse.Namespace], int], json_too: bool = True
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=what, description=what)
        sub.add_argument(
            "--config", type=Path, default=Path(DEFAULT_CONFIG), metavar="FILE", help="default: %(default)s"
        )
        if json_too:
            sub.add_argument("--json", action="store_true", help="one JSON document")
        sub.set_defaults(command=command)
        return sub

    add("run", "the daemon: sample, keep, deliver", _run, json_too=False)
    add("doctor", "check sensors, clock, disk, broker and certificate", _doctor)
    enrol = add("enrol", "make a key and get a certificate from the city", _enrol)
    enrol.add_argument("--wait", action="store_true", help="until a person has accepted this device")
    add("status", "what the running agent says of itself", _status)
    add("spool", "counters of what is kept", _spool)
    rehearse = add("rehearse", "fill the spool from the sensors as if offline", _rehearse)
    rehearse.add_argument("--hours", type=float, default=48.0, help="how far back (default 48)")
    rehearse.add_argument("--until-ms", type=int, required=True, help="where it ends, ms since 1970")
    add("model", "what decides here, and whether it passes its checks", _model)
    install = add("install", "write the systemd unit", _install)
    install.add_argument("--print", action="store_true", help="only show it")
    install.add_argument("--root", type=Path, default=Path("/"), help="an image's root folder")
    install.add_argument("--user", default="lamppost", help="the user it runs as")
    config = add("config", "check the configuration, or explain every key", _config)
    config.add_argument("--explain", action="store_true", help="print a documented agent.toml")
    config.add_argument(
        "--elsewhere", action="store_true", help="of another computer: do not look here for what it names"
    )
    return made


def _run(args: argparse.Namespace) -> int:
    config = load(args.config)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    _mend(config)
    from edge_agent.app import Agent

    agent = Agent(config)
    agent.run()
    if agent.start_again:  # in the same process, so that whoever started us goes on watching it
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command line
    return 0


def _mend(config: AgentConfig) -> None:
    """Finish a renewal that a power cut interrupted; in a child process, for what it imports."""
    if (config.key_file.with_name("next.key")).exists():
        import subprocess

        step = ["-m", "edge_agent.renewal", "mend", str(config.source)]
        subprocess.run([sys.executable, *step], check=False, stdout=subprocess.DEVNULL)


def _doctor(args: argparse.Namespace) -> int:
    from edge_agent.doctor import examine, shown

    checks = examine(args.config)
    print(json.dumps([vars(check) for check in checks], indent=1) if args.json else shown(checks))
    return PROBLEM if any(not check.ok for check in checks) else 0


def _enrol(args: argparse.Namespace) -> int:
    from edge_agent.enrolment import enrol

    enrol(load(args.config), args.wait, lambda line: print(line, file=sys.stderr, flush=True))
    if args.json:
        print("{}")
    return 0


def _status(args: argparse.Namespace) -> int:
    from edge_agent.summary import read_status, shown_status

    status = read_status(load(args.config))
    print(json.dumps(status, indent=1) if args.json else shown_status(status))
    return 0


def _spool(args: argparse.Namespace) -> int:
    from edge_agent.io.spool_view import view
    from edge_agent.summary import shown_spool

    counters = view(load(args.config).spool_dir)
    print(json.dumps(counters, indent=1) if args.json else shown_spool(counters))
    return 0


def _rehearse(args: argparse.Namespace) -> int:
    from edge_agent.rehearsal import rehearse
    from firmware_bridge.errors import SensorError
    from firmware_bridge.serial_sensor import open_sensor

    try:
        taken = rehearse(load(args.config), args.hours, args.until_ms, open_sensor)
    except SensorError as error:
        raise AgentError(str(error), error.remedy) from error
    print(json.dumps({"spooled": taken}) if args.json else f"{taken} samples spooled")
    return 0


def _model(args: argparse.Namespace) -> int:
    from edge_agent.model_report import report, shown

    told = report(load(args.config))
    print(json.dumps({**vars(told), "ok": told.ok}, indent=1) if args.json else shown(told))
    return 0 if told.ok else PROBLEM


def _install(args: argparse.Namespace) -> int:
    from edge_agent.install import install

    done: list[str] = []
    tell = done.append if args.json else print
    unit = install(args.config, args.root, args.user, args.print, tell)
    if args.json:
        print(json.dumps({"unit": unit, "done": done}, indent=1))
    elif args.print:
        print(unit, end="")
    return 0


def _config(args: argparse.Namespace) -> int:
    if args.explain:
        print(explain(), end="")
        return 0
    config = load(args.config)
    missing = [] if args.elsewhere else missing_files(config)
    if missing:
        remedy = "Put it there (a bundle's trust.pem, a server's authority/trust.pem), or name where it is."
        raise ConfigError("\n".join(missing), remedy)
    sensors = [sensor.name for sensor in config.sensors]
    if args.json:
        print(json.dumps({"file": str(config.source), "well": True, "sensors": sensors}, indent=1))
    else:
        print(f"{config.source}: well; {len(sensors)} sensors")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
