"""What the lamppost makes of wishes: versions, refusals, what holds, what is said; and each is obeyed."""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import settings
from edge_agent.config_keys import ModelKeys, SpoolKeys, Telemetry
from edge_agent.core.quiet import is_quiet
from edge_agent.core.sealing import Pace
from edge_agent.core.spool_policy import Caps
from edge_agent.core.twin import (
    Twin,
    in_force,
    judged_again,
    judging,
    report,
    sensor_every_s,
    take_in,
    wished,
)
from edge_agent.io.clocks import SteppedClock
from edge_agent.io.twin_file import TwinFile
from edge_agent.loops.board import Board
from edge_agent.loops.twin import TwinKeeper
from tests.edge_agent.making import make_config
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.messages import TwinDesired, TwinReported
from wire_contract.settings import REGISTRY, SETTINGS, Value, setting_of, verdict

FLUSH, RUNTIME = "telemetry.flush_interval_s", "model.runtime"
JUDGE = judging(("front",))
HOUR_MS = 3_600_000
GARBAGE: tuple[object, ...] = (
    None,
    "",
    "x",
    "07:00",
    True,
    -1,
    0.5,
    1e300,
    float("nan"),
    float("inf"),
    [1],
    {},
)


def test_what_is_old_and_what_leaves_a_gap_changes_nothing() -> None:
    twin = take_in(Twin(), TwinDesired(3, {FLUSH: 5}, True), JUDGE)
    assert (twin.acknowledged, wished(twin)) == (3, {FLUSH: 5})
    for ignored in (
        TwinDesired(3, {FLUSH: 7}, True),
        TwinDesired(2, {FLUSH: 7}, True),
        TwinDesired(5, {FLUSH: 7}, False),  # without a base: of the version before
        TwinDesired(9, {FLUSH: 7}, False, 8),
        TwinDesired(9, {FLUSH: 7}, False, 2),
    ):
        assert take_in(twin, ignored, JUDGE) is twin
    assert wished(take_in(twin, TwinDesired(4, {FLUSH: 7}, False), JUDGE)) == {FLUSH: 7}
    assert wished(take_in(twin, TwinDesired(9, {FLUSH: 7}, False, 3), JUDGE)) == {FLUSH: 7}
    assert wished(take_in(twin, TwinDesired(9, {}, True), JUDGE)) == {}, "the whole, without it"
    assert wished(take_in(twin, TwinDesired(4, {FLUSH: None}, False), JUDGE)) == {}
    assert wished(take_in(twin, TwinDesired(4, {}, False), JUDGE)) == {FLUSH: 5}


def test_each_wish_is_answered_for_itself() -> None:
    patch: dict[str, Value | None] = {
        FLUSH: 61,
        "log.level": "debug",
        "sensor.front.every_s": 30,
        "sensor.back.every_s": 30,
        "colour": "red",
        RUNTIME: "rule",
    }
    twin = take_in(Twin(), TwinDesired(7, patch, False, 0), JUDGE)
    configured: dict[str, Value] = {FLUSH: 10.0, "log.level": "info", RUNTIME: "litert"}
    said = report(twin, configured, {RUNTIME: "litert"})
    assert {ack.key: (ack.ac, ack.av) for ack in said.acks or ()} == {
        FLUSH: (400, 7),
        "log.level": (200, 7),
        "sensor.front.every_s": (200, 7),
        "sensor.back.every_s": (404, 7),
        "colour": (404, 7),
        RUNTIME: (202, 7),
    }
    assert said.document == {
        FLUSH: 10.0,
        "log.level": "debug",
        "sensor.front.every_s": 30,
        RUNTIME: "litert",  # until it starts again
    }
    assert "must be a number from 1 to 60 s" in next(ack.ad for ack in said.acks or () if ack.key == FLUSH)
    again = report(twin, configured, {RUNTIME: "rule"})
    assert (again.document[RUNTIME], {ack.key: ack.ac for ack in again.acks or ()}[RUNTIME]) == ("rule", 200)


def test_a_wish_that_is_repeated_keeps_the_version_that_brought_it() -> None:
    twin = take_in(Twin(), TwinDesired(3, {FLUSH: 5, "log.level": "debug"}, True), JUDGE)
    twin = take_in(twin, TwinDesired(8, {FLUSH: 5, "log.level": "error"}, True), JUDGE)
    assert {key: wish.version for key, wish in twin.wishes.items()} == {FLUSH: 3, "log.level": 8}


def test_a_newer_program_obeys_what_the_older_one_did_not_know() -> None:
    old = take_in(
        Twin(),
        TwinDesired(3, {FLUSH: 5, "log.level": "debug"}, True),
        lambda k, _: (200, "") if k == FLUSH else (404, "there is no such setting here"),
    )
    new = judged_again(old, JUDGE)
    assert (wished(old), wished(new)) == ({FLUSH: 5}, {FLUSH: 5, "log.level": "debug"})
    assert (new.version, new.acknowledged) == (old.version + 1, 3)
    assert judged_again(new, JUDGE) is new


def test_each_start_says_something_new(tmp_path: Path) -> None:
    """What a report says changes with program and file; under the same version it would be old news."""
    clock = SteppedClock(8 * HOUR_MS)
    shelf = TwinFile(tmp_path / "twin.json", clock.now_ms)
    told: list[TwinReported] = []

    def publish(payload: bytes) -> None:
        message = decode(payload)
        assert isinstance(message, TwinReported)
        told.append(message)

    def start(runtime: str, *sensors: str) -> TwinKeeper:
        configured: dict[str, Value] = {RUNTIME: runtime}
        made = TwinKeeper(shelf, Board(clock), configured, sensors, lambda *_: None, publish)
        made.tell()
        return made

    start("litert", "front").desired(TwinDesired(1, {"sensor.front.every_s": 5}, True))
    start("rule", "front")
    start("rule")  # without the sensor: its setting is refused
    start("rule", "front").desired(TwinDesired(2, {}, True))
    versions = [each.version for each in told]
    assert versions == sorted(set(versions)), "each counts for more than the one before"
    assert [each.acknowledged for each in told] == [0, 1, 1, 1, 1, 2]


_KEYS = st.sampled_from([FLUSH, "log.level", "sensor.front.every_s", "colour", RUNTIME])
_VALUES = st.sampled_from([1, 5, 30.0, 61, "debug", "rule", True])


@given(st.lists(st.dictionaries(_KEYS, _VALUES), min_size=1, max_size=6), st.data())
def test_what_holds_depends_on_the_last_whole_state_alone(
    states: list[dict[str, Value]], data: st.DataObject
) -> None:
    """Whatever was seen before: refused wishes leave no trace."""
    seen = data.draw(st.lists(st.integers(0, len(states) - 1)))
    twin = Twin()
    for index in [*seen, len(states) - 1]:
        twin = take_in(twin, TwinDesired(index + 1, dict(states[index]), True), JUDGE)
    fresh = take_in(Twin(), TwinDesired(len(states), dict(states[-1]), True), JUDGE)
    assert (twin.acknowledged, wished(twin)) == (fresh.acknowledged, wished(fresh))
    assert {k: (w.value, w.code) for k, w in twin.wishes.items()} == {
        k: (w.value, w.code) for k, w in fresh.wishes.items()
    }


# -- the registry ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", SETTINGS, ids=lambda each: each.key)
def test_every_setting_says_what_it_takes_and_refuses_garbage(each: object) -> None:
    setting = next(one for one in SETTINGS if one is each)
    key = setting.key.replace("*", "front")
    assert setting_of(key) is setting
    assert setting.allows
    if setting.default is not None:
        assert verdict(key, setting.default) == (200, "")
    for value in GARBAGE:
        code, why = verdict(key, value)
        assert (code == 200) == (why == "")
        assert code == 200 or why == f"must be {setting.allows}"
    if setting.kind != "text":
        assert setting.problem("1")
        assert setting.low is not None
        assert setting.high is not None
        for value in (setting.low - 1, setting.high * 2 + 1, float("nan"), True):
            assert setting.problem(value)


@pytest.mark.parametrize(
    "key", ["", "log", "sensor.*.every_s", "sensor..every_s", "sensor.every_s", "a\nb", "x" * 65]
)
def test_a_key_that_is_none_is_unknown(key: str) -> None:
    assert verdict(key, 1)[0] == 404


@pytest.mark.parametrize(
    ("section", "kind"), [("telemetry", Telemetry), ("spool", SpoolKeys), ("model", ModelKeys)]
)
def test_the_configuration_allows_what_the_registry_allows(section: str, kind: type) -> None:
    """Else a wish would be obeyed that the same agent's file could not say, or the other way round."""
    for entry in fields(kind):
        setting = REGISTRY.get(f"{section}.{entry.name}")
        if setting is not None:
            low, high, choices = (entry.metadata[name] for name in ("low", "high", "choices"))
            assert (setting.low, setting.high, setting.choices) == (low, high, choices), entry.name
            assert setting.default == entry.default


# -- obeyed ----------------------------------------------------------------------------------------------


class Sampler:
    def __init__(self, name: str) -> None:
        self.name, self.configured_every_s, self.every_s = name, 60.0, 60.0

    def sample_each(self, every_s: float) -> None:
        self.every_s = every_s


def test_every_setting_reaches_whoever_obeys_it(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    configured = settings.configured(config)
    assert {*configured, settings.VERSION} >= {e.key for e in SETTINGS if e.default is not None}
    clock = SteppedClock(8 * HOUR_MS)
    heard: dict[str, object] = {}
    front, back = Sampler("front"), Sampler("back")
    quiet = settings.QuietHours(clock)
    obey = settings.Obedience(
        pace=lambda pace: heard.update(pace=pace),
        caps=lambda caps: heard.update(caps=caps),
        refresh=lambda s: heard.update(refresh=s),
        samplers=(front, back),
        quiet=quiet,
        budget=lambda mb: heard.update(budget=mb),
    )
    wishes: dict[str, Value] = {
        FLUSH: 2, "telemetry.history_span_s": 600, "telemetry.diagnostic_interval_s": 30,
        "presence.refresh_s": 300, "sampling.every_s": 20, "sensor.front.every_s": 5,
        "spool.max_bytes": 2 << 20, "spool.min_free_bytes": 1, "spool.min_free_inodes": 2,
        "spool.history_ttl_days": 3, "spool.diagnostic_ttl_days": 4,
        "history.quiet_hours": "07:00-09:30", "data.budget_mb": 100, "log.level": "debug",
    }  # fmt: skip
    twin = take_in(Twin(), TwinDesired(1, dict(wishes), True), JUDGE)
    before = logging.getLogger("lamppost").level
    try:
        obey(in_force(configured, twin, {}), wishes.keys())
        assert logging.getLogger("lamppost").level == logging.DEBUG
    finally:
        logging.getLogger("lamppost").setLevel(before)
    assert heard == {
        "pace": Pace(2.0, 600.0, 30.0),
        "caps": Caps(2 << 20, 1, 2, 3.0, 4.0),
        "refresh": 300.0,
        "budget": 100.0,
    }
    assert (front.every_s, back.every_s) == (5.0, 20.0)
    assert quiet.paused() == {Class.HISTORY}
    assert {*wishes, RUNTIME} == {each.key.replace("*", "front") for each in SETTINGS}, (
        "a setting nobody obeys"
    )
    twin = take_in(Twin(), TwinDesired(1, {RUNTIME: "rule"}, True), JUDGE)
    assert settings.at_start(config, twin).model.runtime == "rule"


def test_a_sensor_follows_its_own_setting_then_that_of_all_then_its_file() -> None:
    assert sensor_every_s({"sensor.a.every_s": 5, "sampling.every_s": 7}, "a", 60.0) == 5.0
    assert sensor_every_s({"sensor.a.every_s": 5, "sampling.every_s": 7}, "b", 60.0) == 7.0
    assert sensor_every_s({"sensor.a.every_s": 5}, "b", 60.0) == 60.0


@pytest.mark.parametrize(
    ("hours", "minute", "quiet"),
    [
        ("", 0, False),
        ("07:00-09:30", 419, False),
        ("07:00-09:30", 420, True),
        ("07:00-09:30", 569, True),
        ("07:00-09:30", 570, False),
        ("22:00-06:00", 1439, True),
        ("22:00-06:00", 0, True),
        ("22:00-06:00", 360, False),
        ("07:00-07:00", 420, False),
    ],
)
def test_quiet_hours(hours: str, minute: int, quiet: bool) -> None:
    assert is_quiet(hours, (20_000 * 1440 + minute) * 60_000 + 59_999) is quiet


# -- kept ------------------------------------------------------------------------------------------------


def test_a_file_of_the_first_version_and_one_that_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "twin.json"
    shelf = TwinFile(path, lambda: 1234)
    assert shelf.load() == Twin(version=1234), "above everything that was told before"
    path.write_text('{"acknowledged": 3, "version": 2, "flush_s": 5.0, "refused": {"x": "no"}}')
    assert (shelf.load().acknowledged, wished(shelf.load())) == (3, {FLUSH: 5.0})
    kept = take_in(Twin(), TwinDesired(9, {FLUSH: 5, "colour": "red"}, True), JUDGE)
    shelf.save(kept)
    assert shelf.load() == replace(kept, version=1234), "as above"
    for garbage in (b"", b"{", b"[]", b'{"acknowledged": "x"}', b"\xff"):
        path.write_bytes(garbage)
        assert shelf.load() == Twin(version=1234)


def test_an_older_file_that_was_put_back_tells_of_itself_as_new(tmp_path: Path) -> None:
    """Under a version that was told before, the server would take it for old news."""
    clock = SteppedClock(1_000)
    shelf = TwinFile(tmp_path / "twin.json", clock.now_ms)
    shelf.save(Twin(acknowledged=3, version=1_001))
    copy = (tmp_path / "twin.json").read_bytes()
    shelf.save(Twin(acknowledged=9, version=1_040))
    (tmp_path / "twin.json").write_bytes(copy)
    clock.step_to(2_000)
    assert shelf.load() == Twin(acknowledged=3, version=2_000)
    clock.step_to(5)  # it does not know the time
    assert shelf.load().version == 1_001
