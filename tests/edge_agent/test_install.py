from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from edge_agent.install import hand_over


def set_up_by_root(root: Path) -> tuple[Path, Path]:
    """What stands after `lamppost agent enrol` and before `lamppost agent install`."""
    config = root / "agent.toml"
    config.write_text("claim")
    config.chmod(0o600)
    identity = root / "data" / "identity"
    identity.mkdir(parents=True)
    (identity / "device.key").write_text("key")
    (identity / "device.key").chmod(0o600)
    (root / "data" / "postgres").mkdir()  # a server on the same machine, in the same folder
    return config, root / "data"


def test_the_services_group_may_read_the_configuration_and_others_may_not(tmp_path: Path) -> None:
    config, data = set_up_by_root(tmp_path)
    hand_over(config, data, pwd.getpwuid(os.geteuid()))
    assert config.stat().st_mode & 0o777 == 0o640
    assert (data / "identity" / "device.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_service_owns_the_key_that_root_enrolled_with(tmp_path: Path) -> None:
    config, data = set_up_by_root(tmp_path)
    nobody = pwd.getpwnam("nobody")
    hand_over(config, data, nobody)
    for each in (data, data / "identity", data / "identity" / "device.key"):
        assert (each.stat().st_uid, each.stat().st_gid) == (nobody.pw_uid, nobody.pw_gid), each
    assert (data / "postgres").stat().st_uid == 0
    assert (config.stat().st_uid, config.stat().st_gid) == (0, nobody.pw_gid)
