"""What `lamppost fleet account` does: what a person does with their own account, at a terminal."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet_server.access import service as access
from fleet_server.admin_commands import Row
from fleet_server.at_terminal import Person, asked, asked_twice, first_line, need_terminal, signed_in
from fleet_server.context import Context

EXAMPLES = """\
examples:
  lamppost fleet account password --as ana           another one; after it every other session is signed out
  lamppost fleet account factor --as ana             sets up a second factor: shows a code to scan
  lamppost fleet account recovery-codes --as ana     ten new ones in place of the old
  lamppost fleet account factor-remove --as ana
  lamppost fleet account show --as ana

Whose account it is signs in: with the password and, where there is one, a code of the second factor. In a
script: --password-file, --new-password-file. Codes are asked for on a terminal alone.
"""
Make = Callable[..., argparse.ArgumentParser]


def add(group: Any, command: Make) -> None:
    show = command(group, "show", "what it has, and where it is signed in", account_show)
    password = command(group, "password", "choose another password", account_password)
    password.add_argument("--new-password-file", type=Path, metavar="FILE", help="first line is the new one")
    factor = command(group, "factor", "set up a second factor; prints recovery codes", account_factor)
    codes = command(group, "recovery-codes", "ten new ones in place of the old", account_recovery_codes)
    remove = command(group, "factor-remove", "take the second factor away", account_factor_remove)
    for each in (show, password, factor, codes, remove):
        each.add_argument("--as", dest="person", required=True, metavar="NAME", help="whose; signs in")
        each.add_argument("--password-file", type=Path, metavar="FILE", help="first line is the password")


def account_show(ctx: Context, options: argparse.Namespace) -> list[Row]:
    with signed_in(ctx, options.person, options.password_file) as person:
        found = access.own_account(ctx, person.principal)
        seen = access.own_sessions(ctx, person.principal)
    return [
        {
            "name": options.person,
            "password": "yes" if found.has_password else "no",
            "second factor": "yes" if found.has_factor else "no",
            "sessions": len(seen) - 1,  # this command's own ends with it
        }
    ]


def account_password(ctx: Context, options: argparse.Namespace) -> list[Row]:
    """Also where somebody else chose the one there is."""
    with signed_in(ctx, options.person, options.password_file, to_change=True) as person:
        if options.new_password_file is not None:
            wanted = first_line(options.new_password_file)
        else:
            wanted = asked_twice("New password of", options.person, "Use --new-password-file.")
        person.token = access.change_own_password(
            ctx, person.principal, person.token, person.password, wanted
        )
    return [{"name": options.person, "password": "another"}]


def account_factor(ctx: Context, options: argparse.Namespace) -> list[Row]:
    need_terminal()  # before a secret is made and shown
    with signed_in(ctx, options.person, options.password_file) as person:
        made = access.set_up(ctx, person.principal, person.password)
        print(_shown(made.address), file=sys.stderr)
        print(f"Scan it with an authenticator, or type in: {made.secret}", file=sys.stderr)
        code = asked("The code that it shows for", options.person)
        changed = access.confirm_own(ctx, person.principal, person.token, code)
        return _codes(person, changed)


def account_recovery_codes(ctx: Context, options: argparse.Namespace) -> list[Row]:
    need_terminal()
    with signed_in(ctx, options.person, options.password_file) as person:
        code = asked("The next code of the second factor of", options.person)
        return _codes(person, access.new_recovery_codes(ctx, person.principal, person.token, code))


def account_factor_remove(ctx: Context, options: argparse.Namespace) -> list[Row]:
    need_terminal()
    with signed_in(ctx, options.person, options.password_file) as person:
        code = asked("The next code of the second factor of", options.person)
        person.token = access.remove_own(ctx, person.principal, person.token, code).token
    return [{"name": options.person, "second factor": "no"}]


def _codes(person: Person, changed: access.Changed) -> list[Row]:
    """No code works twice: the one that signed in is not the one that is asked for."""
    person.token = changed.token
    print("Recovery codes, shown this once; each is good once, when the telephone is lost:", file=sys.stderr)
    return [{"recovery code": each} for each in changed.recovery_codes]


def _shown(address: str) -> str:
    """The QR code in blocks: black on white where this is a terminal, whatever its colours are."""
    import segno  # only who sets one up needs it

    held = io.StringIO()
    segno.make(address, error="l").terminal(out=held, compact=True, border=2)
    if not sys.stderr.isatty():
        return held.getvalue()
    lines = held.getvalue().splitlines()
    return "\n".join(f"\x1b[97;40m{line}\x1b[0m" for line in lines)
