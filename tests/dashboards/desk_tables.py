"""Which role sees which page and may send which form, and what nobody should send: for test_desk.py."""

from __future__ import annotations

from fleet_server.access.rules import HUMAN_ROLES, Role

R = Role
WATCH, ADMIN = {R.ADMIN, R.SECURITY_OFFICER}, {R.ADMIN}
RUN = {R.ADMIN, R.OPERATOR}
SET_UP, LOOK = {R.ADMIN, R.OPERATOR, R.TECHNICIAN}, set(HUMAN_ROLES) - {R.PARTNER}
EVERYBODY = set(HUMAN_ROLES)

PAGES: dict[str, set[Role]] = {
    "/account": EVERYBODY,
    "/approvals": WATCH | {R.APPROVER},
    "/approvals/$request": WATCH | {R.APPROVER},
    "/audit": WATCH,
    "/audit/1": set(),  # the installation's, nobody's of one tenant
    "/audit/export?format=csv": WATCH,
    "/batches": LOOK,
    "/keys": LOOK,
    "/groups": LOOK,
    "/groups/old-town": LOOK,
    "/settings": LOOK,
    "/bulk/none": set(),  # there is none
    "/field": LOOK,
    "/field/claim": EVERYBODY,
    "/people": WATCH,
    "/people/guest": WATCH,
    "/standing/demo/rathaus": LOOK,
    "/tenants": ADMIN,
    "/tenants/demo": ADMIN,
    "/tokens": WATCH,
}
# A form that everybody may see and send; whom the service lets through.
CHANGES: dict[str, tuple[dict[str, str], set[Role]]] = {
    "/approvals/$request/refuse": ({"note": "no"}, {R.ADMIN, R.APPROVER}),
    "/approvals/$request/approve": ({}, {R.ADMIN, R.APPROVER}),
    "/approvals/$request/withdraw": ({}, set()),  # but who asked
    "/audit/verify": ({}, WATCH),
    "/batches": ({"technician": "ana", "number": "201", "days": "1"}, ADMIN),
    "/batches/none/revoke": ({}, ADMIN),
    "/batches/none/resume": ({}, ADMIN),
    "/batches/alarm/999999": ({}, SET_UP),
    "/settings": ({"key": "no.such", "value": "1"}, RUN),
    "/groups": ({"name": "x y"}, RUN),
    "/groups/old-town/settings": ({"key": "sampling.every_s", "value": "0"}, RUN),
    "/groups/old-town/add": ({"names": "no-such-lamp"}, RUN),
    "/groups/old-town/remove": ({"names": ""}, RUN),
    "/groups/none/tell": ({"command": "ping", "rate": "60"}, RUN),
    "/groups/none/delete": ({}, RUN),
    "/bulk/none/cancel": ({}, RUN),
    "/keys": ({"device": "lamp-9", "key": "none", "days": "1"}, ADMIN),
    "/keys/withdraw": ({"claim": "none"}, SET_UP),
    "/c/none/withdraw": ({}, SET_UP),
    "/people": ({"name": "x y", "role": "viewer"}, ADMIN),
    "/people/guest/factor": ({}, ADMIN),
    "/people/guest/password": ({}, ADMIN),
    "/people/guest/roles": ({"tenant": "demo", "role": "viewer"}, ADMIN),
    "/people/guest/sessions": ({}, ADMIN),
    "/people/guest/state": ({"disabled": "no"}, ADMIN),
    "/standing/demo/rathaus": ({"state": "active"}, SET_UP),
    "/tenants": ({"name": "x y"}, set()),  # who acts in one tenant names none
    "/tenants/demo": ({"devices": "99"}, set()),
    "/tokens": ({"name": "x", "days": "9999"}, ADMIN),
    "/tokens/999999/revoke": ({}, EVERYBODY),  # there is none: 404 for all
}

MORE = {"/groups", "/approvals", "/people", "/tokens", "/audit", "/tenants", "/account"}
GARBAGE_PATHS = (
    "/people/%00",
    "/people/no%20such",
    "/people?find=%00",
    "/people?after=" + "x" * 3000,
    "/tokens?after=-1",
    "/tokens?after=x",
    "/approvals?before=0",
    "/approvals?before=99999999999",
    "/approvals/x",
    "/approvals/99999999999999999999",
    "/audit?before=x",
    "/audit?from=yesterday",
    "/audit?from=0001-01-01T00:00",
    "/audit?from=2026-11-21T12:00&to=2026-11-20T12:00",
    "/audit?outcome=perhaps",
    "/audit?who=%00",
    "/audit/0",
    "/audit/99999999999999999999999",
    "/audit/export?format=pdf",
    "/audit/export?format=jsonl&who=ada",
    "/standing/demo/NOPE",
    "/tenants/no%20such",
)
GARBAGE_FORMS: tuple[tuple[str, dict[str, str]], ...] = (
    ("/batches", {}),
    ("/batches", {"technician": "ana", "number": "201", "days": "1"}),
    ("/batches", {"technician": "ana", "number": "1", "days": "9999"}),
    ("/batches", {"technician": "ana", "number": "1", "days": "1", "from": "soon"}),
    ("/batches", {"technician": "ana", "number": "1", "days": "1", "from": "2199-01-01T00:00"}),
    ("/batches/alarm/x", {}),
    ("/groups", {}),
    ("/groups", {"name": "ok", "priority": "high"}),
    ("/groups", {"name": "ok", "query": "drop table"}),
    ("/groups", {"name": "old-town"}),
    ("/groups/none/settings", {"key": "x"}),
    ("/groups/old-town/settings", {"key": "..", "value": "1"}),
    ("/groups/old-town/add", {"names": "a\0b"}),
    ("/groups/old-town/tell", {"command": "explode", "rate": "1"}),
    ("/groups/old-town/tell", {"command": "ping", "rate": "0"}),
    ("/settings", {}),
    ("/settings", {"key": "a" * 300, "value": "1"}),
    ("/bulk/x/cancel", {}),
    ("/keys", {}),
    ("/keys", {"device": "NO", "key": "0" * 64, "days": "1"}),
    ("/keys", {"device": "lamp-9", "key": "-----BEGIN PUBLIC KEY-----", "days": "1"}),
    ("/keys/withdraw", {"claim": "a\0b"}),
    ("/people", {}),
    ("/people", {"name": "ok-name"}),
    ("/people", {"name": "ok-name", "role": "emperor"}),
    ("/people", {"name": "a\0b", "role": "viewer"}),
    ("/people", {"name": "ok-name", "role": "viewer", "tenant": "NO"}),
    ("/people/guest/roles", {"tenant": "", "role": "viewer"}),
    ("/people/guest/roles", {"tenant": "demo", "role": "emperor"}),
    ("/people/guest/state", {}),
    ("/people/nobody/password", {}),
    ("/people/guest/factor", {}),
    ("/tokens", {}),
    ("/tokens", {"name": "x", "days": "-1", "scope": "devices:read"}),
    ("/tokens", {"name": "x", "days": "9" * 18, "scope": "devices:read"}),
    ("/tokens", {"name": "x", "days": "1", "scope": "rule the world"}),
    ("/tokens", {"name": "x", "days": "1", "scope": "devices:read", "owner": "nobody"}),
    ("/tokens", {"name": "x", "days": "1", "scope": "devices:read", "owner": "a\0b"}),
    ("/tokens/0/revoke", {}),
    ("/approvals/999999/approve", {"note": "x"}),
    ("/approvals/x/refuse", {}),
    ("/standing/demo/rathaus", {"state": "upside down"}),
    ("/standing/demo/rathaus", {}),
    ("/tenants", {"name": "NO SUCH"}),
    ("/tenants/demo", {"devices": "-1"}),
    ("/tenants/demo", {"devices": "0"}),
    ("/tenants/demo", {"title": "x" * 101}),
    ("/tenants/demo", {"title": "x" * 20_000}),
)
