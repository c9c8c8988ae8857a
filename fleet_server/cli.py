"""`lamppost serve`: run the city's server, or one role of it."""

from __future__ import annotations

import argparse
import json
import sys

from fleet_server.arguments import configuration_of, parser
from fleet_server.config import explained
from fleet_server.errors import ConfigurationError, LamppostError


def main(argv: list[str]) -> int:
    """0: stopped in order. 2: configuration or machine do not allow it, with one line that says why."""
    options = parser().parse_args(argv)
    if options.explain:
        print(explained(), end="")
        return 0
    try:
        return _check(options) if options.check else _serve(options)
    except LamppostError as refused:
        print(f"lamppost serve: {refused}", file=sys.stderr)
        return 2 if isinstance(refused, ConfigurationError) else 1


def _check(options: argparse.Namespace) -> int:
    """0: nothing to mend; what could not be checked is no fault. 1: something."""
    from fleet_server import checking
    from fleet_server.database.findings import all_sound

    found = checking.look(configuration_of(options))
    if options.json:
        print(json.dumps([each.row() for each in found], indent=2))
    else:
        for each in found:
            print(f"{each.check:<20}{each.verdict:<13}{each.detail}")
            if each.remedy:
                print(f"{'':<33}{each.remedy}")
    return 0 if all_sound(found) else 1


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
