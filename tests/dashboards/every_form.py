"""Every form of the pages without a script, as the views draw it: what it sends to, and what it asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

from dashboards import (
    account_view,
    advance_view,
    groups_view,
    phone_parts,
    phone_site_view,
    phone_view,
    phone_work,
    phone_work_view,
    settings_view,
    sign_in_view,
    standing_view,
)
from dashboards.groups_page import MAY
from dashboards.phone_data import Standing
from fleet_server.access.rules import Principal
from fleet_server.access.service import SignedIn
from fleet_server.twin import groups
from tests.dashboards.test_desk_views import GROUP, SESSION, everything
from tests.dashboards.test_phone import SITE, UNITS
from wire_contract.settings import SETTINGS

AT = datetime(2026, 7, 21, 12, 30, tzinfo=UTC)
CLAIM = Standing(1, "22222222", "pending", "demo", "lamp", "", "aaaa-bbbb", "ana", "")
TOLD = {"id": "0" * 32, "why": "so"}


def like(**fields: Any) -> Any:
    """A record with as much in it as a view reads."""
    return SimpleNamespace(**fields)


def pages() -> Iterator[str]:
    """Every view that has a form, in each state that has one of its own."""
    yield from everything()
    yield sign_in_view.form("demo", "/", "", "", "") + sign_in_view.code("/", "t", "", None)
    me = SignedIn(Principal("operator", "ana", frozenset({"admin"}), "*"), AT, ("*",), 1)
    for has_factor in (True, False):
        yield account_view.overview(me, [SESSION], has_password=True, has_factor=has_factor)
    yield account_view.confirming(like(picture="", secret="x"))
    record = like(address="demo/lamp", state="active", site="", newest_sample_at=None)
    known = like(
        certificate=like(serial="ab" * 9, issued_at=AT, not_after=AT, not_before=AT),
        standing="good", reason="",
    )  # fmt: skip
    for state in ("active", "quarantined"):
        post = like(record=like(**vars(record) | {"state": state}))
        yield standing_view.page(post, [known], None, True, True, True)
    yield groups_view.bulk(like(id="b", counts={"queued": 1}), [], True)
    listed = replace(GROUP, query=None)
    yield groups_view.one(listed, groups.Members((), None), SETTINGS, dict.fromkeys(MAY, True))
    key = like(
        tenant="demo", device="lamp", site="", registered_key="k", created_by="ana", expires_at=AT,
        claim_id="22222222",
    )  # fmt: skip
    yield advance_view.keys([key], "", True, True)
    yield settings_view.change("/settings", SETTINGS)
    yield phone_view.claim_form({}) + phone_view.home([], [], True)
    for of in ("pending", "claimed"):
        yield phone_view.claim(replace(CLAIM, state=of), may_decide=True, may_withdraw=True, may_claim=True)
    yield phone_site_view.site(replace(SITE, units=UNITS), may_report=True, picture="")
    yield phone_work_view.sure_of_end("/field/demo/lamp", "lamp", TOLD)
    calibrating = TOLD | {"unit": "7:pm10", "source": "x", "slope": "1"}
    yield phone_work_view.sure_of_calibration(
        "/field/demo/lamp",
        phone_parts.Again("calibrate", calibrating),
        phone_work.calibration(calibrating, UNITS),
        "ana",
    )


@dataclass
class Form:
    """names: of its fields. words: on its buttons."""

    action: str
    names: set[str] = field(default_factory=set)
    words: str = ""


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._open: Form | None = None
        self._button = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        if tag == "form" and of.get("method") == "post":
            self._open = Form(str(of["action"]).partition("?")[0])
            self.found.append(self._open)
        elif self._open is not None and of.get("name"):
            self._open.names.add(str(of["name"]))
        self._button = tag == "button"

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        self._button = False

    def handle_data(self, data: str) -> None:
        if self._open is not None and self._button:
            self._open.words += data


def forms() -> list[Form]:
    """Those that change something; a search is none."""
    parser = _Forms()
    for page in pages():
        parser.feed(page)
    return parser.found
