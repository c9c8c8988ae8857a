"""`lamppost serve`: run the city's server, or one role of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fleet_server.config import ServerConfig, explained, load_config
from fleet_server.errors import ConfigurationError, LamppostError

ROLE_NAMES = ("database", "setup", "broker", "api", "ingest", "worker", "ui")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="lamppost serve",
        description="Run the city's server: database, broker, api, ingest, worker and ui, each a process of "
        "its own. Without --role all of them, supervised; with --role that one alone.",
        epilog="Without --config the defaults hold: everything on loopback, PostgreSQL embedded. "
        "docs/operator.md tells the rest.",
    )
    made.add_argument("--config", type=Path, metavar="FILE", help="server.toml; --explain prints one")
    made.add_argument("--data", type=Path, metavar="DIR", help="where the server keeps its data (data_dir)")
    made.add_argument("--role", choices=ROLE_NAMES, help="run this role alone, in the foreground")
    made.add_argument("--explain", action="store_true", help="print the configuration, every key documented")
    made.add_argument("--log-json", action="store_true", help="log lines as JSON, one object a line")
    return made


def configuration_of(options: argparse.Namespace) -> ServerConfig:
    """Raises ConfigurationError."""
    return load_config(options.config, data_dir=options.data)


def main(argv: list[str]) -> int:
    """0: stopped in order. 2: configuration or machine do not allow it, with one line that says why."""
    options = parser().parse_args(argv)
    if options.explain:
        print(explained(), end="")
        return 0
    try:
        return _serve(options)
    except LamppostError as refused:
        print(f"lamppost serve: {refused}", file=sys.stderr)
        return 2 if isinstance(refused, ConfigurationError) else 1


def _serve(options: argparse.Namespace) -> int:
    from fleet_server.logs import set_up_logging
    from fleet_server.roles import ROLES, run_role

    config = configuration_of(options)
    as_json = options.log_json or config.log.json
    if options.role:
        return run_role(ROLES[options.role], config, log_json=as_json)
    from fleet_server.supervisor import Supervisor

    set_up_logging("serve", as_json=as_json)
    passed = ["--data", str(config.data_dir.absolute())]
    passed += ["--config", str(config.file)] if config.file else []
    passed += ["--log-json"] if as_json else []
    return Supervisor(config, passed).run()
