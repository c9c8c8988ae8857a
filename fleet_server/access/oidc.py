"""Signing in with an account of the city's OpenID provider: sent there, back with a code, in as an account
here.

    begin ──► the browser goes to the provider, with state, nonce and PKCE's challenge
    finish ◄── back, in the same browser, with a code: exchanged, its ID token checked, a session begun

What is remembered meanwhile lies in the database, once and for ten minutes. Account and provider's person
are one by issuer and subject. Roles come from groups at every sign-in. An account that is disabled here
stays out. The provider's own second factor counts; ours is for accounts with a password of ours.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlmodel import Session

from fleet_server.access import apart, grants, oidc_rules, oidc_store, session_store, sessions, store
from fleet_server.access.errors import ProviderRefused
from fleet_server.access.oidc_provider import Provider, provider_of
from fleet_server.access.oidc_rules import NotBelieved, Person
from fleet_server.access.rules import CONSOLE, Action
from fleet_server.access.session_store import NewSession
from fleet_server.access.sessions import SessionToken, real, token_hash
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.errors import Forbidden, NotFound
from fleet_server.masking import initials
from fleet_server.secrets_by_reference import read_secret

log = logging.getLogger(__name__)

RETURN_PATH = "/sign-in/oidc/return"
FLOW_LIFE = timedelta(minutes=10)  # to type a password and find the telephone, over there
RANDOM_BYTES = 32
NAMES_TRIED = 100


@dataclass(frozen=True)
class Sent:
    """address: where the browser goes. binding: what it must bring back in a cookie, besides the answer."""

    address: str = field(repr=False)
    binding: str = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """What the browser brings back: the provider's parameters, and the cookie of `begin`."""

    state: str = field(repr=False)
    binding: str = field(repr=False)
    code: str = field(default="", repr=False)
    iss: str = ""
    error: str = ""


def begin(ctx: Context, wanted: str, now: datetime | None = None) -> Sent:
    """Send somebody to the provider. wanted: the own page to show afterwards, a path.

    Raises NotFound where none is configured, ProviderUnreachable, ProviderRefused.
    """
    oidc, instant = ctx.config.oidc, real(now)
    try:
        metadata = configured_provider(ctx).metadata()
    except NotBelieved as why:
        raise _refused(why) from None
    state, binding, nonce = (secrets.token_urlsafe(RANDOM_BYTES) for _ in range(3))
    verifier = secrets.token_urlsafe(2 * RANDOM_BYTES)  # RFC 7636, section 4.1: 43 to 128 characters
    with ctx.db.session() as session:
        oidc_store.forget_flows(session, instant)
        flow = oidc_store.Flow(token_hash(binding), nonce, verifier, wanted, instant + FLOW_LIFE)
        oidc_store.put_flow(session, token_hash(state), flow)
    asked = {
        "response_type": "code",
        "client_id": oidc.client_id,
        "redirect_uri": oidc.pages + RETURN_PATH,
        "scope": " ".join(oidc.scopes),
        "state": state,
        "nonce": nonce,
        "code_challenge": oidc_rules.challenge(verifier),
        "code_challenge_method": "S256",
    }
    return Sent(oidc_rules.authorization_address(metadata.authorization_endpoint, asked), binding)


def finish(
    ctx: Context, answer: Answer, address: str = "", now: datetime | None = None, *, agent: str = ""
) -> tuple[SessionToken, str]:
    """A session, and the page that was wanted. Raises ProviderRefused, ProviderUnreachable, Forbidden."""
    instant = real(now)
    provider = configured_provider(ctx)
    with ctx.db.session() as session:
        flow = oidc_store.take_flow(session, token_hash(answer.state))
    if flow is None or instant >= flow.expires_at:
        raise ProviderRefused("That took too long, or was done before.", remedy="Sign in again.")
    if not hmac.compare_digest(flow.binding_hash, token_hash(answer.binding)):
        raise ProviderRefused("This was begun in another browser.", remedy="Sign in again.")
    try:
        oidc_rules.check_answer(provider.metadata(), answer.iss, answer.error, answer.code)
        person = _person(ctx, provider, flow, answer.code, instant)
    except NotBelieved as why:
        raise _refused(why) from None
    with ctx.db.session() as session:
        new = NewSession("", sessions.OIDC, address, agent, person.session)
        made = _let_in(ctx, session, person, new, instant)
    if made is None:
        raise Forbidden("You are signed in over there, and have no role here.", remedy="Ask for a group.")
    return made, flow.wanted


def _person(ctx: Context, provider: Provider, flow: oidc_store.Flow, code: str, now: datetime) -> Person:
    """Raises NotBelieved, ProviderUnreachable."""
    oidc = ctx.config.oidc
    secret = read_secret("oidc.client_secret", oidc.client_secret) if oidc.client_secret else ""
    given = provider.token(code, flow.verifier, oidc.pages + RETURN_PATH, oidc.client_id, secret)
    id_token, access_token = given.get("id_token"), given.get("access_token")
    if not isinstance(id_token, str):
        raise NotBelieved("it gave no ID token")
    claims = dict(provider.claims(id_token))
    subject = oidc_rules.check_claims(claims, oidc.issuer, oidc.client_id, flow.nonce, now.timestamp())
    wanted = {oidc.groups_claim, oidc.name_claim}
    if not wanted <= set(claims) and isinstance(access_token, str) and provider.metadata().userinfo_endpoint:
        more = provider.userinfo(access_token)
        if more.get("sub") != subject:  # OpenID Connect Core, section 5.3.2
            raise NotBelieved("it tells of somebody else")
        claims = {**more, **claims}
    groups = oidc_rules.groups_of(claims, oidc.groups_claim)
    name = oidc_rules.account_name(claims.get(oidc.name_claim), oidc.issuer, subject)
    told = groups is not None
    return Person(oidc.issuer, subject, name, groups or frozenset(), told, oidc_rules.session_of(claims))


def _let_in(
    ctx: Context, session: Session, person: Person, new: NewSession, now: datetime
) -> SessionToken | None:
    """None: in no group that counts, which is kept. Raises Forbidden: disabled here."""
    given = oidc_rules.grants_of(person.groups, ctx.config.oidc.grants)
    operator = oidc_store.find(session, person.issuer, person.subject)
    if operator is None and not given:
        told = "none that counts" if person.groups_told else "no groups at all"
        log.warning("somebody of the OpenID provider is not let in: %s in its answer", told)
        return None
    new_here = operator is None
    if operator is None:
        operator = _new_account(session, person, given, now)
    if operator.disabled:
        raise Forbidden("This account is disabled here.")
    former = set() if new_here else {each for each in operator.grants if each.source == "oidc"}
    if former != set(given):
        apart.before_a_change(session, now)
        store.replace_grants(session, operator.id, "oidc", given)
        session_store.delete_of(session, operator.id)
        record(
            session, CONSOLE, Action.OPERATORS_CREATE, operator.name,
            before={"grants": {each.tenant: list(each.roles) for each in former}},
            after={"grants": {each.tenant: list(each.roles) for each in given}},
            reason="groups of the provider",
        )  # fmt: skip
        operator = store.operator_by_id(session, operator.id)
    tenant = grants.chosen_tenant(operator.grants, new.tenant)
    if tenant is None:
        return None
    longest = sessions.longest_of(ctx, new.via)
    return sessions.begin(session, operator, replace(new, tenant=tenant), now, longest)


def _new_account(
    session: Session, person: Person, given: tuple[grants.Grant, ...], now: datetime
) -> store.Operator:
    """An account without a password, under the person's name or that with a number: never somebody else's."""
    for number in range(1, NAMES_TRIED):
        name = person.name if number == 1 else f"{person.name}-{number}"
        made = store.insert_operator(session, name, None, given, now)
        if made is None:
            continue
        if not oidc_store.link(session, person.issuer, person.subject, made.id, now):
            raise ProviderRefused("You signed in twice at once.", remedy="Sign in again.")
        log.info("account %s made for somebody of the OpenID provider", initials(name))
        return made
    raise ProviderRefused(f"There are too many accounts called {person.name}.")


def configured_provider(ctx: Context) -> Provider:
    """Raises NotFound where none is configured."""
    oidc = ctx.config.oidc
    if not oidc.issuer:
        raise NotFound("Nobody signs in through a provider here.")
    return provider_of(oidc.issuer, "" if oidc.ca_file is None else str(oidc.ca_file))


def _refused(why: NotBelieved) -> ProviderRefused:
    log.warning("a sign-in through the OpenID provider was refused: %s", why)
    return ProviderRefused(
        "The provider let nobody in.", remedy="Sign in again; the server's log has the reason."
    )
