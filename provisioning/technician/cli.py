"""`lamppost provision`: the technician's tool, from an empty card to a handed-over lamppost. Only parses and
prints."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provisioning.errors import ProvisioningError
from provisioning.technician import at_the_desk as desk
from provisioning.technician import at_the_post as post
from provisioning.technician.errors import NotSignedIn, ServerUnreachable, WrongInput
from provisioning.technician.home import TOKEN_VARIABLE, Home, default_home
from provisioning.technician.rules import plain
from provisioning.technician.workshop import Workshop

PROBLEM, WRONG_INPUT, LATER = 1, 2, 4  # exit statuses; 0 is well, 3 a missing package (lamppost.py)
CONFIG = "/etc/lamppost/agent.toml"

EXAMPLES = f"""\
examples, in the order of a day:
  lamppost provision sign-in --server https://fleet.porto.example --name ana
  lamppost provision claims --number 8 --district Harbour         for work without a connection
  lamppost provision bundle lamp-07 --site "Market Square 3" --at 41.1496,-8.6109 \\
      --sensor pm:pms5003:/dev/ttyAMA0 --card /media/ana/bootfs   or --ssh pi@10.0.0.7, or --out FOLDER
  lamppost provision label 7k3m9qxd --device lamp-07 --out label.svg
  lamppost provision test --ssh pi@10.0.0.7 --sudo
  lamppost provision handover lamp-07 --technician "Ana Reis" --height 3.2 --photo front.jpg
  lamppost provision verify-report lamp-07.html --fingerprint 1f0a-...-77c3
  lamppost provision calibrate lamp-07 --slope 0.62 --humidity -0.05 --source "beside station 4"
  lamppost provision replace unit lamp-07 --sensor pm --new-serial 2F81 --ssh pi@10.0.0.7 --config {CONFIG}
  lamppost provision replace device lamp-07 --reason "drowned" --card /media/ana/bootfs
  lamppost provision place lamp-07 --at 41.15,-8.61 --height 3.4     it moved
  lamppost provision photo lamp-07 front.jpg --caption "from the fountain"
  lamppost provision note lamp-07 "the shop's awning is new, right above it"
  lamppost provision history lamp-07                  what was done at it; --json has all of each line
  lamppost provision report 5b0c1d2e3f405162738495a6b7c8d9e0 --out lamp-07.html      an id of `history`
  lamppost provision key                              your own key's fingerprint, for who verifies reports
  lamppost provision decommission lamp-07 --reason "the square is rebuilt"
  lamppost provision sync                             what was done without a connection
  lamppost provision journal                          what waits or was refused, with its id
  lamppost provision sync --retry 1f0a77c3            what was refused, again; --drop ID gives it up

What is done is kept in a journal first, and sent where the server answers. With --offline nothing is asked.
The token comes from `sign-in`, from --token-file, or from {TOKEN_VARIABLE}; never from the command line.

exit status: 0 done, 1 a problem or a refusal, 2 wrong input, 4 kept here until the server can be reached, or
until you decide on what was refused at this lamppost before it, which the answer names (a decommissioning
does not wait for that)
"""

Facts = dict[str, Any]
Command = Callable[[Workshop, argparse.Namespace], Facts]
Commands = argparse._SubParsersAction  # the type argparse gives no public name


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(
        prog="lamppost provision",
        description="The technician's tool: bundles, site tests, labels, hand-overs, replacements.",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _at_the_desk(commands)
    _at_the_post(commands)
    return made


def _command(
    commands: Commands[argparse.ArgumentParser], name: str, what: str, run: Command
) -> argparse.ArgumentParser:
    sub = commands.add_parser(name, help=what, description=what)
    sub.set_defaults(run=run)
    sub.add_argument("--home", type=Path, default=None, metavar="DIR", help="the technician's folder")
    sub.add_argument("--server", default="", metavar="URL", help="the server's API; kept by sign-in")
    sub.add_argument("--token-file", type=Path, metavar="FILE", help="an API token, mode 0600")
    sub.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="verifies the server; default: the system's"
    )
    sub.add_argument("--offline", action="store_true", help="ask nothing of the server")
    sub.add_argument("--json", action="store_true", help="one JSON document")
    return sub


def _at_the_desk(commands: Commands[argparse.ArgumentParser]) -> None:
    sign_in = _command(commands, "sign-in", "sign in, and learn the city's addresses", desk.sign_in)
    sign_in.add_argument("--name", default="", help="your account; asks for the password. Without: a token")
    claims = _command(commands, "claims", "fetch claims in advance", desk.claims)
    claims.add_argument("--number", type=_number(1, 500), default=5)
    claims.add_argument("--hours", type=_number(1, 24 * 31), default=24, help="valid for (24)")
    claims.add_argument("--district", default="", metavar="NAME")
    claims.add_argument("--technician", default="", metavar="ACCOUNT", help="for whom; default: yours")
    claims.add_argument("--out", type=Path, metavar="FILE", help="default: your own, where --offline looks")
    bundle = _command(commands, "bundle", "what a lamppost's computer is given", desk.bundle)
    _bundle_options(bundle)
    bundle.add_argument("--replaces", action="store_true", help="it takes the name of one that exists")
    label = _command(commands, "label", "a claim's label, with its QR code", desk.show_label)
    label.add_argument("claim", metavar="CLAIM_ID", help="the part before the dot")
    label.add_argument("--device", default="", metavar="NAME")
    label.add_argument("--site", default="", metavar="TEXT")
    label.add_argument("--pages", default="", metavar="URL", help="where phones open it; default: as told")
    label.add_argument("--out", type=Path, metavar="FILE", help=".svg, .html: label; .png, .pdf: its code")
    verify = _command(commands, "verify-report", "is this site report what was signed?", desk.verify_report)
    verify.add_argument("report", type=Path, metavar="FILE")
    verify.add_argument("--fingerprint", default="", metavar="KEY", help="of whose key it must be")
    history = _command(
        commands, "history", "what was done at a post, its reports, its pictures", desk.history
    )
    history.add_argument("device", metavar="[TENANT/]NAME")
    fetched = _command(commands, "report", "a site report, as the server has it", desk.get_report)
    fetched.add_argument("report", metavar="ID")
    fetched.add_argument("--out", type=Path, metavar="FILE")
    _command(commands, "key", "the fingerprint of your own key", desk.key)
    sync = _command(commands, "sync", "send what was done without a connection", desk.sync)
    which = sync.add_mutually_exclusive_group()
    which.add_argument("--retry", default="", metavar="ID", help="try again what was refused")
    which.add_argument("--drop", default="", metavar="ID", help="give it up")
    journal = _command(commands, "journal", "what was done, and what waits", desk.journal)
    journal.add_argument("--all", action="store_true", help="what was sent, too")


def _bundle_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("device", metavar="[TENANT/]NAME")
    sub.add_argument("--site", default="", metavar="TEXT", help="where it stands, in words")
    sub.add_argument("--at", type=_coordinates, metavar="LAT,LON", help="degrees, as in 41.1496,-8.6109")
    sub.add_argument("--district", default="", metavar="NAME")
    sub.add_argument("--sensor", action="append", metavar="NAME:KIND:PORT", help="again for more")
    sub.add_argument("--serial", action="append", metavar="NAME=SERIAL", help="of a sensor; again for more")
    sub.add_argument("--has-clock", action="store_true", help="its clock has a battery")
    sub.add_argument("--claim-file", type=Path, metavar="FILE", help="take its first claim")
    sub.add_argument(
        "--packages", type=Path, metavar="DIR", help="wheels, for a post without a package index"
    )
    where = sub.add_mutually_exclusive_group()
    where.add_argument("--out", type=Path, metavar="DIR", help="a folder (bundle-NAME)")
    where.add_argument("--card", type=Path, metavar="DIR", help="a card's boot partition, mounted")
    where.add_argument("--ssh", default="", metavar="[USER@]HOST", help="the computer itself")
    sub.add_argument("--force", action="store_true", help="over a bundle that is there")


def _at_the_post(commands: Commands[argparse.ArgumentParser]) -> None:
    test = _command(commands, "test", "sensors, signal, clock, first ack, readings", post.test)
    _reach(test, CONFIG)
    test.add_argument("--program", default="", metavar="COMMAND", help="how lamppost is called there")
    test.add_argument("--seconds", type=_number(1, 3600), default=30, help="watch at least so long (30)")
    test.add_argument("--ack-within", type=_number(1, 3600), default=90, metavar="S", help="at most (90)")
    test.add_argument("--out", type=Path, metavar="FILE", help="the result as JSON")
    test.add_argument("--picture", type=Path, metavar="FILE", help="the readings as SVG")
    hand = _command(commands, "handover", "a signed site report, and the site's history", post.handover)
    hand.add_argument("device", metavar="[TENANT/]NAME")
    hand.add_argument("--technician", required=True, metavar="NAME", help="who hands it over")
    hand.add_argument("--received-by", default="", metavar="NAME")
    hand.add_argument("--site", default="", metavar="TEXT")
    _place_options(hand, district="")
    hand.add_argument("--note", default="", metavar="TEXT")
    hand.add_argument("--photo", action="append", type=Path, metavar="FILE", help="again for more")
    tested = hand.add_mutually_exclusive_group()
    tested.add_argument("--test", type=Path, metavar="FILE", help="of `test --out`; default: its newest")
    tested.add_argument("--untested", action="store_true", help="without a site test; the report says so")
    hand.add_argument("--out", type=Path, metavar="FILE", help="the report")
    photo = _command(commands, "photo", "a picture of the post", post.photo)
    photo.add_argument("device", metavar="[TENANT/]NAME")
    photo.add_argument("file", type=Path, metavar="FILE")
    photo.add_argument("--caption", default="", metavar="TEXT")
    photo.add_argument("--keep-metadata", action="store_true", help="also where and when it was taken")
    place = _command(commands, "place", "where it stands, how high its sensors are", post.place)
    place.add_argument("device", metavar="[TENANT/]NAME")
    _place_options(place, district=None)
    place.add_argument("--reason", default="", metavar="TEXT")
    note = _command(commands, "note", "a line in the site's history", post.note)
    note.add_argument("device", metavar="[TENANT/]NAME")
    note.add_argument("text", metavar="TEXT")
    _calibrate(_command(commands, "calibrate", "enter a sensor unit's calibration", post.calibrate))
    _replace(commands)
    out = _command(commands, "decommission", "shut it out for good", post.decommission)
    out.add_argument("device", metavar="[TENANT/]NAME")
    out.add_argument("--reason", required=True, metavar="TEXT")
    out.add_argument("--yes", action="store_true", help="do not ask")


def _replace(commands: Commands[argparse.ArgumentParser]) -> None:
    group = commands.add_parser("replace", help="a computer or a sensor, the site's history stays")
    what = group.add_subparsers(dest="what", required=True, metavar="WHAT")
    unit = _command(what, "unit", "another sensor of the same kind", post.replace_unit)
    unit.add_argument("device", metavar="[TENANT/]NAME")
    unit.add_argument("--sensor", required=True, metavar="NAME", help="as in its configuration")
    unit.add_argument("--old-serial", default="", metavar="TEXT")
    unit.add_argument("--new-serial", required=True, metavar="TEXT")
    unit.add_argument("--reason", default="", metavar="TEXT")
    _reach(unit, None)
    device = _command(what, "device", "another computer, under the same name", post.replace_device)
    _bundle_options(device)
    device.add_argument("--reason", default="", metavar="TEXT")


def _calibrate(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("device", metavar="[TENANT/]NAME")
    sub.add_argument("--channel", default="pm2_5")
    sub.add_argument("--slope", type=_finite, help="1 where one of the others is given")
    sub.add_argument("--offset", type=_finite, help="ug/m3")
    sub.add_argument("--humidity", type=_finite, help="ug/m3 for each percent")
    sub.add_argument(
        "--unit", type=_number(1, 2**31 - 1), metavar="ID", help="where several have the channel"
    )
    sub.add_argument("--from", dest="since", type=_instant, metavar="TIME", help="UTC; default: now")
    sub.add_argument("--source", default="", metavar="TEXT", help="who measured it, beside what")
    sub.add_argument("--reason", default="", metavar="TEXT")


def _reach(sub: argparse.ArgumentParser, config: str | None) -> None:
    sub.add_argument("--ssh", default="", metavar="[USER@]HOST", help="default: this machine is the lamppost")
    sub.add_argument("--sudo", action="store_true", help="its files are root's")
    sub.add_argument(
        "--config", default=config, metavar="FILE", help=f"its agent.toml ({config or 'not changed'})"
    )


def _place_options(sub: argparse.ArgumentParser, district: str | None) -> None:
    sub.add_argument("--at", type=_coordinates, metavar="LAT,LON", help="degrees, as in 41.1496,-8.6109")
    sub.add_argument("--district", default=district, metavar="NAME")
    sub.add_argument("--height", type=_height, metavar="M", help="of the sensors above the ground")


def main(argv: list[str]) -> int:
    options = parser().parse_args(_southern(argv))
    home = Home(options.home or default_home())
    try:
        shop = Workshop(home, options.server, options.token_file, options.ca_file, options.offline)
        facts = options.run(shop, options)
    except ServerUnreachable as away:
        return _failed(options, away, LATER)
    except WrongInput as wrong:
        return _failed(options, wrong, WRONG_INPUT)
    except (NotSignedIn, ProvisioningError) as refused:
        return _failed(options, refused, PROBLEM)
    except OSError as failed:
        return _failed(
            options, WrongInput(f"{failed.filename or home.directory}: {failed.strerror}"), PROBLEM
        )
    except (KeyboardInterrupt, EOFError):
        return PROBLEM
    status: int = facts.pop("exit", 0)
    print(json.dumps(facts, indent=1) if options.json else shown(facts))
    return status


def _failed(options: argparse.Namespace, why: ProvisioningError, status: int) -> int:
    if options.json:
        print(json.dumps({"error": why.what, "remedy": why.remedy}))
    else:
        print(f"lamppost provision {options.command}: {plain(str(why))}", file=sys.stderr)
    return status


def shown(facts: Facts) -> str:
    """For a terminal: a line each; a list as a line for each of it."""
    lines = []
    for name, value in facts.items():
        if isinstance(value, list):
            lines += [_line(each) for each in value] or [f"{name}: none"]
        elif isinstance(value, dict):
            lines += [f"{name.replace('_', ' '):<16}{plain(f'{key} {told}')}" for key, told in value.items()]
        elif value is not None:
            lines.append(f"{name.replace('_', ' '):<16}{_word(value)}")
    return "\n".join(lines)


def _line(each: Facts) -> str:
    if "ok" not in each:
        return "  ".join(plain(str(value)) for value in each.values() if value != "")
    what, detail, remedy = (plain(each[name]) for name in ("what", "detail", "remedy"))
    first = f"{'ok     ' if each['ok'] else 'PROBLEM'}  {what:<18} {detail}"
    return f"{first}\n{'':<28}-> {remedy}" if remedy else first


def _word(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else plain(str(value))


def _southern(argv: list[str]) -> list[str]:
    """`--at -33.9,18.4` as `--at=-33.9,18.4`: argparse would take it for an option."""
    joined: list[str] = []
    for each in argv:
        if joined and joined[-1] == "--at":
            joined[-1] = f"--at={each}"
        else:
            joined.append(each)
    return joined


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r}: a whole number from {least} to {most}")
        return int(text)

    return number


def _coordinates(text: str) -> tuple[float, float]:
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write LAT,LON, as in 41.1496,-8.6109") from None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise argparse.ArgumentTypeError(f"{text!r}: latitude is -90 to 90, longitude -180 to 180")
    return latitude, longitude


def _finite(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r}: a number")
    return number


def _height(text: str) -> float:
    try:
        metres = float(text)
    except ValueError:
        metres = -1.0
    if not 0 <= metres <= 100:
        raise argparse.ArgumentTypeError(f"{text!r}: metres, 0 to 100")
    return metres


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write 2026-11-01 or 2026-11-01T12:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
