"""What a refusal says: whom to ask, by role."""

from __future__ import annotations

import pytest

from fleet_server.access.deciding import authorize
from fleet_server.access.rules import INGEST, Action, Principal, Role
from fleet_server.errors import Forbidden, OtherTenant

TEC = Principal("operator", "tec", frozenset({Role.TECHNICIAN}), "porto")
ADMIN = Principal("operator", "ana", frozenset({Role.ADMIN}), "porto")
TOKEN = Principal("operator", "ana", frozenset({Role.ADMIN}), "porto", frozenset({"air:read"}), "token")


@pytest.mark.parametrize(
    ("who", "action", "on", "told"),
    [
        (TEC, Action.OPERATORS_CREATE, "pim",
         "tec may not do this on pim. Ask somebody who is admin in porto (operators:create)."),
        (TEC, Action.INCIDENTS_WORK, "*",
         "tec may not do this. Ask somebody who is admin or operator in porto (incidents:work)."),
        (ADMIN, Action.TENANTS_CHANGE, "*",
         "ana may not do this. Ask somebody who is admin in the whole installation (tenants:change)."),
        (TOKEN, Action.DEVICES_READ, "*",
         "ana may not do this. This token is not for it: one with the scope devices:read is."),
        (TEC, Action.TELEMETRY_WRITE, "*", "tec may not do this."),
        (INGEST, Action.OPERATORS_READ, "*",
         "ingest may not do this. Ask somebody who is admin or security-officer in the whole installation"
         " (operators:read)."),
    ],
)  # fmt: skip
def test_a_refusal_says_whom_to_ask(who: Principal, action: Action, on: str, told: str) -> None:
    with pytest.raises(Forbidden) as refused:
        authorize(who, action, on)
    assert str(refused.value) == told
    assert refused.value.attempt == (who, str(action), on)


def test_another_tenant_s_is_not_told_whose_it_is() -> None:
    with pytest.raises(OtherTenant, match=r"^There is no device lisboa/lamp-01\.$"):
        authorize(ADMIN, Action.DEVICES_READ, "lisboa/lamp-01")
