"""What looks for secrets finds them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.security.secrets import found_in_files, found_in_processes, secrets_below
from tests.support.mosquitto import make_request
from tests.support.waiting import wait_until


def test_a_secret_that_got_out_is_found_wherever_it_is(tmp_path: Path) -> None:
    key = make_request("city/lamp-01")[1]
    (tmp_path / "device.key").write_text(key)
    (tmp_path / "agent.toml").write_text('claim = "abc.0123456789abcdef0123"\n')
    (tmp_path / "people.key").write_text("0a1b2c3d" * 8 + "\n")
    (tmp_path / "db.secret").write_text("sesame, open yourself\n")
    (tmp_path / "root.key").write_text("pkcs11:token=City;object=root\n")  # where a key is, and no key
    secrets = secrets_below(tmp_path)
    assert len(secrets) == 4
    assert found_in_files(tmp_path, secrets) == []
    told = f"{key!s}, abc.0123456789abcdef0123, {'0a1b2c3d' * 8}, sesame, open yourself"
    (tmp_path / "some.log").write_text(told)
    assert len(found_in_files(tmp_path, secrets)) == 4
    sleeper = "import sys; sys.stdin.read()"
    asked = [sys.executable, "-c", sleeper, str(tmp_path), "--claim=0123456789abcdef0123"]
    with subprocess.Popen(asked, stdin=subprocess.PIPE) as process:
        # Popen returns while the kernel still puts the new command line together
        wait_until(
            lambda: found_in_processes(tmp_path, secrets), 10.0, "the process to have its command line"
        )
        assert len(found_in_processes(tmp_path, secrets)) == 1
        process.communicate(b"")
    assert found_in_processes(tmp_path, secrets) == []
