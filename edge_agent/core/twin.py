"""What the server wishes of this lamppost (down/twin), and what is said of it (up/twin). Pure.

fleet_semantics.md S6: a version not above the one taken in is old news; a patch that was made for another
version than ours leaves a gap, and only the whole state counts then: the report, which names the version we
have, asks for it. What holds depends on the wishes that were taken in and on nothing before them, so that
every order of arrival ends the same: a refused wish leaves what the configuration says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from types import MappingProxyType

from edge_agent.core.words import fitting
from wire_contract.limits import MAX_MAP_ITEMS, MAX_SEQUENCE
from wire_contract.messages import SettingAck, TwinDesired, TwinReported
from wire_contract.settings import AT_RESTART, OK, REGISTRY, UNKNOWN, Value, sensor_of, verdict

Values = Mapping[str, Value]
Judge = Callable[[str, Value], tuple[int, str]]
"""What is thought of a wish: the code of its acknowledgement, and why where it is refused."""


@dataclass(frozen=True)
class Wish:
    """One desired setting. `version`: the desired version that brought it. `code`, `why`: as acknowledged."""

    value: Value
    code: int
    version: int
    why: str = ""


@dataclass(frozen=True)
class Twin:
    """`acknowledged`: the desired version taken in last. `version`: of our report; grows with each change."""

    acknowledged: int = 0
    version: int = 0
    wishes: Mapping[str, Wish] = field(default_factory=dict)


def judging(sensors: Collection[str], without: Mapping[str, str] = MappingProxyType({})) -> Judge:
    """The registry's verdict, and this lamppost's: a sensor that is not here has no settings. `without`:
    settings that nothing here obeys, and why."""

    def judge(key: str, value: Value) -> tuple[int, str]:
        code, why = verdict(key, value)
        name = sensor_of(key)
        if code == OK and name and name not in sensors:
            return UNKNOWN, "there is no sensor of this name here"
        if code == OK and key in without:
            return UNKNOWN, without[key]
        return code, why

    return judge


def take_in(twin: Twin, desired: TwinDesired, judge: Judge) -> Twin:
    """The twin after this message; the same object when it changes nothing."""
    base = desired.version - 1 if desired.base is None else desired.base
    if desired.version <= twin.acknowledged or (not desired.full and base != twin.acknowledged):
        return twin
    wishes = {} if desired.full else dict(twin.wishes)
    for key, value in desired.patch.items():
        if value is None:
            wishes.pop(key, None)
        else:
            wishes[key] = _wish(twin.wishes.get(key), value, desired.version, judge(key, value))
    return replace(twin, acknowledged=desired.version, version=twin.version + 1, wishes=wishes)


def _wish(before: Wish | None, value: Value, version: int, judged: tuple[int, str]) -> Wish:
    """A wish that is repeated unchanged stays the one it was."""
    code, why = judged
    again = before is not None and (before.value, before.code) == (value, code)
    return Wish(value, code, before.version if before is not None and again else version, fitting(why))


def judged_again(twin: Twin, judge: Judge) -> Twin:
    """After a start: a newer program may know a setting that the older one refused. The same object when it
    changes nothing."""
    wishes = {
        key: _wish(wish, wish.value, wish.version, judge(key, wish.value))
        for key, wish in twin.wishes.items()
    }
    return twin if wishes == twin.wishes else replace(twin, version=twin.version + 1, wishes=wishes)


def started(twin: Twin) -> Twin:
    """Each start says something new: another program, another configuration, what waited for it. Under a
    version that was told before, the server would take it for old news."""
    return replace(twin, version=twin.version + 1)


def wished(twin: Twin) -> dict[str, Value]:
    """The wishes that are obeyed."""
    return {key: wish.value for key, wish in twin.wishes.items() if wish.code == OK}


def in_force(configured: Values, twin: Twin, started_with: Values) -> dict[str, Value]:
    """What holds now: the configuration, above it what is wished; of what takes a restart, what the agent
    started with."""
    holds = {**configured, **wished(twin)}
    for key in holds:
        setting = REGISTRY.get(key)
        if setting is not None and setting.restart and key in started_with:
            holds[key] = started_with[key]
    return holds


def sensor_every_s(holds: Values, sensor: str, configured_s: float) -> float:
    """How often a sensor gives a sample: its own setting, else that of all, else as configured."""
    for key in (f"sensor.{sensor}.every_s", "sampling.every_s"):
        value = holds.get(key)
        if isinstance(value, int | float):
            return float(value)
    return configured_s


def report(twin: Twin, configured: Values, started_with: Values) -> TwinReported:
    """What holds now, and what became of each wish. A sensor's key is told only where the server named it."""
    holds = in_force(configured, twin, started_with)
    document: dict[str, Value | None] = dict(islice(sorted(holds.items()), MAX_MAP_ITEMS))
    acks = tuple(islice(_acks(twin, holds), MAX_MAP_ITEMS))
    return TwinReported(min(twin.version, MAX_SEQUENCE), twin.acknowledged, document, acks)


def _acks(twin: Twin, holds: Values) -> Iterator[SettingAck]:
    """What is not known here is not repeated: nobody can say what it is."""
    for key, wish in sorted(twin.wishes.items()):
        waits = wish.code == OK and holds.get(key) != wish.value
        code, why = (AT_RESTART, "from the agent's next start on") if waits else (wish.code, wish.why)
        value = None if code == UNKNOWN else wish.value
        yield SettingAck(key, value, code, min(wish.version, MAX_SEQUENCE), why)
