"""The whole way: a wish, the ingest role's process, Mosquitto, a whole agent; and the answer back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from firmware_bridge.kinds import SensorKind
from fleet_server.context import Context
from fleet_server.twin import reconciling, rules, service
from fleet_server.twin.service import Wish
from tests.edge_agent.making import ADDRESS, counting, on_broker, running
from tests.fleet_server.telemetry.support import Desk
from tests.fleet_server.telemetry.test_ingest_role import Role, config, roles
from tests.support.mosquitto import MosquittoBroker
from tests.support.server_context import ADMIN
from tests.support.waiting import wait_until

__all__ = ["config", "roles"]

WITHIN_S = 30.0
FLUSH = "telemetry.flush_interval_s"


def test_a_wish_reaches_a_lamppost_and_one_that_was_away_catches_up(
    tmp_path: Path,
    broker: MosquittoBroker,
    context: Context,
    desk: Desk,
    roles: Callable[..., Role],
) -> None:
    desk.connection.execute(
        "INSERT INTO device (tenant, name, state) VALUES (%s, %s, 'active')", (ADDRESS.tenant, ADDRESS.device)
    )
    agent_config = on_broker(tmp_path, broker)
    roles()

    def holds(**wished: object) -> bool:
        reconciling.reconcile(context.db)
        found = service.twin(context, ADMIN, ADDRESS)
        told = {key: found.reported.get(key) for key in found.sync.desired}
        in_step = found.sync.acknowledged == found.sync.version and not rules.delta(found.sync.desired, told)
        return in_step and found.sync.desired == {key.replace("__", "."): v for key, v in wished.items()}

    with running(agent_config, counting(SensorKind.SDS011)) as agent:
        service.change_desired(context, ADMIN, ADDRESS, Wish({FLUSH: 2}))
        wait_until(lambda: holds(telemetry__flush_interval_s=2), WITHIN_S, "the first wish to hold")
        service.change_desired(context, ADMIN, ADDRESS, Wish({"presence.refresh_s": 60}))
        wished = {"telemetry__flush_interval_s": 2, "presence__refresh_s": 60}
        wait_until(lambda: holds(**wished), WITHIN_S, "the second wish, a patch, to hold")
        assert (agent.spooler._pace.live_s, agent.link._refresh_s) == (2.0, 60.0)
    wait_until(
        lambda: desk.one("SELECT presence FROM device") == "offline", WITHIN_S, "the server to see it leave"
    )
    service.change_desired(context, ADMIN, ADDRESS, Wish({FLUSH: 4}))
    service.change_desired(context, ADMIN, ADDRESS, Wish({"presence.refresh_s": None}))
    with running(agent_config, counting(SensorKind.SDS011)) as agent:
        wait_until(lambda: holds(telemetry__flush_interval_s=4), WITHIN_S, "it to catch up")
        assert agent.spooler._pace.live_s == 4.0
