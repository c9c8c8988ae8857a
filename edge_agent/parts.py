"""The agent's parts that are made of its configuration alone."""

from __future__ import annotations

import os
from pathlib import Path

from edge_agent import settings
from edge_agent.config_keys import AgentConfig, SensorKeys
from edge_agent.core.cadence import Cadence
from edge_agent.core.spool_policy import Caps
from edge_agent.io.clocks import FollowedClock, ScaledClock, SystemClock, kernel_is_synced
from edge_agent.io.first_time import FirstTime
from edge_agent.io.paho_broker import BrokerAddress
from edge_agent.loops.sampling import SensorPlan
from edge_agent.ports import Clock
from firmware_bridge.kinds import SPECS, SensorKind


def make_clock(config: AgentConfig) -> Clock:
    """The system's clock, or the demo's."""
    if config.bench.clock_file:
        return FollowedClock(Path(config.bench.clock_file))
    if config.bench.clock_speed != 1.0:
        now_ms = SystemClock().now_ms()
        return ScaledClock(config.bench.clock_speed, now_ms, now_ms)
    return SystemClock(kernel_is_synced if config.device.wait_for_time_sync else None)


def make_caps(config: AgentConfig) -> Caps:
    return settings.caps_of(settings.configured(config))


def broker_address(config: AgentConfig, client_id: str = "") -> BrokerAddress:
    """The client id is made up for each process: whoever knew it could throw this connection out, and
    nothing is kept for it at the broker (clean start)."""
    return BrokerAddress(
        host=config.server.host,
        port=config.server.port,
        client_id=client_id or f"{config.device.tenant}/{config.device.name}/{os.urandom(8).hex()}",
        ca_file=config.ca_file,
        certificate_file=config.certificate_file,
        key_file=config.key_file,
        keepalive_s=config.server.keepalive_s,
        plain=config.bench.insecure_broker,
        transport="tls" if config.bench.insecure_broker else config.server.transport,
        websocket_port=config.server.websocket_port,
        first_time=None if config.bench.insecure_broker else FirstTime.of(config),
    )


def sensor_plan(keys: SensorKeys) -> SensorPlan:
    """One [[sensor]] table as the sampling loop wants it."""
    spec = SPECS[SensorKind(keys.kind)]
    warm_up_s = spec.warm_up_s if keys.warm_up_s < 0 else keys.warm_up_s
    lead_s = warm_up_s if keys.duty_cycle and spec.can_sleep else 0.0
    return SensorPlan(keys.name, keys.serial, keys.site or keys.name, Cadence(keys.every_s, lead_s))
