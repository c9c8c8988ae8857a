"""The roll of all lampposts, as browsers are sent it: worked out once a look, however many pages show it.

A browser that has the last revision is sent what changed since, column by column: where five hundred
lampposts speak each second that is their values and instants, not their names and places again. Any other is
sent it whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards import view
from dashboards.model import Lamppost

Rows = Mapping[int, view.Row]


@dataclass(frozen=True)
class Ready:
    """A part of a message that is JSON already."""

    text: str


def encoded(message: Mapping[str, Any]) -> str:
    """The message as JSON."""
    parts = (
        f"{json.dumps(name)}:{value.text if isinstance(value, Ready) else compact(value)}"
        for name, value in message.items()
    )
    return "{" + ",".join(parts) + "}"


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


class Roll:
    """`take` what was read; `told` is the message for a browser at a revision."""

    def __init__(self) -> None:
        self.revision = 0
        self._rows: Rows = {}
        self._drains: dict[int, view.Draining] = {}
        self._whole: Ready | None = None
        self._step: dict[str, Any] = {}

    def take(self, lampposts: Sequence[Lamppost]) -> None:
        """What there is now. The revision goes up by one if anything differs."""
        rows = {post.id: view.row(post, self._drain(post)) for post in lampposts}
        self._drains = {i: drain for i, drain in self._drains.items() if i in rows}
        step = difference(self._rows, rows)
        if step or not self.revision:
            self._rows, self._whole = rows, None
            self._step = {name: Ready(compact(value)) for name, value in step.items()}
            self.revision += 1

    def told(self, has: int | None) -> dict[str, Any]:
        """For a browser that has revision `has`; None: nothing yet."""
        if has == self.revision:
            return {}
        if has == self.revision - 1 and has > 0:
            return self._step
        if self._whole is None:
            self._whole = Ready(compact(list(self._rows.values())))
        return {"roll": self._whole}

    def _drain(self, post: Lamppost) -> view.Draining | None:
        drain = view.draining(post, self._drains.get(post.id))
        if drain is None:
            self._drains.pop(post.id, None)
        else:
            self._drains[post.id] = drain
        return drain


def difference(old: Rows, new: Rows) -> dict[str, Any]:
    """rows: new ones, whole; gone: ids; cells: {name: [[ids], [values]]} of the others, where they differ."""
    cells: dict[str, tuple[list[int], list[Any]]] = {}
    fresh = []
    for i, row in new.items():
        before = old.get(i)
        if before is None or before.keys() != row.keys():
            fresh.append(row)
        elif before != row:
            for name, value in row.items():
                if before[name] != value:
                    ids, values = cells.setdefault(name, ([], []))
                    ids.append(i)
                    values.append(value)
    gone = [i for i in old if i not in new]
    return {k: v for k, v in {"rows": fresh, "gone": gone, "cells": cells}.items() if v}
