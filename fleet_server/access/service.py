"""Access, as everybody else sees it: authorize every call, sign people in and out, keep their accounts.

What it offers is made in the modules beside it; each function takes the context and, where somebody acts, the
principal. Hashing a password blocks for tens of milliseconds: from an event loop call `sign_in`,
`create_operator` and `set_password` in a thread (FastAPI does it by itself for routes that are plain
functions).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_server.access import tokens, two_person
from fleet_server.access.accounts import (
    FIRST_ADMIN_NAME,
    change_own_password,
    create_operator,
    end_sessions,
    ensure_first_admin,
    get_operator,
    grant,
    list_operators,
    reset_second_factor,
    sessions_of,
    set_disabled,
    set_password,
)
from fleet_server.access.deciding import authorize, permitted
from fleet_server.access.errors import CodeRefused, SecondFactorNeeded
from fleet_server.access.known_tenants import need_known, need_there
from fleet_server.access.passwords import generated_password
from fleet_server.access.rules import EVERY_TENANT, HUMAN_ROLES
from fleet_server.access.second_factor import (
    Changed,
    SetUp,
    confirm_own,
    new_recovery_codes,
    remove_own,
    set_up,
)
from fleet_server.access.session_store import ListedSession
from fleet_server.access.sessions import (
    TOKEN_BYTES,
    SessionToken,
    SignedIn,
    act_in,
    end_others,
    end_own,
    own_account,
    own_sessions,
    resolve,
    resolve_session,
    sign_out,
)
from fleet_server.access.sign_in import prepare_by_ticket, sign_in, with_second_factor
from fleet_server.access.store import Operator
from fleet_server.access.tokens import ApiToken
from fleet_server.access.two_person import Request
from fleet_server.context import Context

if TYPE_CHECKING:
    from fleet_server.access.oidc import Sent

__all__ = [
    "EVERY_TENANT",
    "FIRST_ADMIN_NAME",
    "HUMAN_ROLES",
    "TOKEN_BYTES",
    "ApiToken",
    "Changed",
    "CodeRefused",
    "ListedSession",
    "Operator",
    "Request",
    "SecondFactorNeeded",
    "SessionToken",
    "SetUp",
    "SignedIn",
    "act_in",
    "authorize",
    "back_from_elsewhere",
    "change_own_password",
    "confirm_own",
    "create_operator",
    "end_others",
    "end_own",
    "end_sessions",
    "ensure_first_admin",
    "generated_password",
    "get_operator",
    "gone_elsewhere",
    "grant",
    "list_operators",
    "need_known",
    "need_there",
    "new_recovery_codes",
    "own_account",
    "own_sessions",
    "permitted",
    "prepare_by_ticket",
    "remove_own",
    "reset_second_factor",
    "resolve",
    "resolve_session",
    "sessions_of",
    "set_disabled",
    "set_password",
    "set_up",
    "sign_in",
    "sign_in_elsewhere",
    "sign_out",
    "tokens",
    "two_person",
    "with_second_factor",
]


def sign_in_elsewhere(ctx: Context, wanted: str) -> Sent:
    """Begin to sign in through the OpenID provider (`oidc.begin`)."""
    from fleet_server.access import oidc  # an HTTP client and JOSE: for the roles that sign people in

    return oidc.begin(ctx, wanted)


def gone_elsewhere(ctx: Context, logout_token: str) -> int:
    """The OpenID provider says that somebody has gone (`oidc_logout.gone`). How many sessions ended."""
    from fleet_server.access import oidc_logout

    return oidc_logout.gone(ctx, logout_token)


def back_from_elsewhere(
    ctx: Context, answer: dict[str, str], binding: str, address: str, agent: str
) -> tuple[SessionToken, str]:
    """Finish it (`oidc.finish`). answer: the parameters that the browser brings back."""
    from fleet_server.access import oidc

    told = oidc.Answer(
        answer.get("state", ""),
        binding,
        answer.get("code", ""),
        answer.get("iss", ""),
        answer.get("error", ""),
    )
    return oidc.finish(ctx, told, address, agent=agent)
