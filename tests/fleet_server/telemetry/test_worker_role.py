"""The worker role as a process of its own, on a database that goes away under it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fleet_server.telemetry.support import MINUTE_MS, Desk, Post
from tests.support.waiting import wait_until
from wire_contract.classes import Class

WITHIN_S = 30.0


@pytest.fixture
def role(database_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    config, ready = tmp_path / "server.toml", tmp_path / "ready"
    config.write_text(f'data_dir = "{tmp_path}/data"\n[database]\nurl = "{database_url}"\n')
    command = [sys.executable, "-m", "lamppost", "serve", "--role", "worker", "--config", str(config)]
    process = subprocess.Popen(command, env=os.environ | {"LAMPPOST_READY_FILE": str(ready)})
    wait_until(ready.exists, WITHIN_S, "the worker role to start")
    yield process
    if process.poll() is None:
        process.kill()
        process.wait()


def test_it_brings_the_tables_to_what_they_should_be(
    desk: Desk, post: Post, role: subprocess.Popen[bytes]
) -> None:
    now = datetime.now(UTC)  # the role forgets by the real clock
    times = [int(now.timestamp() * 1000) - i * MINUTE_MS for i in range(1, 200)]
    desk.take(post.publish(Class.LIVE, post.samples(times, unit=1)), now=now)
    desk.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    desk.take(post.declare(unit=1), now=now)
    replayed = "SELECT count(*) FROM dead_letter WHERE replayed_at IS NOT NULL"
    wait_until(lambda: desk.one(replayed) == 1, WITHIN_S, "the dead letter to be replayed")
    assert desk.one("SELECT count(*) FROM sample") == 199
    hours = "SELECT coalesce(sum(n), 0) FROM rollup_1h"
    wait_until(lambda: desk.one(hours) == 199 * 3, WITHIN_S, "the hours to be rolled up")
    views = "SELECT count(*) FROM pg_views WHERE viewname = 'v_pms5003'"
    wait_until(lambda: desk.one(views) == 1, WITHIN_S, "the kind's view")
    role.send_signal(signal.SIGTERM)
    assert role.wait(WITHIN_S) == 0
