"""The arguments of `lamppost serve`, which each of its processes takes as well."""

from __future__ import annotations

import argparse
from pathlib import Path

from fleet_server.config import ServerConfig, load_config

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
    made.add_argument(
        "--check", action="store_true", help="say whether secrets and data are kept well; start nothing"
    )
    made.add_argument("--json", action="store_true", help="with --check: answer in JSON")
    made.add_argument("--log-json", action="store_true", help="log lines as JSON, one object a line")
    return made


def configuration_of(options: argparse.Namespace) -> ServerConfig:
    """Raises ConfigurationError."""
    return load_config(options.config, data_dir=options.data)
