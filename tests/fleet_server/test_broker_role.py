"""The process that becomes Mosquitto. Its configuration: tests/provisioning/test_broker.py."""

from __future__ import annotations

import logging
import resource
from pathlib import Path

import pytest

from fleet_server import broker_role, processes
from fleet_server.config import load_config


def test_a_thousand_connections_do_not_fill_the_broker() -> None:
    """1024 open files, the usual limit, are a thousand lampposts, or one thief."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, soft), most))
        processes.allow_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


def test_the_server_s_roles_have_a_door_of_their_own_and_a_certificate_one_connection(tmp_path: Path) -> None:
    config = load_config(None, data_dir=tmp_path)
    written = broker_role.write_configuration(config).read_text()
    devices, own = written.split("\nlistener ")[1:3]
    assert devices.startswith("8883 127.0.0.1\n")
    assert "\nuse_username_as_clientid true\n" in devices
    assert "\nmax_connections 10000\n" in devices
    assert own.startswith(f"0 {config.broker.server_socket}\n")
    assert "use_username_as_clientid" not in own
    assert written.count("require_certificate true") == written.count("crlfile") == 2


def test_a_path_too_long_for_a_socket_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        written = broker_role.write_configuration(load_config(None, data_dir=tmp_path / ("x" * 100)))
    assert "too long for a socket" in caplog.text
    assert "use_username_as_clientid" not in written.read_text()
