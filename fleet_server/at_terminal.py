"""A person at this terminal: what they are asked for, and who they are once they have signed in."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fleet_server.access import service as access
from fleet_server.access.rules import Principal
from fleet_server.context import Context
from fleet_server.errors import ConfigurationError, InvalidRequest, PasswordChangeNeeded

CODES = "Codes of a second factor are asked for on a terminal alone: run it on one."
AGENT = "lamppost fleet"  # what the session's list says it came with


@dataclass
class Person:
    """Signed in for as long as a command runs. token: of the session; a change of one's account renews it."""

    principal: Principal
    token: str = field(repr=False)
    password: str = field(repr=False)


@contextmanager
def signed_in(
    ctx: Context, name: str, password_file: Path | None, tenant: str = "", *, to_change: bool = False
) -> Iterator[Person]:
    """With their own password and, where they have one, a second factor. Signed out at the end.

    to_change: a password that somebody else chose will do. Raises SignInRefused, SecondFactorNeeded where one
    has to be set up first, PasswordChangeNeeded, TooManyAttempts, InvalidRequest, ConfigurationError.
    """
    given = "Use --password-file."
    password = first_line(password_file) if password_file else asked("Password of", name, given)
    try:
        made = access.sign_in(ctx, name, password, tenant=tenant, agent=AGENT)
    except access.SecondFactorNeeded as needed:
        if needed.members["set_up"]:
            raise
        code = asked("Code of the second factor of", name)
        made = access.with_second_factor(ctx, needed.members["ticket"], code, agent=AGENT)
    person = Person(made.principal, made.token, password)
    try:
        if made.must_change and not to_change:
            raise PasswordChangeNeeded(
                f"Somebody else chose the password of {name}.",
                remedy=f"Choose another: lamppost fleet account password --as {name}",
            )
        yield person
    finally:
        access.sign_out(ctx, person.token)


def need_terminal(otherwise: str = CODES) -> None:
    """otherwise: what to do without one. Raises InvalidRequest where there is none."""
    if not sys.stdin.isatty():
        raise InvalidRequest("There is no terminal to ask on.", remedy=otherwise)


def asked(what: str, name: str, otherwise: str = CODES) -> str:
    """Unseen, on this terminal. Raises InvalidRequest where there is none."""
    need_terminal(otherwise)
    return getpass.getpass(f"{what} {name}: ")


def asked_twice(what: str, name: str, otherwise: str = "Use --password-file or --generate.") -> str:
    """Raises InvalidRequest where the two differ."""
    given = asked(what, name, otherwise)
    if getpass.getpass("Again: ") != given:
        raise InvalidRequest("The two passwords differ.")
    return given


def first_line(path: Path) -> str:
    """Raises ConfigurationError."""
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}.") from error
