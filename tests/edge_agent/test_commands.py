"""A whole agent on a real broker does what it is told: sensors are read, files arrive, it starts again."""

from __future__ import annotations

import hashlib
import io
import logging
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import zstandard

from edge_agent.config_keys import SECTIONS
from edge_agent.core.allow_list import CONFIG_KEYS, PARTS
from edge_agent.io.command_file import LARGEST_BYTES, CommandFile
from firmware_bridge.errors import SensorAbsent, SensorSilent
from firmware_bridge.kinds import SensorKind
from tests.edge_agent.making import ADDRESS, counting, on_broker, running
from tests.support.acking_server import AckingServer
from tests.support.fakes_edge import ScriptedSensor
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.messages import Command, CommandName, CommandOutcome, CommandReply, FilePiece

FAR_MS = 4_000_000_000_000
CLAIM = "k3bq9x.7Zt0VYQy1bq4mW8d"
STREET = "Pariser Platz 7"
LATITUDE = 52.516275


@pytest.fixture
def server(broker: MosquittoBroker) -> Iterator[AckingServer]:
    made = AckingServer.on(broker).start()
    yield made
    made.stop()


def answer(server: AckingServer, name: CommandName, **args: str) -> CommandReply:
    """Tell it, and wait for its last word."""
    command_id = f"id-{name}"
    server.command(Command(command_id, name, args, FAR_MS))

    def words() -> list[CommandReply]:
        return [each for each in server.messages(CommandReply) if each.command == command_id]

    wait_until(lambda: words() and words()[-1].outcome is not CommandOutcome.RECEIVED, 30, f"{name}'s end")
    return words()[-1]


def file(server: AckingServer, name: CommandName) -> dict[str, str]:
    """The texts of the file that the command brought."""
    pieces: list[FilePiece] = [p for p in server.messages(FilePiece) if p.command == f"id-{name}"]
    content = b"".join(piece.data for piece in sorted(pieces, key=lambda piece: piece.index))
    assert hashlib.sha256(content).digest() == pieces[0].sha256
    with tarfile.open(fileobj=io.BytesIO(zstandard.ZstdDecompressor().decompress(content))) as archive:
        found = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {each: reader.read().decode() for each, reader in found.items() if reader is not None}


def test_what_it_is_told_it_does_and_sends(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    config = on_broker(
        tmp_path,
        broker,
        sensors=3,
        device={"latitude": LATITUDE, "longitude": 13.377704, "site": STREET},
        enrolment={"claim": CLAIM},
    )
    silent = ScriptedSensor(SensorKind.SDS011, SensorSilent("/dev/test1", "no frame for 3 s"))
    absent = ScriptedSensor(SensorKind.SDS011, (1, 2))
    absent.absent = SensorAbsent("/dev/test2", "there is no such port")
    with running(config, counting(SensorKind.SDS011), silent, absent) as agent:
        server.wait_samples(1)
        looked = answer(server, CommandName.SENSORS)
        assert (looked.outcome, looked.detail) == (CommandOutcome.FAILED, "1 of 3 sensors answer")
        assert looked.result["sensor.s0"].startswith("pm2_5 ")
        assert looked.result["sensor.s1"].startswith("sensor_silent: ")
        assert looked.result["sensor.s2"].startswith("sensor_absent: ")
        logging.getLogger("lamppost").warning("token=%s at %s, %s", "hunter22", LATITUDE, STREET)
        assert answer(server, CommandName.LOGS, lines="2").outcome is CommandOutcome.SUCCEEDED
        log = file(server, CommandName.LOGS)["log.txt"].splitlines()
        assert len(log) == 2
        assert answer(server, CommandName.BUNDLE).outcome is CommandOutcome.SUCCEEDED
        bundle = file(server, CommandName.BUNDLE)
        refused = answer(server, CommandName.REBOOT)
        assert refused.outcome is CommandOutcome.REJECTED
        assert "[commands] reboot" in refused.detail
        assert agent.alive()
    assert set(bundle) == set(PARTS)
    assert all(bundle.values())
    everything = "\n".join([*log, *bundle.values()])
    assert "hunter22" not in everything
    for secret in (CLAIM, CLAIM.partition(".")[2], STREET, "52.516", "13.377", str(config.key_file)):
        assert secret not in everything, secret
    assert "sensor.1.kind = 'sds011'" in bundle["config.txt"]
    assert "device.site: stays here" in bundle["config.txt"]


def test_every_listed_key_of_the_configuration_is_one() -> None:
    known = {
        f"{section}.{name}"
        for section, (_, kind) in SECTIONS.items()
        for name in (each.name for each in fields(kind))
    }
    assert CONFIG_KEYS - known == set()


@pytest.mark.system
def test_a_restart_is_one_process_and_is_reported(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    identity = broker.device_identity(ADDRESS)
    path = tmp_path / "agent.toml"
    path.write_text(
        f'[device]\ntenant = "{ADDRESS.tenant}"\nname = "{ADDRESS.device}"\ndata_dir = "{tmp_path}/data"\n'
        f'[server]\nhost = "127.0.0.1"\nport = {broker.port}\nca_file = "{identity.ca}"\n'
        f'certificate_file = "{identity.certificate}"\nkey_file = "{identity.key}"\n'
        "[bench]\nbackoff_max_s = 0.5\n"
    )
    command = [sys.executable, "-m", "lamppost", "agent", "run", "--config", str(path)]
    daemon = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_until(lambda: server.presences and server.presences[-1].online, 20, "its birth")
    first = server.presences[-1].session
    assert answer(server, CommandName.RESTART).detail == "the agent has started again"
    wait_until(lambda: server.presences[-1].online and server.presences[-1].session > first, 20, "a birth")
    server.command(Command(f"id-{CommandName.RESTART}", CommandName.RESTART, {}, FAR_MS))
    assert answer(server, CommandName.PING).outcome is CommandOutcome.SUCCEEDED
    words = [each.outcome for each in server.messages(CommandReply) if each.command == "id-restart"]
    assert words == [CommandOutcome.RECEIVED, CommandOutcome.SUCCEEDED, CommandOutcome.SUCCEEDED], "once"
    assert daemon.poll() is None, "whoever watches the process never saw it end"
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(30) == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"entries": [1]}', b"\xff", b"[" * 100_000])
def test_a_book_that_cannot_be_read_is_an_empty_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "commands.json"
    path.write_bytes(content)
    assert CommandFile(path).load().entries == ()
    path.write_bytes(b" " * (LARGEST_BYTES + 1))
    assert CommandFile(path).load().entries == ()
