"""The arguments of `lamppost serve`, which each of its processes takes as well."""

from __future__ import annotations

import argparse
from pathlib import Path

from fleet_server import data_folder
from fleet_server.config import ServerConfig, load_config

ROLE_NAMES = ("database", "setup", "broker", "api", "ingest", "worker", "ui")

EXAMPLES = """\
examples:
  lamppost serve                                   everything, on loopback, with a PostgreSQL of its own
  lamppost serve --data /srv/lamppost              its data there
  lamppost serve --explain > server.toml           every key of the configuration, documented
  lamppost serve --config /etc/lamppost/server.toml
  lamppost serve --config /etc/lamppost/server.toml --check    are secrets and data kept well? starts nothing
  lamppost serve --config /etc/lamppost/server.toml --role api    this part alone, as on several machines

Without --config the defaults hold. Ctrl-C stops all in order. docs/operator.md tells the rest.
Exit status 0: stopped in order, or nothing to mend; 1: failed, or something to mend; 2: configuration,
machine or command line do not allow it.
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="lamppost serve",
        description="Run the city's server: database, broker, api, ingest, worker and ui, each a process of "
        "its own.\nWithout --role all of them, supervised; with --role that one alone.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    config = load_config(options.config, data_dir=options.data)
    data_folder.check(config)
    return config
