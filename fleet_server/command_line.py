"""What the server's commands have in common: options, how they answer, what a refusal looks like."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_server import data_folder
from fleet_server.config import load_config
from fleet_server.errors import ConfigurationError, LamppostError
from fleet_server.origin import REASON_MOST_CHARACTERS, coming_from, reason_problem

Commands = argparse._SubParsersAction  # the type argparse gives no public name


@dataclass(frozen=True)
class Answer:
    """`document`: for --json. `lines`: for people."""

    status: int
    document: Any
    lines: list[str]


Act = Callable[[argparse.Namespace], Answer]
# a command of such a name leaves no line in the audit log, so there is nothing to give a reason for
LOOKING = {"backup", "file", "inventory", "keys", "list", "log", "preview", "scopes", "show", "verify"}


def add_command(
    commands: Commands[argparse.ArgumentParser], name: str, what: str, act: Any, *, why: str = "--reason"
) -> argparse.ArgumentParser:
    """A command with the options that each has; `act` is kept as `options.act`.

    why: what the option is called by which `options.why` is given; "": the command has a reason of its own.
    """
    one = commands.add_parser(name, help=what, description=what)
    one.set_defaults(act=act, meant=one)
    one.add_argument("--config", type=Path, metavar="FILE", help="the server's configuration (server.toml)")
    one.add_argument("--data", type=Path, metavar="DIR", help="the server's data directory")
    one.add_argument("--json", action="store_true", help="answer in JSON, without progress")
    if why and name not in LOOKING:
        told = f"why, for the audit log and the second person (at most {REASON_MOST_CHARACTERS} characters)"
        one.add_argument(why, dest="why", default="", type=_reason, metavar="TEXT", help=told)
    return one


def parsed(made: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """As `parse_args`, but of an option that there is not the usage of the command that was meant is told."""
    options, strange = made.parse_known_args(argv)
    if strange:
        options.meant.error(f"unrecognized arguments: {' '.join(strange)}")
    return options


def _reason(text: str) -> str:
    reason = text.strip()
    problem = reason_problem(reason)
    if problem is not None:
        raise argparse.ArgumentTypeError(f"a reason {problem}")
    return reason


def answered(name: str, options: argparse.Namespace, act: Act, *, stopped: str = "stopped") -> int:
    """Load the configuration into `options.loaded`, act, and print what comes of it; the exit status.

    An operator's mistake is one line on standard error (with --json, a document): 2 where configuration or
    command line are wrong, else 1. stopped: what Ctrl-C leaves, in words.
    """
    try:
        options.loaded = load_config(options.config, data_dir=options.data)
        data_folder.check(options.loaded)
        with coming_from("command", reason=getattr(options, "why", "")):
            answer = act(options)
    except LamppostError as refused:
        if options.json:
            print(json.dumps({"error": str(refused)}))
        else:
            print(f"{name}: {refused}", file=sys.stderr)
        return 2 if isinstance(refused, ConfigurationError) else 1
    except KeyboardInterrupt:
        print(f"{name}: {stopped}", file=sys.stderr)
        return 1
    print(json.dumps(answer.document, indent=2) if options.json else "\n".join(answer.lines))
    return answer.status
