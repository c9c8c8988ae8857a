"""What `lamppost fleet operators`, `sessions`, `tokens` and `approvals` do."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fleet_server.access import service as access
from fleet_server.access import tokens, two_person
from fleet_server.access.known_tenants import need_known
from fleet_server.access.passwords import generated_password
from fleet_server.access.rules import EVERY_TENANT, HUMAN_ROLES, TOKEN_LIFE_LONGEST
from fleet_server.access.store import Operator
from fleet_server.access.two_person_rules import State
from fleet_server.admin_commands import Row, console
from fleet_server.at_terminal import asked_twice, first_line, signed_in
from fleet_server.context import Context
from fleet_server.errors import InvalidRequest

OPERATOR_EXAMPLES = """\
examples:
  lamppost fleet operators add ana --role admin                    asks for the password
  lamppost fleet operators add rui --tenant porto --role technician --generate
  lamppost fleet operators add exporter --no-password --role viewer   a machine's: it acts by tokens alone
  lamppost fleet operators grant ana --tenant porto --role operator --role approver
  lamppost fleet operators revoke ana --tenant porto
  lamppost fleet operators password ana --generate                 prints one that is good for one sign-in
  lamppost fleet operators disable ana --reason "left the city"    out of every session, at once
  lamppost fleet operators enable ana
  lamppost fleet operators totp-reset ana                          telephone and recovery codes are lost
  lamppost fleet operators list --json

Without --tenant roles count in the whole installation ("*"). A tenant has to be there: lamppost fleet
tenants add makes one. A generated password is good for one sign-in,
where its owner chooses another.
"""
SESSION_EXAMPLES = """\
examples:
  lamppost fleet sessions list ana
  lamppost fleet sessions end ana                                  signs her out everywhere
"""
MACHINE_EXAMPLES = """\
examples:
  lamppost fleet tokens scopes
  lamppost fleet tokens new "nightly export" --owner exporter --scope telemetry:read --days 90
  lamppost fleet tokens list
  lamppost fleet tokens revoke 7

A token is printed once. It never does more than its owner may, and ends with the owner's account.
"""
APPROVAL_EXAMPLES = """\
examples:
  lamppost fleet approvals list --state waiting
  lamppost fleet approvals show 12
  lamppost fleet approvals approve 12 --as bea --note "seen the letter"
  lamppost fleet approvals refuse 12 --as bea
  lamppost fleet approvals withdraw 12

The second person signs in with their own name and password. Then the first does the same again.
"""
Make = Callable[..., argparse.ArgumentParser]


def add_operators(group: Any, command: Make) -> None:
    add = command(group, "add", "make an account; asks for the password", operator_add)
    password = command(group, "password", "give an account another password", operator_password)
    grant = command(group, "grant", "its roles in a tenant become these; its sessions end", operator_grant)
    revoke = command(group, "revoke", "take its roles in a tenant away; its sessions end", operator_grant)
    revoke.set_defaults(role=[])
    for each in (add, grant):
        roles = list(map(str, HUMAN_ROLES))
        each.add_argument(
            "--role",
            action="append",
            choices=roles,
            required=True,
            help="repeat for more",
        )
    for each in (add, password, grant, revoke):
        each.add_argument("name")
    for each in (add, grant, revoke):
        each.add_argument(
            "--tenant", default=EVERY_TENANT, metavar="NAME", help='where; without: "*", everywhere'
        )
    for each in (add, password):
        secret = each.add_mutually_exclusive_group()
        secret.add_argument("--password-file", type=Path, metavar="FILE", help="first line is the password")
        secret.add_argument(
            "--generate", action="store_true", help="make one up and print it: for one sign-in"
        )
        if each is add:
            secret.add_argument(
                "--no-password", action="store_true", help="a machine's account: tokens alone"
            )
    for name, what, disabled in (
        ("disable", "keep somebody out, from now on and from every open session", True),
        ("enable", "let them in again", False),
    ):
        made = command(group, name, what, operator_disabled)
        made.add_argument("name")
        made.set_defaults(disabled=disabled)
    command(group, "totp-reset", "take a lost second factor away", operator_totp_reset).add_argument("name")
    command(group, "list", "every account", operator_list)


def add_sessions(group: Any, command: Make) -> None:
    for name, what, act in (
        ("list", "where an account is signed in", sessions_list),
        ("end", "sign an account out everywhere", sessions_end),
    ):
        command(group, name, what, act).add_argument("name")


def add_tokens(group: Any, command: Make) -> None:
    new = command(group, "new", "make a token; it is printed once", token_new)
    new.add_argument("name", help="what it is for")
    new.add_argument("--owner", required=True, metavar="ACCOUNT", help="whose roles bound it")
    new.add_argument("--scope", action="append", required=True, metavar="ACTION", help="repeat for more")
    new.add_argument(
        "--days", type=int, required=True, metavar="N", help=f"1 to {TOKEN_LIFE_LONGEST.days}: then it ends"
    )
    new.add_argument("--tenant", default=EVERY_TENANT, metavar="NAME", help='where; without: "*", everywhere')
    command(group, "list", "every token, revoked and expired ones too", token_list)
    command(group, "revoke", "worth nothing from now on", token_revoke).add_argument("id", type=int)
    command(group, "scopes", "the actions that a token can be for", token_scopes)


def add_approvals(group: Any, command: Make) -> None:
    listed = command(group, "list", "what waits for a second person; the newest first", approval_list)
    listed.add_argument("--state", choices=list(map(str, State)), metavar="STATE", help=", ".join(State))
    shown = command(group, "show", "one request", approval_show)
    agree = "agree, as another person than who asked"
    approve = command(group, "approve", agree, approval_decide, why="--note")
    approve.set_defaults(decide=two_person.approve)
    refuse = command(group, "refuse", "do not agree", approval_decide, why="--note")
    refuse.set_defaults(decide=two_person.refuse)
    withdraw = command(
        group, "withdraw", "take back what was asked from this command line", approval_withdraw
    )
    for each in (shown, approve, refuse, withdraw):
        each.add_argument("id", type=int)
    for each in (approve, refuse):
        each.add_argument("--as", dest="person", required=True, metavar="NAME", help="who decides; signs in")
        each.add_argument("--password-file", type=Path, metavar="FILE", help="first line is the password")
        each.add_argument("--tenant", default="", metavar="NAME", help="where they act; without, the first")


def operator_add(ctx: Context, options: argparse.Namespace) -> list[Row]:
    need_known(ctx, console(), options.tenant)
    password = None if options.no_password else _password(options)
    roles = tuple(dict.fromkeys(options.role))
    made = access.create_operator(
        ctx, console(), options.name, password, roles, tenant=options.tenant, one_time=options.generate
    )
    row = _operator(made)
    return [row | {"password": password}] if options.generate else [row]


def operator_password(ctx: Context, options: argparse.Namespace) -> list[Row]:
    password = _password(options)
    access.set_password(ctx, console(), options.name, password, one_time=options.generate)
    return [{"name": options.name} | ({"password": password} if options.generate else {})]


def operator_grant(ctx: Context, options: argparse.Namespace) -> list[Row]:
    if options.role:  # what was given in one that is gone, or never was, can still be taken away
        need_known(ctx, console(), options.tenant)
    return [_operator(access.grant(ctx, console(), options.name, options.tenant, options.role))]


def operator_disabled(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [_operator(access.set_disabled(ctx, console(), options.name, disabled=options.disabled))]


def operator_totp_reset(ctx: Context, options: argparse.Namespace) -> list[Row]:
    access.reset_second_factor(ctx, console(), options.name)
    return [_operator(access.get_operator(ctx, console(), options.name))]


def operator_list(ctx: Context, _: argparse.Namespace) -> list[Row]:
    return [_operator(each) for each in access.list_operators(ctx, console())]


def sessions_list(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [
        {
            "session": each.number,
            "tenant": each.tenant,
            "by": each.via,
            "from": each.address or None,
            "with": each.agent[:60] or None,
            "began": _instant(each.began_at),
            "ends": _instant(each.expires_at),
        }
        for each in access.sessions_of(ctx, console(), options.name)
    ]


def sessions_end(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [{"name": options.name, "ended": access.end_sessions(ctx, console(), options.name)}]


def token_new(ctx: Context, options: argparse.Namespace) -> list[Row]:
    try:
        life = timedelta(days=options.days)
    except OverflowError:
        raise InvalidRequest(f"--days: {options.days} is too long.") from None
    need_known(ctx, console(), options.tenant)
    scopes = tuple(dict.fromkeys(options.scope))
    wanted = tokens.Wanted(options.name, scopes, life, options.owner, options.tenant)
    made = tokens.make(ctx, console(), wanted)
    return [{"token": made.token} | _token(made.described)]


def token_list(ctx: Context, _: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    after = 0
    while page := tokens.listed(ctx, console(), after):
        rows += [_token(each) for each in page]
        after = page[-1].id
    return rows


def token_revoke(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [_token(tokens.revoke(ctx, console(), options.id))]


def token_scopes(_: Context, __: argparse.Namespace) -> list[Row]:
    return [{"scope": each} for each in tokens.scopes_there_are()]


def approval_list(ctx: Context, options: argparse.Namespace) -> list[Row]:
    state = State(options.state) if options.state else None
    return [_request(each) for each in two_person.listed(ctx, console(), state)]


def approval_show(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [_request(two_person.get(ctx, console(), options.id))]


def approval_decide(ctx: Context, options: argparse.Namespace) -> list[Row]:
    with signed_in(ctx, options.person, options.password_file, options.tenant) as person:
        return [_request(options.decide(ctx, person.principal, options.id, options.why))]


def approval_withdraw(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [_request(two_person.withdraw(ctx, console(), options.id))]


def _password(options: argparse.Namespace) -> str:
    if options.generate:
        return generated_password()
    if options.password_file is not None:
        return first_line(options.password_file)
    return asked_twice("Password of", options.name)


def _operator(found: Operator) -> Row:
    return {
        "name": found.name,
        "roles": _roles(found) or None,
        "state": "disabled" if found.disabled else "active",
        "second factor": "yes" if found.has_factor else "no",
        "made": _instant(found.created_at),
    }


def _roles(found: Operator) -> str:
    """`admin` of the whole installation, `porto: operator, viewer; …` of tenants."""
    listed = (
        ", ".join(each.roles) if each.tenant == EVERY_TENANT else f"{each.tenant}: {', '.join(each.roles)}"
        for each in found.grants
    )
    return "; ".join(listed)


def _token(found: tokens.ApiToken) -> Row:
    return {
        "id": found.id,
        "name": found.name,
        "owner": found.owner,
        "tenant": found.tenant,
        "scopes": ", ".join(found.scopes),
        "expires": _instant(found.expires_at),
        "used": _instant(found.last_used_at),
        "revoked": _instant(found.revoked_at),
    }


def _request(found: two_person.Request) -> Row:
    return {
        "id": found.id,
        "state": str(found.state),
        "action": found.action,
        "on": found.resource,
        "what": found.what or None,
        "reason": found.reason or None,
        "asked by": found.asked_by,
        "asked": _instant(found.asked_at),
        "decided by": found.decided_by or None,
        "note": found.note or None,
    }


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
