"""The settings that the server may change (wire_contract/settings.py): as configured, and who obeys."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from edge_agent import __version__
from edge_agent.config_keys import AgentConfig
from edge_agent.core.quiet import is_quiet
from edge_agent.core.sealing import Pace
from edge_agent.core.spool_policy import Caps
from edge_agent.core.twin import Twin, Values, sensor_every_s, wished
from edge_agent.ports import Clock
from wire_contract.classes import Class
from wire_contract.settings import REGISTRY, Value

LEVELS = {
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
VERSION = "agent.version"  # told beside the settings: what a group of devices is chosen by


def configured(config: AgentConfig) -> dict[str, Value]:
    """What holds where the server wishes nothing: the configuration, else the default."""
    spool = config.spool
    of_file: dict[str, Value] = {
        "telemetry.flush_interval_s": config.telemetry.flush_interval_s,
        "data.budget_mb": config.telemetry.budget_mb,
        "spool.max_bytes": spool.max_bytes,
        "spool.min_free_bytes": spool.min_free_bytes,
        "spool.min_free_inodes": spool.min_free_inodes,
        "spool.history_ttl_days": spool.history_ttl_days,
        "spool.diagnostic_ttl_days": spool.diagnostic_ttl_days,
        "model.runtime": config.model.runtime,
        VERSION: __version__,
    }
    defaults = {key: each.default for key, each in REGISTRY.items() if each.default is not None}
    return {**defaults, **of_file}


def at_start(config: AgentConfig, kept: Twin) -> AgentConfig:
    """The configuration that the agent starts with: what takes a restart is obeyed here."""
    runtime = wished(kept).get("model.runtime", config.model.runtime)
    return replace(config, model=replace(config.model, runtime=str(runtime)))


def caps_of(holds: Values) -> Caps:
    return Caps(
        int(holds["spool.max_bytes"]),
        int(holds["spool.min_free_bytes"]),
        int(holds["spool.min_free_inodes"]),
        float(holds["spool.history_ttl_days"]),
        float(holds["spool.diagnostic_ttl_days"]),
    )


def pace_of(holds: Values) -> Pace:
    return Pace(
        float(holds["telemetry.flush_interval_s"]),
        float(holds["telemetry.history_span_s"]),
        float(holds["telemetry.diagnostic_interval_s"]),
    )


class Sampler(Protocol):
    """What is needed of a sensor's loop."""

    @property
    def name(self) -> str: ...

    @property
    def configured_every_s(self) -> float: ...

    def sample_each(self, every_s: float) -> None: ...


class QuietHours:
    """`paused` is asked by the link at each of its events."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.hours = ""

    def paused(self) -> frozenset[Class]:
        return frozenset({Class.HISTORY}) if is_quiet(self.hours, self._clock.now_ms()) else frozenset()


@dataclass(frozen=True)
class Obedience:
    """Each setting goes to who obeys it. Called with all that holds and the keys that changed."""

    pace: Callable[[Pace], None]
    caps: Callable[[Caps], None]
    refresh: Callable[[float], None]
    samplers: Sequence[Sampler]
    quiet: QuietHours
    budget: Callable[[float], None]

    def __call__(self, holds: Values, changed: Collection[str]) -> None:
        groups = {key.partition(".")[0] for key in changed}
        if "telemetry" in groups:
            self.pace(pace_of(holds))
        if "spool" in groups:
            self.caps(caps_of(holds))
        if "presence" in groups:
            self.refresh(float(holds["presence.refresh_s"]))
        if groups & {"sampling", "sensor"}:
            for each in self.samplers:
                each.sample_each(sensor_every_s(holds, each.name, each.configured_every_s))
        if "history" in groups:
            self.quiet.hours = str(holds["history.quiet_hours"])
        if "data" in groups:
            self.budget(float(holds["data.budget_mb"]))
        if "log" in groups:
            logging.getLogger("lamppost").setLevel(LEVELS[str(holds["log.level"])])
