"""The process that becomes Mosquitto. Its configuration: tests/provisioning/test_broker.py."""

from __future__ import annotations

import resource

from fleet_server import broker_role


def test_a_thousand_connections_do_not_fill_the_broker() -> None:
    """1024 open files, the usual limit, are a thousand lampposts, or one thief."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, soft), most))
        broker_role._allow_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
