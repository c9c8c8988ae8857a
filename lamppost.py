"""The `lamppost` command: one entry point, one thin `cli.py` in each package.

A package's command line is imported only when its command is asked for, so that the agent on a
Raspberry Pi never loads what belongs to the server (`decisions.md`, the agent: memory).
"""

from __future__ import annotations

import sys
from importlib import import_module

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


def main(argv: list[str] | None = None) -> int:
    """Dispatch to the package that owns the command. Returns the process's exit status."""
    args = sys.argv[1:] if argv is None else argv
    if not args or args[0] in {"-h", "--help"}:
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
