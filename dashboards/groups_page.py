"""What many lampposts share: the tenant's settings, groups with theirs, and what all of a group is told."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from dashboards import forms, settings_view
from dashboards import groups_view as view
from dashboards.desk import Desk
from dashboards.lamppost_orders import OFFERED
from fleet_server.access.service import SignedIn, permitted
from fleet_server.commands import service as commands
from fleet_server.commands.service import Ask, CommandName, Wanted, groups
from fleet_server.errors import Forbidden, InputError, InvalidRequest, LamppostError, NotFound
from fleet_server.twin import service as twin
from fleet_server.twin.service import Wish

AREA = "groups"
MEMBERS_SHOWN = 100
COMMANDS_SHOWN = 100
PRIORITY_MOST_CHARACTERS = 6
DONE = {
    "settings": "It is wished; it reaches the lampposts within seconds.",
    "members": "They are these now.",
}
MAY = {"change": "groups:change", "settings": "twin:change", "tell": "devices:command"}


def register(desk: Desk) -> None:
    pages = _Pages(desk)
    desk.register(
        AREA,
        [
            ("GET", "/settings", pages.settings),
            ("POST", "/settings", pages.change_tenant),
            ("GET", "/groups", pages.listed),
            ("POST", "/groups", pages.make),
            ("GET", "/groups/{name}", pages.one),
            ("POST", "/groups/{name}/settings", pages.change_group),
            ("POST", "/groups/{name}/add", pages.add),
            ("POST", "/groups/{name}/remove", pages.remove),
            ("POST", "/groups/{name}/tell", pages.tell),
            ("POST", "/groups/{name}/delete", pages.delete),
            ("GET", "/bulk/{bulk}", pages.bulk),
            ("POST", "/bulk/{bulk}/cancel", pages.cancel),
        ],
    )


class _Pages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ask = desk.services.ask

    async def settings(self, request: Request, who: SignedIn) -> Response:
        return await self._settings(who, done=_done(request))

    async def change_tenant(self, request: Request, who: SignedIn) -> Response:
        given = await forms.given(request)
        try:
            await self._ask(twin.change_tenant_settings, who.principal, await self._wish(who, given))
        except InputError as refused:
            if isinstance(refused, Forbidden):
                raise
            return await self._settings(who, given, refused)
        return RedirectResponse("/settings?done=settings", 303)

    async def listed(self, _request: Request, who: SignedIn) -> Response:
        return await self._listed(who)

    async def make(self, request: Request, who: SignedIn) -> Response:
        given = await forms.given(request)
        try:
            made = await self._ask(
                groups.create,
                who.principal,
                given.one("name").lower(),
                title=given.one("title"),
                text=given.one("query") or None,
                priority=_priority(given.one("priority")),
            )
        except InputError as refused:
            if isinstance(refused, Forbidden):
                raise
            return await self._listed(who, given, refused)
        return RedirectResponse(f"/groups/{made.name}", 303)

    async def one(self, request: Request, who: SignedIn) -> Response:
        after = request.query_params.get("after", "")
        return await self._one(
            who, _name(request), forms.number(after, "after") if after else 0, done=_done(request)
        )

    async def change_group(self, request: Request, who: SignedIn) -> Response:
        name, given = _name(request), await forms.given(request)
        try:
            await self._ask(groups.change_settings, who.principal, name, await self._wish(who, given))
        except InputError as refused:
            if isinstance(refused, Forbidden | NotFound):
                raise
            return await self._one(who, name, typed=given, problem=refused)
        return RedirectResponse(f"/groups/{name}?done=settings", 303)

    async def add(self, request: Request, who: SignedIn) -> Response:
        name, names = _name(request), (await forms.given(request)).one("names").split()
        await self._ask(groups.change_members, who.principal, name, add=names)
        return RedirectResponse(f"/groups/{name}?done=members", 303)

    async def remove(self, request: Request, who: SignedIn) -> Response:
        name, names = _name(request), (await forms.given(request)).one("names").split()
        await self._ask(groups.change_members, who.principal, name, remove=names)
        return RedirectResponse(f"/groups/{name}?done=members", 303)

    async def tell(self, request: Request, who: SignedIn) -> Response:
        name, given = _name(request), await forms.given(request)
        command = given.one("command")
        if command not in OFFERED:
            raise InvalidRequest("There is no such command.", remedy="Choose one of the list.")
        wanted = Ask(CommandName(command), reason=given.one(forms.WHY))
        told = await self._ask(commands.ask_group, who.principal, name, wanted, given.number("rate"))
        return RedirectResponse(f"/bulk/{told.id}", 303)

    async def delete(self, request: Request, who: SignedIn) -> Response:
        await self._ask(groups.delete, who.principal, _name(request))
        return RedirectResponse("/groups", 303)

    async def bulk(self, request: Request, who: SignedIn) -> Response:
        found = await self._ask(commands.get_bulk, who.principal, request.path_params["bulk"])
        wanted = Wanted(bulk=found.id, limit=COMMANDS_SHOWN)
        listed = await self._ask(commands.list_commands, who.principal, wanted)
        body = view.bulk(found, listed, permitted(who.principal, "devices:command"))
        return await self._desk.answer(who, f"{found.commands} commands", body, area=AREA, wide=True)

    async def cancel(self, request: Request, who: SignedIn) -> Response:
        found = await self._ask(commands.cancel_bulk, who.principal, request.path_params["bulk"])
        return RedirectResponse(f"/bulk/{found.id}", 303)

    async def _wish(self, who: SignedIn, given: forms.Given) -> Wish:
        """One setting; an empty value takes it away. Raises InvalidRequest."""
        key, registry = given.one("key"), await self._ask(twin.registry, who.principal)
        value = settings_view.value_of(given.one("value"), key, registry)
        return Wish(twin.patch_of({key: value}, "the setting"))

    async def _settings(
        self,
        who: SignedIn,
        typed: forms.Given = view.EMPTY,
        problem: LamppostError | None = None,
        done: str = "",
    ) -> Response:
        found = await self._ask(twin.tenant_settings, who.principal)
        registry = await self._ask(twin.registry, who.principal)
        body = settings_view.there(found.settings, registry)
        if permitted(who.principal, MAY["settings"]):
            body += settings_view.change("/settings", registry, typed)
        body = f'<section>{body}</section><p><a href="/groups">Groups, whose settings go before these</a></p>'
        title = f"What all lampposts of {found.tenant} are to do"
        return await self._desk.answer(who, title, body, area=AREA, problem=problem, done=done, wide=True)

    async def _listed(
        self, who: SignedIn, typed: forms.Given = view.EMPTY, problem: LamppostError | None = None
    ) -> Response:
        found = await self._ask(groups.groups, who.principal)
        body = view.listing(found, permitted(who.principal, MAY["change"]), typed)
        return await self._desk.answer(who, "Groups", body, area=AREA, problem=problem, wide=True)

    async def _one(
        self,
        who: SignedIn,
        name: str,
        after: int = 0,
        typed: forms.Given = view.EMPTY,
        problem: LamppostError | None = None,
        done: str = "",
    ) -> Response:
        found = await self._ask(groups.group, who.principal, name)
        members = await self._ask(groups.members, who.principal, name, after=after, limit=MEMBERS_SHOWN)
        registry = await self._ask(twin.registry, who.principal)
        may = {what: permitted(who.principal, action) for what, action in MAY.items()}
        body = view.one(found, members, registry, may, typed)
        return await self._desk.answer(who, name, body, area=AREA, problem=problem, done=done, wide=True)


def _done(request: Request) -> str:
    return DONE.get(request.query_params.get("done", ""), "")


def _name(request: Request) -> str:
    return str(request.path_params["name"])


def _priority(text: str) -> int:
    """0 for nothing. Raises InvalidRequest."""
    digits = text.removeprefix("-")
    if not text:
        return 0
    if not (digits.isascii() and digits.isdigit() and len(text) <= PRIORITY_MOST_CHARACTERS):
        raise InvalidRequest(f"{text[:40]!r} is no priority.", remedy="Write a whole number, such as 10.")
    return int(text)
