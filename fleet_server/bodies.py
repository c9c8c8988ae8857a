"""What every JSON body of the API is made of: a field that it does not have is told, as a parameter is.

A misspelt field would otherwise be left out in silence, and what it should have said be taken as usual.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class UnknownField(ValueError):
    """What was sent has a field `name`; `known` are those that there are."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__("there is no such field here")
        self.name, self.known = name, tuple(known)


class JsonBody(BaseModel):
    """Derive the model of every request's body from it, and of what lies within one; answers do not."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, sent: Any) -> Any:
        """Before all else: beside a misspelt field the right one is often missing."""
        if isinstance(sent, dict):
            known = [each.alias or name for name, each in cls.model_fields.items()]
            for name in sent:
                if name not in known:
                    raise UnknownField(str(name), known)
        return sent


def unknown_field(told: Mapping[str, Any]) -> UnknownField | None:
    """What one of pydantic's errors says of it, where it is one of these."""
    error = told.get("ctx", {}).get("error")
    return error if isinstance(error, UnknownField) else None
