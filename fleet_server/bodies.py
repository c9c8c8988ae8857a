"""What every JSON body of the API is made of: a field that it does not have is told, as a parameter is.

A misspelt field would otherwise be left out in silence, and what it should have said be taken as usual.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

UNKNOWN_FIELD = "unknown_field"  # the kind of error; its context has `name` and `known`


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
                    said = {"name": str(name), "known": known}
                    raise PydanticCustomError(UNKNOWN_FIELD, "There is no such field here.", said)
        return sent
