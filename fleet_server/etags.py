"""Validators of answers (RFC 9110, section 8.8): an entity tag made of a version that is cheap to read.

The version is read before the answer is made. What changes in between makes the tag older than the body: the
next look then brings the body once more, and never hides a change.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

CACHE_CONTROL = "private, no-cache"  # keep it, and ask each time whether it still holds
_TAG_CHARACTERS = 22  # 132 bits
_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_MOST_TAGS = 64  # in one If-None-Match; who sends more sends nonsense


def entity_tag(request: Request, *parts: object) -> str:
    """The weak tag of the answer to this question: its address, its parameters, and `parts` of the data.

    Weak: the same data, not the same bytes, which the program's next version may write otherwise.
    """
    asked = sorted(request.query_params.multi_items())
    text = repr((_program(), request.url.path, asked, parts))
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:_TAG_CHARACTERS]}"'


def unchanged(request: Request, tag: str) -> Response | None:
    """304 where the asker has what `tag` names; None where the answer has to be made."""
    given = ",".join(request.headers.getlist("if-none-match")).strip()
    if not given:
        return None
    known = [each.group(1) for each in _TAG.finditer(given)][:_MOST_TAGS]
    if given != "*" and tag.removeprefix("W/").strip('"') not in known:
        return None
    return Response(status_code=304, headers=headers(tag))


def headers(tag: str) -> dict[str, str]:
    """What goes with every answer that has a tag. Who may see it depends on the session."""
    return {"ETag": tag, "Cache-Control": CACHE_CONTROL, "Vary": "Authorization, Cookie"}


def answered(tag: str, made: BaseModel, more: Mapping[str, str]) -> Response:
    """`made` as JSON with its tag: straight, where a route's result would be checked once more."""
    return Response(made.model_dump_json(), media_type="application/json", headers={**more, **headers(tag)})


def answered_by_content(request: Request, body: bytes, more: Mapping[str, str]) -> Response:
    """JSON whose tag is made of itself, or 304: for answers that are as cheap to make as their version."""
    tag = entity_tag(request, hashlib.sha256(body).digest())
    same = unchanged(request, tag)
    if same is not None:
        return same
    return Response(body, media_type="application/json", headers={**more, **headers(tag)})


@cache
def _program() -> str:
    try:
        return version("lamppost")
    except PackageNotFoundError:  # run from a folder that nobody installed
        return ""
