"""What stands in the way of a start is told before it, with the key and a remedy that fits."""

from __future__ import annotations

import pytest

from fleet_server import preflight
from fleet_server.config import Listen
from fleet_server.errors import ConfigurationError

ELSEWHERE = "203.0.113.1"  # RFC 5737: for documentation, no machine's


def test_another_machine_s_address_is_no_matter_of_ports() -> None:
    with pytest.raises(ConfigurationError) as refused:
        preflight._check_port("ui.listen", Listen(ELSEWHERE, 8080))
    assert str(refused.value) == (
        f"ui.listen = {ELSEWHERE}:8080 cannot be listened on: this machine has no such address. "
        "Set ui.listen to an address of this machine, or 0.0.0.0 for all of them."
    )
