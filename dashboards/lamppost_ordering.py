"""The part of a lamppost's page where it is told things: the element, and what its events do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nicegui import ui
from nicegui.events import GenericEventArguments

from dashboards.asked_from import saying_why, why_in
from dashboards.hub import Hub
from dashboards.lamppost_orders import Order, Wish, wish_of
from dashboards.model import Lamppost
from dashboards.topics import Key
from fleet_server.access.service import SignedIn
from fleet_server.errors import LamppostError

EVERY_S = 2.0  # what a person waits for; states change without a commit of the lamppost's, too


class OrderSource(Protocol):
    """Raises LinkError, Forbidden, NotFound, and other LamppostErrors that tell why not."""

    async def orders(self, by: SignedIn, lamppost: Lamppost) -> Sequence[Order]: ...
    async def tell(self, by: SignedIn, lamppost: Lamppost, command: str, reason: str) -> None: ...
    async def cancel(self, by: SignedIn, number: int) -> None: ...
    async def file(self, by: SignedIn, number: int) -> tuple[str, bytes]: ...


class PostOrders(ui.element, component="elements/lamppost_page_orders.js"):
    """What it was told, and the way to tell it more."""


def key_of(lamppost: Lamppost) -> Key:
    return ("orders", lamppost.id)


async def obey(
    event: GenericEventArguments,
    hub: Hub,
    who: SignedIn,
    post: Lamppost | None,
    source: OrderSource,
    element: PostOrders,
) -> None:
    """Do what the browser asks for, and tell it how that went."""
    wish, problem = wish_of(event.args), ""
    if wish is None or post is None:
        problem = "The browser sent what is not understood."
    else:
        try:
            await _do(wish, why_in(event.args), who, post, source)
        except LamppostError as refused:
            problem = str(refused)
        hub.forget(key_of(post))
    element.run_method("answered", problem)


async def _do(wish: Wish, why: str, who: SignedIn, post: Lamppost, source: OrderSource) -> None:
    match wish.what:
        case "tell":
            await source.tell(who, post, wish.command, why)
        case "cancel":
            with saying_why(why):
                await source.cancel(who, wish.number)
        case "save":
            name, content = await source.file(who, wish.number)
            ui.download.content(content, name, "application/zstd")
