"""The `lamppost` command: one entry point, one thin `cli.py` in each package.

A package's command line is imported only when its command is asked for, so that the agent on a
Raspberry Pi never loads what belongs to the server (`decisions.md`, the agent: memory).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser

# command -> (module that has `main(argv) -> int`, what it is for, the extra that brings it)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "agent": ("edge_agent.cli", "the lamppost's daemon: run, doctor, enrol, install", "edge"),
    "sensors": (
        "firmware_bridge.cli",
        "serial sensors: probe what is connected, emulate what is not",
        "edge",
    ),
    "ca": ("provisioning.cli", "the city's certificate authority and the broker's configuration", "server"),
    "provision": (
        "provisioning.technician.cli",
        "the technician's tool: bundle, site test, label, hand-over",
        "server",
    ),
    "serve": ("fleet_server.cli", "the city's server: database, broker, api, ingest, worker, ui", "server"),
    "fleet": (
        "fleet_server.admin_cli",
        "operators, claims, enrolments, dead letters, from a terminal",
        "server",
    ),
    "db": ("fleet_server.db_cli", "the city's database: upgrade, backup, restore, verify", "server"),
    "ingest": ("fleet_server.ingest_cli", "what could not be stored: list, show, replay", "server"),
    "audit": ("fleet_server.audit_cli", "who did what: list, export, verify the log", "server"),
    "privacy": ("fleet_server.privacy_cli", "somebody's personal data: find, export, erase", "server"),
    "replay": ("fleet_server.replay_cli", "a stretch of stored samples as the stream it was", "server"),
    "simulate": ("simulator.cli", "as many lampposts as you like against a real server", "demo"),
    "demo": ("demo.cli", "a whole city on this machine, six lampposts included", "demo"),
}
HELP = frozenset({"-h", "--help"})
PARTS = {module.split(".")[0] for module, _, _ in COMMANDS.values()} | {
    "air_quality",
    "dashboards",
    "models",
    "wire_contract",
}


def usage() -> str:
    rows = "\n".join(f"  {name:<11}{what}" for name, (_, what, _) in COMMANDS.items())
    return (
        "usage: lamppost COMMAND [options]\n\n"
        f"{rows}\n\n"
        "examples:\n"
        "  lamppost demo --for 90s --report report.json\n"
        "  lamppost sensors probe\n"
        "  lamppost agent doctor --config /etc/lamppost/agent.toml\n\n"
        "`lamppost COMMAND --help` explains each."
    )


def with_examples(parser: ArgumentParser) -> ArgumentParser:
    """Each command's help ends with the examples that name it: with its own, else with those of what it is a
    command of. Where none names it, it has those of its nearest kin."""
    _hand_down(parser, [])
    return parser


def _hand_down(parser: ArgumentParser, above: list[str]) -> None:
    """above: the help texts' ends of what it is a command of, the nearest first."""
    import argparse

    own = parser.epilog or ""
    if above and not any(examples_of(own, parser.prog)):
        words = parser.prog.split()
        names = (" ".join(words[:many]) for many in range(len(words), 0, -1))
        known = ("".join(examples_of(text, name)) for name in names for text in above)
        found = next(filter(None, known), "")
        if found:
            parser.epilog = f"examples:\n{found}" + (f"\n{own}" if own else "")
            parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for group in parser._actions:  # argparse has no public way to its commands
        if isinstance(group, argparse._SubParsersAction):
            for each in group.choices.values():
                _hand_down(each, [own, *above])


def examples_of(text: str, prog: str) -> Iterator[str]:
    """The lines that begin with this command, and what goes on after a backslash."""
    goes_on = False
    for line in text.splitlines():
        if goes_on or re.match(rf"\s+(sudo )?{re.escape(prog)}(\s|$)", line):
            yield f"{line}\n"
            goes_on = line.rstrip().endswith("\\")


def main(argv: list[str] | None = None) -> int:
    """Dispatch to the package that owns the command. Returns the process's exit status."""
    args = sys.argv[1:] if argv is None else argv
    if not args or args[0] in HELP:
        print(usage())
        return 0
    if args[0] == "--version":
        from importlib.metadata import version

        print(f"lamppost {version('lamppost')}")
        return 0
    if args[0] not in COMMANDS:
        print(f"lamppost: there is no command {args[0]!r}\n\n{usage()}", file=sys.stderr)
        return 2
    module, _, extra = COMMANDS[args[0]]
    try:
        command = import_module(module)
        if not HELP.isdisjoint(args):
            with_examples(command.parser()).parse_args(args[1:])  # shows it, and ends here
        result: int = command.main(args[1:])
    except ModuleNotFoundError as missing:
        # A command loads some of its needs late; what is ours and missing is a mistake of ours.
        if missing.name is None or missing.name.split(".")[0] in PARTS:
            raise
        print(
            f"lamppost {args[0]}: the Python package {missing.name!r} is not installed here.\n"
            f"Install this command's needs, in a copy of Lamppost's repository: pip install '.[{extra}]'",
            file=sys.stderr,
        )
        return 3
    return result


if __name__ == "__main__":
    raise SystemExit(main())
