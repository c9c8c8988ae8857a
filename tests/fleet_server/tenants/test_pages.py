"""What the pages read and do, as every role, for what is its tenant's and for what is another's.

Pages reach the server through their data modules alone (an import contract keeps it so): each function of
these that is given who asks has a line here, or the test fails. `LINES` says who gets an answer.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from dashboards.data import Services
from dashboards.data_air import Air
from dashboards.data_incidents import Incidents
from dashboards.data_lamppost import Posts
from dashboards.data_map import MapServices
from dashboards.data_orders import Orders
from dashboards.lamppost_calibrating import Entry
from dashboards.phone_data import ClaimWish, Phone
from fleet_server.access.rules import HUMAN_ROLES, Principal, Role
from fleet_server.access.service import SignedIn
from fleet_server.clock import StreetClock
from fleet_server.devices.service import Address
from fleet_server.errors import Forbidden, InputError, NotFound, OtherTenant
from fleet_server.technician.service import Kind
from provisioning.authority import Authority
from tests.fleet_server.telemetry.support import NOW_MS
from tests.fleet_server.tenants.test_matrix import AGGREGATES, LOOK, RUN, SET_UP
from tests.fleet_server.tenants.two_cities import LISBOA, PORTO, build
from tests.support.postgres import _create, _drop, with_database
from tests.support.server_context import make_context

HOUR_MS = 3_600_000
SPAN = (NOW_MS - 24 * HOUR_MS, NOW_MS)
Ask = Callable[[Any], tuple[Any, ...]]
CALIBRATION = Entry(slope=1.0, offset=0.0, humidity=0.0, source="", channel="pm2_5", valid_ms=NOW_MS, unit=1)
WISH = ClaimWish(**{name: "" for name in inspect.signature(ClaimWish).parameters})
DONE = {"id": "0" * 32}


def _address(w: Any) -> str:
    return f"{w.tenant}/{w.name}"


def nothing(_: Any) -> tuple[Any, ...]:
    return ()


def post(w: Any) -> tuple[Any, ...]:
    return (w.post,)


# Of a list, `nothing` is asked for; else one thing of somebody's.
LINES: Mapping[str, tuple[frozenset[Role], Ask]] = {
    "Services.lampposts": (LOOK, nothing),
    "Services.lamppost": (LOOK, lambda w: (w.tenant, w.name)),
    "Services.conditions": (LOOK, post),
    "Services.incidents_open": (LOOK, nothing),
    "Services.detail": (LOOK, post),
    "Services.pending": (LOOK, nothing),
    "Services.alarms": (frozenset(HUMAN_ROLES), nothing),  # who decides nothing is told nothing, not refused
    "Services.used_twice": (LOOK, nothing),
    "Services.waiting": (frozenset(HUMAN_ROLES), nothing),  # who decides nothing is told nothing, not refused
    "Services.decide": (SET_UP, lambda w: (w.enrolment_id, False)),
    "MapServices.pending": (LOOK, nothing),
    "MapServices.used_twice": (LOOK, nothing),
    "MapServices.incidents_open": (LOOK, nothing),
    "MapServices.conditions": (LOOK, post),
    "MapServices.lampposts": (LOOK, nothing),
    "MapServices.districts": (AGGREGATES, lambda _: ("us",)),
    "MapServices.course": (LOOK, lambda w: (w.post, "us", 24)),
    "Posts.lamppost": (LOOK, lambda w: (w.tenant, w.name)),
    "Posts.detail": (LOOK, post),
    "Posts.facts": (LOOK, post),
    "Posts.series": (LOOK, lambda w: (w.series_id, *SPAN)),
    "Posts.verdicts": (LOOK, lambda w: (w.post, *SPAN)),
    "Incidents.open": (LOOK, nothing),
    "Incidents.newest": (LOOK, nothing),
    "Incidents.story": (LOOK, lambda w: (w.incident_id,)),
    "Incidents.act": (RUN, lambda w: (w.incident_id, "note", 1, "seen", None)),
    "Air.trace": (LOOK, lambda w: (_address(w), *SPAN)),
    "Air.index": (LOOK, lambda w: (_address(w), *SPAN)),
    "Air.calibrations": (LOOK, post),
    "Air.calibrate": (SET_UP, lambda w: (w.post, CALIBRATION)),
    "Orders.orders": (LOOK, post),
    "Orders.tell": (RUN, lambda w: (w.post, "ping", "")),
    "Orders.cancel": (RUN, lambda _: (999_999,)),
    "Orders.file": (LOOK, lambda _: (999_999,)),
    "Phone.standing": (LOOK, lambda _: (["claimed"],)),
    "Phone.claim": (LOOK, lambda w: (w.claim_id,)),
    "Phone.make_claim": (SET_UP, lambda _: (WISH,)),
    # who may look is told first that nobody has asked with it yet; who may not decide hears it after that
    "Phone.decide": (LOOK, lambda w: (w.claim_id, "0000", False)),
    "Phone.site": (LOOK, lambda w: (Address(w.tenant, w.name),)),
    "Phone.where": (LOOK, lambda w: (_address(w),)),
    "Phone.units": (LOOK, lambda w: (Address(w.tenant, w.name),)),
    "Phone.check": (SET_UP, lambda w: (Address(w.tenant, w.name), "0" * 32, Kind.NOTE, {"text": "x"})),
    "Phone.do": (SET_UP, lambda w: (Address(w.tenant, w.name), "0" * 32, Kind.PLACE, {"site": "Quay"})),
    "Phone.replace_device": (SET_UP, lambda w: (Address(w.tenant, w.name), "no id", {})),
    "Phone.hand_over": (SET_UP, lambda w: (Address(w.tenant, w.name), DONE)),
    "Phone.photo": (LOOK, lambda w: (Address(w.tenant, w.name), "0" * 64)),
    "Phone.report": (LOOK - {Role.VIEWER}, lambda _: ("0" * 32,)),
    "Phone.put_photo": (SET_UP, lambda w: (Address(w.tenant, w.name), b"", "", False)),
    "Phone.withdraw": (SET_UP, lambda w: (w.claim_id,)),
}
# These hold nothing of one city: whose id it is does not matter.
OF_NOBODY = {"MapServices.districts", "Orders.cancel", "Orders.file", "Phone.standing", "Phone.make_claim",
             "Phone.report"}  # fmt: skip


class Console:
    """The data modules over a database of two cities."""

    def __init__(self, services: Services, own: Mapping[str, Any], other: Mapping[str, Any]) -> None:
        self.modules = {
            type(each).__name__: each
            for each in (services, MapServices(services), Posts(services), Incidents(services), Air(services),
                         Orders(services), Phone(services))
        }  # fmt: skip
        posts = asyncio.run(services.lampposts(asker(Role.ADMIN, "*")))
        self.own, self.other = (
            SimpleNamespace(**whose, post=next(p for p in posts if p.tenant == whose["tenant"]))
            for whose in (own, other)
        )

    def ask(self, line: str, role: Role, whose: Any) -> Any:
        module, _, name = line.partition(".")
        arguments = LINES[line][1](whose)
        return asyncio.run(getattr(self.modules[module], name)(asker(role, PORTO), *arguments))


def asker(role: Role, tenant: str) -> SignedIn:
    who = Principal("operator", f"the-{role}", frozenset({role}), tenant)
    return SignedIn(who, datetime.now(UTC) + timedelta(hours=1), (tenant,))


@pytest.fixture(scope="module")
def console(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Console]:
    _create(postgres_server, "lamppost_pages", template_database)
    url = with_database(postgres_server, "lamppost_pages")
    with psycopg.connect(url) as connection:
        own, other = build(connection, PORTO), build(connection, LISBOA)
    folder = tmp_path_factory.mktemp("pages")
    Authority.init(folder / "authority", "Testing")
    services = Services(replace(make_context(url, folder), clock=StreetClock(wall_ms=lambda: float(NOW_MS))))
    yield Console(services, own, other)
    services.close()
    _drop(postgres_server, "lamppost_pages")


def test_every_function_that_is_given_who_asks_has_a_line(console: Console) -> None:
    found = {
        f"{module}.{name}"
        for module, data in console.modules.items()
        for name, function in inspect.getmembers(type(data), inspect.isfunction)
        if not name.startswith("_") and "by" in inspect.signature(function).parameters
    }
    assert found == LINES.keys()


def test_each_role_is_told_and_does_what_its_line_says(console: Console) -> None:
    wrong = []
    for line, (who, _) in LINES.items():
        for role in HUMAN_ROLES:
            try:
                refused = LISBOA in repr(console.ask(line, role, console.own))
            except OtherTenant:
                refused = True
            except Forbidden:
                refused = True
            except InputError:  # it may be asked, and is not in the state for it
                refused = False
            if refused == (role in who):
                wrong.append((line, str(role)))
    assert wrong == []


def test_what_is_another_tenants_is_not_on_any_page(console: Console) -> None:
    wrong = []
    for line, (who, ask) in LINES.items():
        if ask is nothing or line in OF_NOBODY:
            continue
        for role in (Role.ADMIN, Role.TECHNICIAN, Role.PARTNER):
            try:
                told = console.ask(line, role, console.other)
            except (NotFound, OtherTenant):
                continue
            except Forbidden:
                if role in who:
                    wrong.append((line, str(role), "forbidden"))
                continue
            wrong.append((line, str(role), repr(told)[:200]))
    assert wrong == []
