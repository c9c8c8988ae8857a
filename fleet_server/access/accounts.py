"""Accounts of people and machines: made, given roles in tenants, kept out, let in again.

Who administers one tenant sees and changes accounts of that tenant alone, and only those that are nobody
else's: a password set by the administrator of one tenant must not open another.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from sqlmodel import Session

from fleet_server.access import apart, factor_store, rules, second_factor, session_store, sessions, store
from fleet_server.access.apart_rules import What
from fleet_server.access.deciding import authorize, permitted
from fleet_server.access.errors import NameTaken, UnfitCredential
from fleet_server.access.grants import Grant, roles_in, roles_problem, tenant_problem
from fleet_server.access.passwords import generated_password, hash_password
from fleet_server.access.rules import EVERY_TENANT, Action, Principal
from fleet_server.access.session_store import ListedSession
from fleet_server.access.store import Operator
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.errors import Forbidden, NotFound
from fleet_server.masking import in_log, initials

log = logging.getLogger(__name__)

FIRST_ADMIN_NAME = "admin"


def create_operator(
    ctx: Context,
    principal: Principal,
    name: str,
    password: str | None,
    roles: tuple[str, ...],
    now: datetime | None = None,
    *,
    tenant: str = "",
    one_time: bool | None = None,
) -> Operator:
    """A new account with roles in one tenant ("": the one the asker acts in). Password None: a machine's.

    one_time: its owner has to choose another password at the first sign-in; None: where a person set it for
    another. Raises Forbidden, UnfitCredential, NameTaken.
    """
    where = tenant or principal.tenant
    authorize(principal, Action.OPERATORS_CREATE, name, tenant=where)
    problem = rules.operator_name_problem(name) or tenant_problem(where) or roles_problem(roles)
    if password is not None:
        problem = problem or rules.password_problem(password, name)
    if problem is not None:
        raise UnfitCredential(f"The operator cannot be made: {problem}.")
    password_hash = None if password is None else hash_password(password)
    instant = sessions.real(now)
    must_change = password is not None and _one_time(principal, one_time)
    with ctx.db.session() as session:
        given = [Grant(where, tuple(map(str, roles)))]
        made = store.insert_operator(session, name, password_hash, given, instant, must_change=must_change)
        if made is not None:
            apart.had_a_hand(session, principal, made.id, What.MADE, instant)
            record(session, principal, Action.OPERATORS_CREATE, name, after=_told(made), tenant=where)
    if made is None:
        raise NameTaken(f"There is an operator {name} already.")
    told = (initials(name), in_log(principal), ", ".join(roles), where)
    log.info("operator %s made by %s with %s in %s", *told)
    return made


def list_operators(ctx: Context, principal: Principal) -> list[Operator]:
    """The accounts of the tenant, by name, with what they are in it. Raises Forbidden."""
    authorize(principal, Action.OPERATORS_READ)
    with ctx.db.session() as session:
        return [_within(each, principal) for each in store.operators(session, principal.within)]


def get_operator(ctx: Context, principal: Principal, name: str) -> Operator:
    """Raises Forbidden, NotFound."""
    authorize(principal, Action.OPERATORS_READ)
    with ctx.db.session() as session:
        return _within(_seen(session, principal, name, lock=False), principal)


def grant(
    ctx: Context,
    principal: Principal,
    name: str,
    tenant: str,
    roles: Iterable[str],
    now: datetime | None = None,
) -> Operator:
    """Its roles in `tenant` become these; none: it has nothing to do there any more. Its sessions there end.

    Raises Forbidden, NotFound, UnfitCredential. An account of another tenant may be given roles in one's own:
    by its name, which its owner has to tell. What it does elsewhere goes on: nobody is signed out of another
    tenant.
    """
    authorize(principal, Action.OPERATORS_CREATE, name, tenant=tenant)
    wanted = tuple(dict.fromkeys(map(str, roles)))
    problem = tenant_problem(tenant) or (roles_problem(wanted) if wanted else None)
    if problem is not None:
        raise UnfitCredential(f"The roles cannot be given: {problem}.")
    with ctx.db.session() as session:
        found = store.operator(session, name, lock=True)
        if found is None:
            raise NotFound(f"There is no operator {name}.")
        instant = sessions.real(now)
        apart.before_a_change(session, instant)
        store.set_grant(session, found.id, Grant(tenant, wanted))
        session_store.delete_within(session, found.id, tenant)
        changed = store.operator_by_id(session, found.id)
        if apart.decides(roles_in(changed.grants, tenant)) and not apart.decides(
            roles_in(found.grants, tenant)
        ):
            apart.had_a_hand(session, principal, found.id, What.ROLE, instant)
        before, after = _told(_in(found, tenant)), _told(_in(changed, tenant))
        record(session, principal, Action.OPERATORS_CREATE, name, before=before, after=after, tenant=tenant)
    told = (initials(name), ", ".join(wanted) or "no role", tenant, in_log(principal))
    log.info("operator %s has %s in %s, by %s", *told)
    return _within(changed, principal)


def set_password(
    ctx: Context,
    principal: Principal,
    name: str,
    password: str,
    now: datetime | None = None,
    *,
    one_time: bool | None = None,
) -> None:
    """Give an operator another password, end their sessions. one_time: as for `create_operator`.

    Raises Forbidden (one's own, too), UnfitCredential, NotFound.
    """
    authorize(principal, Action.OPERATORS_CREATE, name)
    _check_another_s(principal, name)
    password_hash = _hashed(password, name)
    with ctx.db.session() as session:
        found = _mine(session, principal, name)
        if principal.within and any(each.source == "oidc" for each in found.grants):
            # groups may give it other tenants tomorrow, and the password would open them
            raise Forbidden(f"{name} signs in through the provider.", remedy="Ask who runs the installation.")
        instant = sessions.real(now)
        apart.before_a_change(session, instant)
        apart.had_a_hand(session, principal, found.id, What.PASSWORD, instant)
        must_change = _one_time(principal, one_time)
        store.set_password_hash(session, found.id, password_hash, must_change=must_change)
        session_store.delete_of(session, found.id)
        record(session, principal, Action.OPERATORS_CREATE, found.name, after={"password": "another"})


def change_own_password(
    ctx: Context, principal: Principal, token: str, old: str, new: str, now: datetime | None = None
) -> str:
    """One's own, by the old one. Every other session ends; this one's new token.

    Raises Forbidden, SignInRefused, UnfitCredential, TooManyAttempts, SignInBusy, NotAuthenticated.
    """
    sessions.person(principal)
    operator = second_factor.own_password_right(ctx, principal, old, sessions.real(now))
    if operator.must_change and old == new:
        raise UnfitCredential("The password cannot be taken: who chose the old one knows it.")
    password_hash = _hashed(new, operator.name)
    with ctx.db.session() as session:
        store.set_password_hash(session, operator.id, password_hash, must_change=False)
        record(session, principal, Action.SESSION_CHANGE, operator.name, after={"password": "another"})
        return sessions.rotate(session, operator.id, token)


def set_disabled(
    ctx: Context, principal: Principal, name: str, now: datetime | None = None, *, disabled: bool
) -> Operator:
    """Keep an operator out and end their sessions, or let them in again. Raises Forbidden, NotFound."""
    authorize(principal, Action.OPERATORS_CREATE, name)
    with ctx.db.session() as session:
        found = _mine(session, principal, name)
        apart.before_a_change(session, sessions.real(now))
        store.set_disabled(session, found.id, disabled)
        session_store.delete_of(session, found.id)
        record(
            session, principal, Action.OPERATORS_CREATE, name,
            before={"disabled": found.disabled}, after={"disabled": disabled},
        )  # fmt: skip
        changed = store.operator_by_id(session, found.id)
    log.info("operator %s %s by %s", initials(name), "disabled" if disabled else "enabled", in_log(principal))
    return _within(changed, principal)


def sessions_of(
    ctx: Context, principal: Principal, name: str, now: datetime | None = None
) -> list[ListedSession]:
    """Where somebody is signed in, the newest first. Raises Forbidden, NotFound."""
    authorize(principal, Action.OPERATORS_CREATE, name)
    with ctx.db.session() as session:
        found = _mine(session, principal, name)
        return session_store.of_operator(session, found.id, sessions.real(now))


def end_sessions(ctx: Context, principal: Principal, name: str) -> int:
    """Sign somebody out everywhere; how many sessions there were. Raises Forbidden, NotFound."""
    authorize(principal, Action.OPERATORS_CREATE, name)
    with ctx.db.session() as session:
        found = _mine(session, principal, name)
        ended = session_store.delete_of(session, found.id)
        record(session, principal, Action.OPERATORS_CREATE, name, after={"sessions_ended": ended})
        return ended


def reset_second_factor(ctx: Context, principal: Principal, name: str, now: datetime | None = None) -> None:
    """For whom telephone and recovery codes are lost. Their sessions end. Raises Forbidden, NotFound."""
    authorize(principal, Action.OPERATORS_CREATE, name)
    _check_another_s(principal, name)
    with ctx.db.session() as session:
        found = _mine(session, principal, name)
        if not factor_store.remove(session, found.id):
            raise NotFound(f"{name} has no second factor.")
        instant = sessions.real(now)
        apart.before_a_change(session, instant)
        apart.had_a_hand(session, principal, found.id, What.FACTOR, instant)
        session_store.delete_of(session, found.id)
        record(
            session, principal, Action.OPERATORS_CREATE, name,
            before={"second_factor": True}, after={"second_factor": False},
        )  # fmt: skip
    log.warning("the second factor of %s was taken away by %s", initials(name), in_log(principal))


def ensure_first_admin(ctx: Context, name: str = FIRST_ADMIN_NAME) -> str | None:
    """Where there is no account at all, make an administrator and return the generated password, once."""
    with ctx.db.session() as session:
        if store.count_operators(session) > 0:
            return None
    password = generated_password()
    try:
        create_operator(ctx, rules.CONSOLE, name, password, (rules.Role.ADMIN,))
    except NameTaken:  # another process was first
        return None
    return password


def _hashed(password: str, name: str) -> str:
    problem = rules.password_problem(password, name)
    if problem is not None:
        raise UnfitCredential(f"The password cannot be taken: {problem}.")
    return hash_password(password)


def _one_time(principal: Principal, told: bool | None) -> bool:
    """Does another than its owner know a password that `principal` sets? At the console its owner may sit."""
    return principal.kind == "operator" if told is None else told


def _check_another_s(principal: Principal, name: str) -> None:
    """Raises Forbidden for one's own account: it asks for the old password, or a code, first."""
    if principal.kind == "operator" and principal.name == name:
        raise Forbidden(
            "Your own password and second factor are not changed as others' are.",
            remedy="Go to your own account: /account, /api/v1/account.",
        )


def _seen(session: Session, principal: Principal, name: str, *, lock: bool = True) -> Operator:
    """An account of the tenant. Raises NotFound: names of others' people are not told."""
    found = store.operator(session, name, lock=lock)
    if found is None or (principal.within and not any(g.tenant == principal.within for g in found.grants)):
        raise NotFound(f"There is no operator {name}.")
    return found


def _mine(session: Session, principal: Principal, name: str) -> Operator:
    """An account that is wholly the asker's to change. Raises NotFound, Conflict, Forbidden."""
    found = _seen(session, principal, name)
    elsewhere = {each.tenant for each in found.grants} or {EVERY_TENANT}
    if not all(permitted(principal, Action.OPERATORS_CREATE, name, tenant=each) for each in elsewhere):
        raise Forbidden(
            f"{name} has roles beyond {principal.tenant}.",
            remedy="Take the roles in your tenant away, or ask who runs the installation.",
        )
    return found


def _within(operator: Operator, principal: Principal) -> Operator:
    return operator if principal.within is None else _in(operator, principal.within)


def _in(operator: Operator, tenant: str) -> Operator:
    grants = tuple(each for each in operator.grants if each.tenant == tenant)
    return Operator(
        operator.id, operator.name, grants, operator.disabled, operator.created_at,
        operator.has_password, operator.has_factor, operator.must_change,
    )  # fmt: skip


def _told(operator: Operator) -> dict[str, object]:
    return {"grants": {each.tenant: list(each.roles) for each in operator.grants}}
