"""Texts from outside (a sensor's serial, an error's words) made to fit the wire. Pure."""

from __future__ import annotations

from wire_contract.limits import MAX_NAME_CHARACTERS, MAX_TEXT_CHARACTERS


def fitting(text: str, most: int = MAX_TEXT_CHARACTERS) -> str:
    """At most so many characters that UTF-8 and PostgreSQL can hold; a message must never be unencodable."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")[:most]


def fitting_name(text: str) -> str:
    """The same for codes, subjects, serials and sites."""
    return fitting(text, MAX_NAME_CHARACTERS)
