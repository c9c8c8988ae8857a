"""Pages that are forms without a script: who asks, what is refused, how much is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fastapi import Request
from nicegui import app
from starlette.responses import RedirectResponse, Response

from dashboards.asked_from import answering, saying_why
from dashboards.sessions import Sessions
from dashboards.sign_in import unavailable_page
from fleet_server.access.service import SignedIn
from fleet_server.auditor import service as auditor
from fleet_server.errors import InvalidRequest, LamppostError, LinkError, TooLarge, problem_of

Handler = Callable[[Request, SignedIn], Awaitable[Response]]
Refused = Callable[[SignedIn, LamppostError], Awaitable[Response]]
FORM_MAX_BYTES = 16_384  # a note of 2,000 characters takes six bytes each at most
FIELDS_MOST = 96  # every scope of a token has a box
AWAY = "A part of the server does not answer just now."
LOOK = "Look in a moment whether it was done, and do it again if not."
NUMBER_MOST = 2**31 - 1  # of what the database numbers with four bytes
WHY = "why"  # the field that every form has for the reason
_PLAIN = "application/x-www-form-urlencoded"


def route(method: str, path: str, handler: Handler, known: Sessions, refused: Refused) -> None:
    """Serve `handler` to who is signed in; `refused` makes the page of what people are told."""

    async def answer(request: Request) -> Response:
        who = await known.of(request.session, app.storage.user)
        if who is None:  # the session ended between the guard and here
            return RedirectResponse("/sign-in", 303)
        with answering(request.client.host if request.client else ""):
            try:
                with saying_why(await _why(request)):
                    return await handler(request, who)
            except LinkError:
                return (
                    unavailable_page()
                    if method == "GET"
                    else await refused(who, LinkError(AWAY, remedy=LOOK))
                )
            except LamppostError as error:
                if not problem_of(error).shown:
                    raise
                return await refused(who, error)

    app.add_api_route(path, answer, methods=[method], include_in_schema=False)


def check_length(request: Request, most: int) -> None:
    """`most`: bytes of the body. Raises InvalidRequest where it does not say how long it is, TooLarge."""
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        raise InvalidRequest("A form says how long it is.")
    if int(length) > most:
        raise TooLarge(f"At most {most >> 10} KiB can be sent here.")


@dataclass(frozen=True)
class Given:
    """What stood in a form: names and values, in its order."""

    fields: tuple[tuple[str, str], ...]

    def one(self, name: str) -> str:
        """The first of this name, without blanks around it; "" where there is none."""
        return next((value.strip() for key, value in self.fields if key == name), "")

    @property
    def by_name(self) -> dict[str, str]:
        """As it was typed; of several by one name the last."""
        return dict(self.fields)

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value for key, value in self.fields if key == name))

    def number(self, name: str, most: int = NUMBER_MOST) -> int:
        """Raises InvalidRequest."""
        return number(self.one(name), name, most)


@dataclass(frozen=True)
class Typed:
    """A form that was refused, for the page that shows it again: its address and what stood in it."""

    at: str = ""
    given: Given = Given(())

    def into(self, at: str, hidden: Mapping[str, str] | None = None) -> bool:
        """Was it the form of that address, with these hidden fields?"""
        return at == self.at and all(self.given.one(name) == value for name, value in (hidden or {}).items())


NOTHING_TYPED = Typed()


async def typed(request: Request) -> Typed:
    """Raises InvalidRequest, TooLarge."""
    return Typed(request.url.path, await given(request))


async def given(request: Request) -> Given:
    """Of a form without files. Raises InvalidRequest, TooLarge."""
    check_length(request, FORM_MAX_BYTES)
    async with request.form(max_files=0, max_fields=FIELDS_MOST) as form:
        fields = tuple((name, value) for name, value in form.multi_items() if isinstance(value, str))
    return Given(fields)


async def _why(request: Request) -> str:
    """The reason that was typed; "" where the form has files, and no such field. Raises InvalidRequest,
    TooLarge."""
    if not request.headers.get("content-type", "").startswith(_PLAIN):
        return ""
    return auditor.checked_reason((await given(request)).one(WHY))


def number(text: str, what: str, most: int = NUMBER_MOST) -> int:
    """A whole number from 1 to `most`. Raises InvalidRequest."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 1 <= int(text) <= most):
        raise InvalidRequest(f"{what}: {text[:40]!r} is no whole number from 1 to {most}.")
    return int(text)
