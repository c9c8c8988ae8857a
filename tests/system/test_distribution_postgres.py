"""The slices run on the distribution's own PostgreSQL (Debian 12: 15) as on the embedded one.

One scratch server, and the slices' tests once more in a pytest of their own, pointed at it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.waiting import wait_until
from tools.imports import ROOT

ACCOUNTS = ("postgres", "nobody")
START_TIMEOUT_S = 60.0
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # what is written is thrown away
    "track_commit_timestamp": "on",
    "timezone": "UTC",
}
# The tables of samples, the wall between tenants, the chain of the audit log, backups by its own pg_dump:
# what PostgreSQL itself does, and queries that a planner could take another way.
SLICES = (
    "devices",
    "telemetry",
    "database",
    "sensorthings/test_filters.py",
    "air/test_upkeep.py",
    "tenants/test_walls.py",
    "audit/test_recording.py",
    "enrolment/test_service.py",
    "access/test_service.py",
)
# Of telemetry what asks nothing of the database, or nothing that the embedded one has not answered.
LEFT_OUT = (
    "backpressure",
    "broker_link",
    "export_formats",
    "exports",
    "failures",
    "ingest_role",
    "intake",
    "mqtt5",
    "poison",
    "query_routes",
    "replaying_compare",
    "routes",
    "rows",
    "worker",
    "worker_role",
)
# It starts the embedded one; and what is quoted for one is quoted for the other (28 s).
NOT_ITS_OWN = (
    "database/test_backup_and_restore.py::test_a_backup_is_looked_at_without_a_restore_and_with_one",
    "sensorthings/test_filters.py::test_a_text_stays_a_text",
)


def programs() -> Path:
    """PostgreSQL 15 where it is installed, else the newest."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if not found:
        pytest.skip("the distribution's PostgreSQL server is not installed (make test installs it)")
    return next((path for path in found if path.parts[-3] == "15"), found[-1]).parent


def unprivileged() -> dict[str, object]:
    """PostgreSQL refuses to run as root: whom it runs as instead, as arguments of subprocess."""
    if os.geteuid() != 0:
        return {}
    for name in ACCOUNTS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    pytest.skip(f"PostgreSQL does not run as root, and there is none of the accounts {ACCOUNTS}")


@pytest.fixture
def distribution_server() -> Iterator[str]:
    binaries, account = programs(), unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="lamppost-pg-"))
    data = folder / "data"
    data.mkdir(mode=0o700)
    if account:
        folder.chmod(0o711)
        os.chown(data, account["user"], account["group"])  # type: ignore[arg-type]
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "lamppost", "--auth=trust", "--encoding=UTF8"]
    made = subprocess.run([*initdb, "--locale=C.UTF-8"], cwd="/", capture_output=True, text=True, **account)  # type: ignore[call-overload]
    assert made.returncode == 0, made.stderr
    command = [str(binaries / "postgres"), "-D", str(data), "-k", str(data)]
    command += [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    log = folder / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd="/", stdout=output, stderr=output, **account)  # type: ignore[call-overload]
    url = f"postgresql://lamppost@/postgres?host={data}"

    def answers() -> bool:
        assert server.poll() is None, log.read_text()
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        wait_until(answers, START_TIMEOUT_S, "the distribution's PostgreSQL to answer")
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.system
@pytest.mark.timeout(600)
def test_the_slices_pass_on_the_distributions_postgresql(distribution_server: str) -> None:
    with psycopg.connect(distribution_server) as connection:
        version = connection.info.server_version // 10_000
    assert version >= 14
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    folders = [str(ROOT / "tests/fleet_server" / name) for name in SLICES]
    left_out = [f"--ignore={ROOT}/tests/fleet_server/telemetry/test_{name}.py" for name in LEFT_OUT]
    left_out += [f"--deselect=tests/fleet_server/{name}" for name in NOT_ITS_OWN]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, *left_out, *folders],
        cwd=ROOT,
        env=inherited | {"LAMPPOST_TEST_POSTGRES_URL": distribution_server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"PostgreSQL {version}:\n{run.stdout[-6000:]}{run.stderr[-2000:]}"
