"""Resource paths (OGC 18-088, 9.2): `Things(1)/Datastreams(3)/Observations`, `../name/$value`, `../$ref`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fleet_server.errors import NotFound
from fleet_server.sensorthings.entities import BY_NAME, BY_SET, Entity

MAX_STEPS = 10
_SEGMENT = re.compile(r"([A-Za-z$@][A-Za-z0-9_.@$]*)(?:\((?:(\d{1,18})|'((?:[^']|'')*)')\))?", re.ASCII)


@dataclass(frozen=True)
class Step:
    """A set or a navigation property, and the key of one of it."""

    name: str
    key: int | str | None = None


@dataclass(frozen=True)
class Resource:
    """steps lead to `entity`, to one of it or (many) to a set of it; then a property of it, its bare value.

    references: only the links of the set are wanted.
    """

    steps: tuple[Step, ...]
    entity: Entity
    many: bool
    property: tuple[str, ...] = ()
    value: bool = False
    references: bool = False


def parse_resource(path: str) -> Resource:
    """`path` without the service's root, decoded. Raises NotFound with the segment that leads nowhere."""
    segments = _split(path)
    first = _segment(segments[0])
    if first.name not in BY_SET:
        raise NotFound(f"There is no set {first.name!r:.60}.", remedy=f"There are {', '.join(BY_SET)}.")
    entity, steps = BY_SET[first.name], [first]
    many = first.key is None
    for at, segment in enumerate(segments[1:], 1):
        if segment == "$ref" and at == len(segments) - 1:
            return Resource(tuple(steps), entity, many, references=True)
        step = _segment(segment)
        if many:
            raise NotFound(
                f"{segment!r:.60} is asked of many: say which, {steps[-1].name}(id)/{segment:.60}."
            )
        navigation = entity.navigations.get(step.name)
        if navigation is None:
            return _property(steps, entity, segments[at:])
        if step.key is not None and not navigation.many:
            raise NotFound(f"{step.name} is one: ask without a key.")
        entity, many = BY_NAME[navigation.target], navigation.many and step.key is None
        steps.append(step)
    return Resource(tuple(steps), entity, many)


def _property(steps: list[Step], entity: Entity, rest: list[str]) -> Resource:
    value = rest[-1] == "$value"
    names = tuple(rest[:-1] if value else rest)
    known = [*entity.members, "id", *entity.navigations]
    if not names or (names[0] not in entity.members and names[0] not in ("id", "@iot.id")):
        raise NotFound(f"{entity.name} has no {rest[0]!r:.60}.", remedy=f"There are {', '.join(known)}.")
    return Resource(tuple(steps), entity, False, names, value)


def _split(path: str) -> list[str]:
    """At slashes outside of quotes."""
    parts = re.findall(r"(?:[^/']|'(?:[^']|'')*')+", path)
    if not parts or "/".join(parts) != path.strip("/"):
        raise NotFound(f"There is nothing at {path!r:.80}.")
    if len(parts) > MAX_STEPS:
        raise NotFound(f"A path has at most {MAX_STEPS} segments.")
    return parts


def _segment(text: str) -> Step:
    found = _SEGMENT.fullmatch(text)
    if found is None:
        raise NotFound(
            f"{text!r:.60} is no segment of a path.", remedy="Write Things, Things(1) or Name('id')."
        )
    name, number, quoted = found.groups()
    if number is not None:
        return Step(name, int(number))
    return Step(name, None if quoted is None else quoted.replace("''", "'"))
