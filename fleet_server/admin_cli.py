"""`lamppost fleet`: operators, lampposts, claims, enrolments, incidents, dead letters, from a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fleet_server import account_commands as account
from fleet_server import admin_commands as run
from fleet_server import certificate_commands as certified
from fleet_server import enrolment_commands as ahead
from fleet_server import flood_commands as flooding
from fleet_server import incident_commands as on
from fleet_server import people_commands as people
from fleet_server import retention_commands as keeping
from fleet_server import telling_commands as telling
from fleet_server import tenants_commands as sharing
from fleet_server import twin_commands as wishing
from fleet_server.admin_commands import Row, coordinates, duration
from fleet_server.admit_commands import enrolments_admit
from fleet_server.air.commands import instant
from fleet_server.air.rules import POLLUTANTS
from fleet_server.command_line import Answer, Commands, add_command, answered, parsed
from fleet_server.config import ServerConfig
from fleet_server.context import Context, command_context
from fleet_server.decisions.rules import State as IncidentState
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment.rules import CLAIM_LIFE, State
from fleet_server.errors import ConfigurationError
from fleet_server.health import database_parts

EXAMPLES = """\
examples:
  lamppost fleet operators add ana --role admin
  lamppost fleet claim new --device lamp-07 --site "Market Square 3" --at 41.1496,-8.6109 --district Harbour
  lamppost fleet enrolments list --state pending
  lamppost fleet enrolments accept 12 --fingerprint 1f0a-...-77c3
  lamppost fleet lamppost list
  lamppost fleet place set lamp-07 --at 41.1496,-8.6109 --district Harbour
  lamppost fleet lamppost quarantine lamp-07 --reason "stolen"     shuts it out within seconds
  lamppost fleet calibration set lamp-07 --slope 0.62 --humidity -0.05 --offset 3.1 --from 2026-11-01
  lamppost fleet incidents list --state open
  lamppost fleet incidents ack 12
  lamppost fleet dead-letters list --json
  lamppost fleet dead-letters replay 41 42
  lamppost fleet retention list

It acts on the database of the server's configuration (--config, --data), running or not. Whoever may read
that configuration may do everything here; what is done is kept under the name of the system user, with the
--reason that every command takes which changes something.
"""
CLAIM_EXAMPLES = """\
examples:
  lamppost fleet claim new --device lamp-07 --site "Market Square 3" --at 41.1496,-8.6109 --district Harbour
  lamppost fleet claim new --device lamp-07 --replaces --expires 24h
  lamppost fleet claim list
  lamppost fleet claim withdraw 7k3m9qxd --reason "the label got lost"
"""
ENROLMENT_EXAMPLES = """\
examples:
  lamppost fleet enrolments list --state pending
  lamppost fleet enrolments accept 12 --fingerprint 1f0a-...-77c3
  lamppost fleet enrolments reject 13 --reason "nobody knows this key"
  lamppost fleet enrolments admit delivery.jsonl --answers certificates.jsonl
"""
LAMPPOST_EXAMPLES = """\
examples:
  lamppost fleet lamppost list
  lamppost fleet lamppost quarantine lamp-07 --reason "stolen"     shuts it out within seconds
  lamppost fleet lamppost activate lamp-07 --reason "found again"
  lamppost fleet lamppost decommission lamp-07 lamp-08 --reason "the street is built over"
"""
CALIBRATION_EXAMPLES = """\
examples:
  lamppost fleet calibration set lamp-07 --slope 0.62 --humidity -0.05 --offset 3.1 --from 2026-11-01
  lamppost fleet calibration list lamp-07
  lamppost fleet calibration remove 4 --reason "measured beside another lamppost"
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="lamppost fleet",
        description="Operators, lampposts, claims, enrolments, incidents, dead letters and retention.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    groups = made.add_subparsers(dest="group", required=True, metavar="WHAT")
    for names, what, examples, add in (
        (
            ("operators", "operator"),
            "accounts of people and machines",
            people.OPERATOR_EXAMPLES,
            people.add_operators,
        ),
        (("account",), "one's own: password, second factor", account.EXAMPLES, account.add),
        (("sessions",), "who is signed in", people.SESSION_EXAMPLES, people.add_sessions),
        (("tokens",), "permissions of machines", people.MACHINE_EXAMPLES, people.add_tokens),
        (("approvals",), "what takes a second person", people.APPROVAL_EXAMPLES, people.add_approvals),
    ):
        add(_group(groups, names[0], what, examples, names[1:]), add_command)
    _claims(_group(groups, "claim", "a technician's permission to enrol one lamppost", CLAIM_EXAMPLES))
    ahead.add_batch(_group(groups, "batch", "claims issued in advance", ahead.BATCH_EXAMPLES), add_command)
    ahead.add_keys(_group(groups, "keys", "public keys registered before", ahead.KEY_EXAMPLES), add_command)
    ahead.add_alarms(_group(groups, "alarms", "claims used twice", ahead.ALARM_EXAMPLES), add_command)
    _enrolments(_group(groups, "enrolments", "lampposts that ask to be let in", ENROLMENT_EXAMPLES))
    _lampposts(_group(groups, "lamppost", "who is in the street, and who may come in", LAMPPOST_EXAMPLES))
    certified.add(_group(groups, "certificates", "what proves who it is", certified.EXAMPLES), add_command)
    _places(_group(groups, "place", "where a lamppost stands"))
    _calibrations(
        _group(groups, "calibration", "what a sensor unit's raw values become", CALIBRATION_EXAMPLES)
    )
    _incidents(_group(groups, "incidents", "what happens in the city, and who looks after it", on.EXAMPLES))
    _dead_letters(_group(groups, "dead-letters", "messages that could not be understood"))
    flooding.add(
        _group(groups, "floods", "who sent more than a lamppost sends", flooding.EXAMPLES), add_command
    )
    telling.add(_group(groups, "command", "what lampposts are told to do", telling.EXAMPLES), add_command)
    wishing.add_twin(_group(groups, "twin", "what one lamppost is to do", wishing.TWIN_EXAMPLES), add_command)
    wishing.add_settings(
        _group(groups, "settings", "what all lampposts are to do", wishing.SETTINGS_EXAMPLES), add_command
    )
    wishing.add_groups(_group(groups, "groups", "what some are to do", wishing.GROUPS_EXAMPLES), add_command)
    sharing.add(_group(groups, "tenants", "who shares this installation", sharing.EXAMPLES), add_command)
    keeping.add(_group(groups, "retention", "how long samples are kept", keeping.EXAMPLES), add_command)
    return made


def _group(
    groups: Commands[argparse.ArgumentParser],
    name: str,
    what: str,
    examples: str = "",
    aliases: Sequence[str] = (),
) -> Commands[argparse.ArgumentParser]:
    made = groups.add_parser(
        name,
        aliases=aliases,
        help=what,
        description=what,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return made.add_subparsers(dest="command", required=True, metavar="COMMAND")


def _claims(group: Commands[argparse.ArgumentParser]) -> None:
    new = add_command(group, "new", "make a claim; its secret is printed once", run.claim_new)
    new.add_argument("--device", metavar="NAME", help="the lamppost's name; without, it proposes a free one")
    new.add_argument("--site", default="", metavar="TEXT", help="where it will stand")
    _add_place(new, district="")
    minutes = int(CLAIM_LIFE.total_seconds() // 60)
    told = f"how long it can be used: 24h for what is carried to a post, 7d ({minutes}m)"
    new.add_argument("--expires", type=duration, default=CLAIM_LIFE, metavar="TIME", help=told)
    new.add_argument(
        "--replaces", action="store_true", help="it takes the place of the lamppost of this name"
    )
    add_command(group, "list", "claims that nobody has used yet", run.claim_list)
    add_command(group, "withdraw", "take a claim back", run.claim_withdraw).add_argument(
        "claim", metavar="CLAIM_ID"
    )


def _enrolments(group: Commands[argparse.ArgumentParser]) -> None:
    listed = add_command(group, "list", "the newest first", run.enrolments_list)
    listed.add_argument("--state", choices=list(map(str, State)), metavar="STATE", help=", ".join(State))
    accept = add_command(group, "accept", "let the lamppost in: issue its certificate", run.enrolments_accept)
    accept.add_argument("id", type=int)
    accept.add_argument("--fingerprint", default="", help="as the lamppost shows it; another one is refused")
    admit = add_command(group, "admit", "claim, ask and accept, for many lampposts at once", enrolments_admit)
    admit.add_argument("requests", type=Path, metavar="FILE", help='JSON lines: {"device", "csr", ...}')
    admit.add_argument("--answers", type=Path, required=True, metavar="FILE", help="certificates, appended")
    admit.add_argument("--replace", action="store_true", help="also names that exist; theirs are revoked")
    reject = add_command(group, "reject", "refuse it for good", run.enrolments_reject)
    reject.add_argument("id", type=int)


def _lampposts(group: Commands[argparse.ArgumentParser]) -> None:
    add_command(group, "list", "every lamppost", run.lamppost_list)
    for state, name, what in (
        (
            DeviceState.QUARANTINED,
            "quarantine",
            "shut it out: certificates on hold, its connection ended",
        ),
        (DeviceState.ACTIVE, "activate", "let it in again after a quarantine"),
        (DeviceState.DECOMMISSIONED, "decommission", "shut it out for good: only a new claim brings it back"),
    ):
        made = add_command(group, name, what, run.lamppost_state)
        made.add_argument(
            "name", nargs="+", help="as in `lamppost fleet lamppost list`, with or without the city"
        )
        made.set_defaults(state=state)


def _places(group: Commands[argparse.ArgumentParser]) -> None:
    made = add_command(group, "set", "say where a lamppost stands that is there already", run.place_set)
    made.add_argument("name", metavar="[TENANT/]NAME")
    _add_place(made, district=None)


def _calibrations(group: Commands[argparse.ArgumentParser]) -> None:
    what = "corrected = slope * raw + offset + humidity * RH; the past is computed anew"
    made = add_command(group, "set", what, run.calibration_set)
    listed = add_command(group, "list", "past and present, of each sensor unit", run.calibration_list)
    for each in (made, listed):
        each.add_argument("name", metavar="[TENANT/]NAME")
    made.add_argument("--unit", type=int, metavar="ID", help="which, where it has several with the channel")
    made.add_argument("--channel", choices=POLLUTANTS, default="pm2_5")
    made.add_argument("--slope", type=float, help="1 where one of the others is given")
    made.add_argument("--offset", type=float, help="ug/m3")
    made.add_argument("--humidity", type=float, help="ug/m3 for each percent")
    made.add_argument("--from", dest="since", type=instant, metavar="TIME", help="UTC; default: now")
    made.add_argument("--source", default="", metavar="TEXT", help="who measured it, beside what")
    add_command(group, "remove", "take a mistaken one away", run.calibration_remove).add_argument(
        "id", type=int
    )


def _add_place(made: argparse.ArgumentParser, district: str | None) -> None:
    made.add_argument("--at", type=coordinates, metavar="LAT,LON", help="degrees, as in 41.1496,-8.6109")
    made.add_argument("--district", default=district, metavar="NAME", help="for the district's index")


def _incidents(group: Commands[argparse.ArgumentParser]) -> None:
    listed = add_command(group, "list", "the newest first, without those that were merged", on.incidents_list)
    states = list(map(str, IncidentState))
    listed.add_argument("--state", choices=states, metavar="STATE", help=", ".join(states))
    listed.add_argument("--limit", type=int, default=100)
    listed.add_argument("--after", type=int, metavar="ID", help="those older than this one")
    shown = add_command(group, "show", "one, with its lampposts, verdicts and history", on.incidents_show)
    ack = add_command(group, "ack", "say that you look after it", on.incidents_ack)
    silence = add_command(group, "silence", "let nobody be told of it for a while", on.incidents_silence)
    span = silence.add_mutually_exclusive_group(required=True)
    span.add_argument("--for", dest="span", type=duration, metavar="TIME", help="30m, 2h, 7d at most")
    span.add_argument("--off", action="store_true", help="end the silence")
    note = add_command(group, "note", "add a note to its history", on.incidents_note)
    close = add_command(group, "close", "say that it is over", on.incidents_close, why="")
    for each in (shown, ack, silence, note, close):
        each.add_argument("id", type=int)
    note.add_argument("text")
    close.add_argument("--reason", default="", metavar="TEXT")
    for each in (ack, silence, close):
        what = "the version you have seen: refused where it has changed since"
        each.add_argument("--version", type=int, metavar="N", help=what)


def _dead_letters(group: Commands[argparse.ArgumentParser]) -> None:
    listed = add_command(group, "list", "the newest first", run.dead_letters_list)
    listed.add_argument("--limit", type=int, default=100)
    listed.add_argument("--all", action="store_true", help="those replayed before, too")
    add_command(group, "replay", "try again, after the fix", run.dead_letters_replay).add_argument(
        "id", type=int, nargs="+"
    )


def main(argv: list[str]) -> int:
    """0: done. 1: refused. 2: the configuration or the command line is wrong. One line says why."""
    options = parsed(parser(), _southern(argv))
    return answered(f"lamppost fleet {options.group} {options.command}", options, _done)


def _done(options: argparse.Namespace) -> Answer:
    _check_there_is_a_server(options.loaded)
    with command_context(options.loaded) as ctx:
        _check_schema(ctx)
        rows = options.act(ctx, options)
    return Answer(0, rows, [] if options.json else [table(rows)])


def _southern(argv: list[str]) -> list[str]:
    """`--at -33.9,18.4` as `--at=-33.9,18.4`: argparse would take it for an option."""
    joined: list[str] = []
    for each in argv:
        if joined and joined[-1] == "--at":
            joined[-1] = f"--at={each}"
        else:
            joined.append(each)
    return joined


def _check_there_is_a_server(config: ServerConfig) -> None:
    """Raises ConfigurationError: a mistyped --data must not make a new, empty database."""
    directory = config.database.embedded_directory
    if directory is not None and not directory.exists():
        raise ConfigurationError(
            f"There is no server's data in {config.data_dir}.",
            remedy="Give --config and --data as `lamppost serve` has them, or start it once.",
        )


def _check_schema(ctx: Context) -> None:
    """Raises ConfigurationError for a database of an older or newer program."""
    schema = database_parts(ctx)["migrations"]
    if not schema.ok:
        raise ConfigurationError(f"The database's schema does not fit: {schema.detail}.")


def table(rows: list[Row]) -> str:
    """One row as `name value` lines, several as columns, none as words."""
    if not rows:
        return "none"
    if len(rows) == 1:
        return "\n".join(f"{name:<16}{value}" for name, value in rows[0].items() if value not in ("", None))
    cells = [
        list(rows[0]),
        *(["" if value is None else str(value) for value in row.values()] for row in rows),
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(line.rstrip() for line in lines)
