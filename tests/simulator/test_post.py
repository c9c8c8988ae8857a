"""A simulated lamppost and its settings: it obeys what it can, and refuses the rest by name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from firmware_bridge.kinds import SensorKind
from simulator.clock import CityClock
from simulator.mqtt import LoopBroker
from simulator.post import WITHOUT, Entries, Setting, SimulatedPost
from simulator.settings import Source
from simulator.street import Sensors, scene
from simulator.tally import Tally
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.messages import TwinDesired, TwinReported
from wire_contract.settings import SETTINGS, Value
from wire_contract.topics import Address, Up

WISHED: dict[str, Value] = {
    "telemetry.flush_interval_s": 2,
    "telemetry.history_span_s": 120,
    "telemetry.diagnostic_interval_s": 9,
    "presence.refresh_s": 77,
    "sampling.every_s": 40,
    "spool.max_bytes": 5 << 20,
    "spool.min_free_bytes": 1 << 20,
    "spool.min_free_inodes": 3,
    "spool.history_ttl_days": 2,
    "spool.diagnostic_ttl_days": 1,
    "history.quiet_hours": "00:00-23:59",
    "data.budget_mb": 9,
    "log.level": "debug",
    "model.runtime": "rule",
}


class Silence:
    """A broker that nobody answers at."""

    def disconnect(self) -> None: ...


def test_settings_are_obeyed_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert WISHED.keys() | {"sensor.*.every_s"} == {each.key for each in SETTINGS}, "of each it is decided"
    told: list[TwinReported] = []

    async def life() -> None:
        clock = CityClock(1.0, 1_790_000_000_000, 0)
        sensors = Sensors((SensorKind.SDS011,), scene(Source(), 0, (0.0, 0.0), 0), 1)
        setting = Setting(Address("city", "sim-00001"), tmp_path / "spool", 10.0, 5.0, sensors)
        post = SimulatedPost(setting, clock, cast(LoopBroker, Silence()), Tally(), Entries())

        def publish(channel: Up, payload: bytes) -> None:
            said = decode(payload)
            assert isinstance(said, TwinReported)
            told.append(said)

        monkeypatch.setattr(post.link, "publish_now", publish)
        post._twin.tell()
        post._twin.desired(TwinDesired(1, {**WISHED, "sensor.front.every_s": 5}, True))
        post.spooler._wait()
        while not post.link._inbox.empty():
            post.link._inbox.get()()
        pace, caps = post.spooler._pace, post.spooler._room._caps
        assert (pace.live_s, pace.history_s, pace.news_s) == (2.0, 120.0, 9.0)
        assert (caps.max_bytes, caps.min_free_bytes, caps.min_free_inodes) == (5 << 20, 1 << 20, 3)
        assert (caps.history_ttl_days, caps.diagnostic_ttl_days) == (2.0, 1.0)
        assert (post._every_s, post.link._refresh_s) == (40.0, 77.0)
        assert post.link._paused() == {Class.HISTORY}
        post.stop_sampling()
        post._twin.desired(TwinDesired(2, {"sampling.every_s": 1}, False))
        assert post._sampling._timer is None or post._sampling._timer.cancelled(), "silent is silent"
        post.close()

    asyncio.run(life())
    before, after = told[0], told[1]
    acks = {each.key: each for each in after.acks or ()}
    refused = {key: each.ad for key, each in acks.items() if each.ac != 200}
    assert refused == WITHOUT | {"sensor.front.every_s": "there is no sensor of this name here"}
    assert not WITHOUT.keys() & (before.document.keys() | after.document.keys()), "nor told as if it held"
    assert {key: after.document[key] for key in WISHED.keys() - WITHOUT.keys()} == {
        key: value for key, value in WISHED.items() if key not in WITHOUT
    }
