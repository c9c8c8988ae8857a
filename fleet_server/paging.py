"""Pages by key: an opaque cursor says after which row the next page begins, and of which question it is.

A page is found by the key of the last row before it, never by counting rows: what is inserted meanwhile moves
nothing, so the pages put together hold every row that was there all along, once.
A cursor is no secret and gives no right: it holds a key's values, which are looked at like any other input.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request

from fleet_server.errors import InputError

Scalar = int | str
MOST_CHARACTERS = 2_048  # of a cursor: a key of the longest district, channel and unit is under 600
_FORM = 1  # of what is inside; another one is refused like garbage
_DIGEST_CHARACTERS = 16  # 64 bits: a mistake is found, and nobody gains by a forgery
_NOT_THE_QUESTION = {"cursor", "limit"}  # these say which page, not which list
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64 = range(-(2**63), 2**63)


class BadCursor(InputError):
    """It is no cursor, or it is one of another question."""


def sealed(question: str, key: Iterable[Scalar]) -> str:
    """The cursor after the row with `key`; `question` tells one list from every other."""
    inside = json.dumps([_FORM, _digest(question), *key], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(inside).rstrip(b"=").decode()


def opened(question: str, cursor: str, kinds: tuple[type[Scalar], ...]) -> tuple[Any, ...]:
    """The key in `cursor`: values of `kinds`, integers within 64 bits. Raises BadCursor."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        inside = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):  # not ASCII, not base64, not UTF-8, not JSON
        raise _garbage() from None
    if not isinstance(inside, list) or len(inside) < 2 or inside[0] != _FORM:
        raise _garbage()
    if inside[1] != _digest(question):
        raise BadCursor(
            "The cursor is of another question.",
            remedy="Repeat the address and every parameter of the first page, or follow its Link header.",
        )
    key = inside[2:]
    if [type(value) for value in key] != list(kinds):
        raise _garbage()
    if any(isinstance(value, int) and value not in _INT64 for value in key):
        raise _garbage()
    if any(isinstance(value, str) and "\0" in value for value in key):
        raise _garbage()
    return tuple(key)


def micros(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def instant(value: int) -> datetime:
    """The reverse of `micros`. Raises BadCursor for what no calendar has."""
    try:
        return _EPOCH + timedelta(microseconds=value)
    except OverflowError:
        raise _garbage() from None


class Pages:
    """One list's pages, over HTTP: which one is asked for, and the way to the next."""

    def __init__(self, request: Request, cursor: str | None, *kinds: type[Scalar]) -> None:
        """cursor: the parameter of that name. Raises BadCursor."""
        self._url = request.url
        asked = sorted(
            (name, value)
            for name, value in request.query_params.multi_items()
            if name not in _NOT_THE_QUESTION
        )
        self._question = json.dumps([request.url.path, asked])
        self.headers: dict[str, str] = {}  # to be sent with the page
        self.key = None if cursor is None else opened(self._question, cursor, kinds)

    def next(self, key: Iterable[Scalar] | None) -> str | None:
        """The cursor after `key`, and a Link header (RFC 8288) with it; None on the last page."""
        if key is None:
            return None
        cursor = sealed(self._question, key)
        target = self._url.include_query_params(cursor=cursor)
        relative = f"{target.path}?{target.query}"  # as the asker sees it, whatever proxy stands between
        self.headers["Link"] = f'<{relative}>; rel="next"'
        return cursor


def _digest(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:_DIGEST_CHARACTERS]


def _garbage() -> BadCursor:
    return BadCursor(
        "This is no cursor.", remedy="Give back `next` of the page before as it is; begin without one."
    )
