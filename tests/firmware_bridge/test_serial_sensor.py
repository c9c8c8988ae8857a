"""The adapter against emulated devices on real pseudo-terminals."""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial

from firmware_bridge.codecs import nova, plantower, sps30
from firmware_bridge.errors import (
    SensorAbsent,
    SensorBusy,
    SensorError,
    SensorForbidden,
    SensorGarbled,
    SensorGone,
    SensorSilent,
    SensorWarmingUp,
)
from firmware_bridge.kinds import SPECS, SensorKind
from firmware_bridge.serial_sensor import SerialSensor, open_sensor
from tests.firmware_bridge.bench import HISTORY, TIMEOUT_S, bench
from tests.support.waiting import wait_until

QUERY_KINDS = list(SensorKind)
SHORT_S = 0.4  # for reads that are meant to fail


@pytest.mark.parametrize("kind", QUERY_KINDS)
def test_what_is_read_is_what_was_sent(kind: SensorKind, tmp_path: Path) -> None:
    with bench(tmp_path, {"kind": kind, "seed": 3, "history": HISTORY}) as b:
        sensor = b.sensor(kind)
        readings = [sensor.read(TIMEOUT_S) for _ in range(50)]
        sent = [tuple(line["values"]) for line in b.ledger(kind)]
        assert [reading.values for reading in readings] == sent
        assert all(len(r.values) == len(SPECS[kind].channels) and r.kind is kind for r in readings)
        steps = [line["street_ms"] for line in b.ledger(kind)]
        assert steps == [HISTORY["start_ms"] + n * 60_000 for n in range(50)]
        sensor.close()
        sensor.close()  # again does nothing


@pytest.mark.parametrize("kind", QUERY_KINDS)
def test_on_the_wall_clock_too(kind: SensorKind, tmp_path: Path) -> None:
    with bench(tmp_path, {"kind": kind}, clock={"speed": 100, "street_zero_ms": 0, "wall_zero_ms": 0}) as b:
        sensor = b.sensor(kind)
        for _ in range(3):
            reading = sensor.read(TIMEOUT_S)
            assert list(reading.values) == b.ledger(kind)[-1]["values"]


@pytest.mark.parametrize(
    ("kind", "serial_number", "told"),
    [
        (SensorKind.SDS011, "58D9", "58d9"),
        (SensorKind.SPS30, "8FA0A1B2C3D4E5F6", "8FA0A1B2C3D4E5F6"),
        (SensorKind.PMS5003, None, None),
        (SensorKind.MHZ19B, None, None),
    ],
)
def test_identity(kind: SensorKind, serial_number: str | None, told: str | None, tmp_path: Path) -> None:
    with bench(tmp_path, {"kind": kind, "serial": serial_number, "history": HISTORY}) as b:
        sensor = b.sensor(kind)
        assert sensor.identity(TIMEOUT_S) == told
        assert sensor.identity(TIMEOUT_S) == told
        assert sensor.read(TIMEOUT_S).serial == told


@pytest.mark.parametrize("kind", [k for k in SensorKind if SPECS[k].can_sleep])
def test_asleep_it_is_silent_and_awake_it_answers(kind: SensorKind, tmp_path: Path) -> None:
    with bench(tmp_path, {"kind": kind, "history": HISTORY}) as b:
        sensor = b.sensor(kind)
        sensor.read(TIMEOUT_S)
        sensor.sleep()
        silent = serial.Serial(b.port(kind), SPECS[kind].baud, timeout=0.2)
        silent.write(sensor._dialogue.ask)
        assert silent.read(100) == b""
        silent.close()
        sensor.wake()
        sensor.read(TIMEOUT_S)
        sensor.sleep()
        sensor.close()
        again = b.sensor(kind)  # an agent that finds its sensor asleep, after a crash say
        again.read(TIMEOUT_S)


def test_a_kind_without_sleep_goes_on(tmp_path: Path) -> None:
    with bench(tmp_path, {"kind": SensorKind.MHZ19B, "history": HISTORY}) as b:
        sensor = b.sensor(SensorKind.MHZ19B)
        sensor.sleep()
        sensor.wake()
        sensor.read(TIMEOUT_S)


@pytest.mark.parametrize("kind", QUERY_KINDS)
def test_unplugged_it_is_gone_and_opened_again_it_reads(kind: SensorKind, tmp_path: Path) -> None:
    with bench(tmp_path, {"kind": kind, "history": HISTORY}) as b:
        sensor = b.sensor(kind)
        sensor.read(TIMEOUT_S)
        b.host.unplug(kind)
        wait_until(lambda: not os.path.lexists(b.port(kind)), TIMEOUT_S, "the link to go")
        with pytest.raises(SensorGone):
            sensor.read(TIMEOUT_S)
        sensor.close()
        with pytest.raises(SensorAbsent):
            sensor.open()
        b.host.replug(kind)
        wait_until(lambda: Path(b.port(kind)).exists(), TIMEOUT_S, "the link to be back")
        sensor.open()
        sensor.read(TIMEOUT_S)


def test_unplugged_in_the_middle_of_a_wait(tmp_path: Path) -> None:
    kind = SensorKind.SDS011
    faults = [{"type": "silent", "after": 1, "count": 99}, {"type": "unplug", "after": 2, "count": 1}]
    with bench(tmp_path, {"kind": kind, "history": HISTORY, "faults": faults}) as b:
        sensor = b.sensor(kind)
        sensor.read(TIMEOUT_S)
        with pytest.raises(SensorGone):
            sensor.read(TIMEOUT_S)


@pytest.mark.parametrize("kind", QUERY_KINDS)
def test_a_power_cut_of_the_sensor_alone(kind: SensorKind, tmp_path: Path) -> None:
    clock = {"speed": 100, "street_zero_ms": 0, "wall_zero_ms": 0}
    with bench(tmp_path, {"kind": kind}, clock=clock) as b:
        sensor = b.sensor(kind)
        sensor.read(TIMEOUT_S)
        b.host.power_cycle(kind)
        for _ in range(3):
            assert list(sensor.read(TIMEOUT_S).values) == b.ledger(kind)[-1]["values"]


def test_a_streaming_sensor_is_made_to_wait_for_questions(tmp_path: Path) -> None:
    kind = SensorKind.PMS5003
    clock = {"speed": 50, "street_zero_ms": 0, "wall_zero_ms": 0}
    with bench(tmp_path, {"kind": kind, "streaming": True}, clock=clock) as b:
        wait_until(lambda: b.ledger(kind), TIMEOUT_S, "a frame that nobody asked for")
        stale = len(b.ledger(kind))
        sensor = b.sensor(kind)
        reading = sensor.read(TIMEOUT_S)
        assert list(reading.values) in [line["values"] for line in b.ledger(kind)[stale:]]
        sensor.read(TIMEOUT_S)
        quiet = len(b.ledger(kind))
        time.sleep(0.3)  # fifteen of its frames, if it still streamed
        assert len(b.ledger(kind)) == quiet


def test_after_a_power_cut_it_is_made_to_wait_again(tmp_path: Path) -> None:
    kind = SensorKind.PMS5003
    clock = {"speed": 50, "street_zero_ms": 0, "wall_zero_ms": 0}
    with bench(tmp_path, {"kind": kind, "streaming": True}, clock=clock) as b:
        sensor = b.sensor(kind)
        sensor.read(TIMEOUT_S)
        b.host.power_cycle(kind)
        quiet = len(b.ledger(kind))
        wait_until(lambda: len(b.ledger(kind)) > quiet, TIMEOUT_S, "it to stream again")
        sensor.read(TIMEOUT_S)
        quiet = len(b.ledger(kind))
        time.sleep(0.3)  # fifteen of its frames, if it still streamed
        assert len(b.ledger(kind)) == quiet


class Puppet:
    """A terminal of which the test itself is the sensor."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        self.path = os.ttyname(slave)
        self.slave = slave

    def says(self, data: bytes) -> None:
        os.write(self.master, data)

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def puppet() -> Iterator[Puppet]:
    made = Puppet()
    yield made
    made.close()


def opened(kind: SensorKind, port: str) -> SerialSensor:
    sensor = SerialSensor(kind, port)
    sensor.open()
    return sensor


def test_a_frame_from_before_the_question_is_never_the_answer(puppet: Puppet) -> None:
    sensor = opened(SensorKind.SDS011, puppet.path)
    puppet.says(nova.measurement((10, 20), "58d9"))
    with pytest.raises(SensorSilent):
        sensor.read(SHORT_S)


def test_nor_is_one_that_came_between_two_questions(puppet: Puppet) -> None:
    sensor = opened(SensorKind.SDS011, puppet.path)
    ask = sensor._dialogue.ask
    answers = iter([(1, 1), (2, 2)])

    def device(data: bytes) -> None:
        if data == ask:
            puppet.says(nova.measurement(next(answers), "58d9"))

    sensor._link.write = device  # type: ignore[method-assign]
    assert sensor.read(TIMEOUT_S).values == (1, 1)
    puppet.says(nova.measurement((9, 9), "58d9"))
    assert sensor.read(TIMEOUT_S).values == (2, 2)


def test_a_port_that_reads_empty_is_gone(puppet: Puppet, monkeypatch: pytest.MonkeyPatch) -> None:
    sensor = opened(SensorKind.MHZ19B, puppet.path)
    puppet.says(b"x")
    monkeypatch.setattr("firmware_bridge.serial_link.os.read", lambda fd, n: b"")  # as USB adapters do
    with pytest.raises(SensorGone, match="unplugged"):
        sensor.read(TIMEOUT_S)


def test_silence_is_told_from_garbage(puppet: Puppet) -> None:
    sensor = opened(SensorKind.PMS5003, puppet.path)
    with pytest.raises(SensorSilent, match="does not answer") as silent:
        sensor.read(SHORT_S)
    assert "TX and RX" in silent.value.remedy


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (bytes.fromhex("424d001400000000000000000000000000000000005100f4"), "24 bytes, as PMS3003"),
        (b"\x00\xff\x13" * 20, "start no frame"),
        (plantower.measurement((1,) * 12)[:-1] + b"\x00" * 33, "checksum"),
    ],
)
def test_garbage_names_what_is_wrong(puppet: Puppet, says: bytes, why: str) -> None:
    sensor = opened(SensorKind.PMS5003, puppet.path)
    sensor._link.write = lambda data: puppet.says(says)  # type: ignore[method-assign]
    with pytest.raises(SensorGarbled, match=why) as garbled:
        sensor.read(SHORT_S)
    assert "kind" in garbled.value.remedy


def test_another_port_reads_the_good_frame_behind_a_damaged_one(puppet: Puppet) -> None:
    good, bad = plantower.measurement(tuple(range(1, 13))), bytearray(plantower.measurement((9,) * 12))
    bad[20] ^= 1
    sensor = opened(SensorKind.PMS5003, puppet.path)
    sensor._link.write = lambda data: puppet.says(bytes(bad) + good)  # type: ignore[method-assign]
    assert sensor.read(TIMEOUT_S).values == tuple(range(1, 13))


@pytest.mark.parametrize("fault", ["garbage", "truncate", "silent"])
@pytest.mark.parametrize("kind", [SensorKind.PMS7003, SensorKind.SDS021, SensorKind.SPS30, SensorKind.MHZ19B])
def test_a_fault_costs_one_frame_and_no_reading(kind: SensorKind, fault: str, tmp_path: Path) -> None:
    faults = [{"type": fault, "after": 2, "count": 1}]
    with bench(tmp_path, {"kind": kind, "history": HISTORY, "faults": faults}) as b:
        sensor = b.sensor(kind)
        readings = [sensor.read(1.5) for _ in range(5)]
        assert [list(r.values) for r in readings] == [line["values"] for line in b.ledger(kind)]


def test_a_stuck_sensor_repeats_itself(tmp_path: Path) -> None:
    kind = SensorKind.SDS011
    faults = [{"type": "stuck", "after": 2, "count": 3}]
    with bench(tmp_path, {"kind": kind, "history": HISTORY, "faults": faults}) as b:
        sensor = b.sensor(kind)
        values = [sensor.read(TIMEOUT_S).values for _ in range(6)]
        assert values[1] == values[2] == values[3] == values[4]
        assert values[5] != values[4] != values[0]


@pytest.mark.parametrize("kind", [SensorKind.PMS5003, SensorKind.SPS30, SensorKind.MHZ19B])
def test_warming_up_is_no_reading(kind: SensorKind, tmp_path: Path) -> None:
    clock = {"speed": 100, "street_zero_ms": 0, "wall_zero_ms": 0}
    with bench(tmp_path, {"kind": kind, "warm_up_s": 300, "streaming": False}, clock=clock) as b:
        sensor = b.sensor(kind)
        with pytest.raises(SensorWarmingUp):
            sensor.read(TIMEOUT_S)
        wait_until(lambda: _reads(sensor), TIMEOUT_S, "the warm-up to end")


def _reads(sensor: SerialSensor) -> bool:
    try:
        sensor.read(TIMEOUT_S)
    except SensorWarmingUp:
        return False
    return True


def test_two_programs_cannot_share_a_port(tmp_path: Path) -> None:
    with bench(tmp_path, {"kind": SensorKind.SDS011}) as b:
        first = b.sensor(SensorKind.SDS011)
        second = open_sensor(SensorKind.SDS011, b.port("sds011"))
        with pytest.raises(SensorBusy):
            second.open()
        first.close()
        second.open()
        second.close()


def test_an_absent_port_lists_those_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.serial_link.existing_ports", lambda: ["/dev/ttyUSB7"])
    with pytest.raises(SensorAbsent, match="no such port") as absent:
        open_sensor(SensorKind.PMS5003, "/dev/ttyNONE").open()
    assert "/dev/ttyUSB7" in absent.value.remedy
    assert absent.value.port == "/dev/ttyNONE"


def test_a_file_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SensorAbsent, match="is no serial port"):
        open_sensor(SensorKind.PMS5003, str(tmp_path / "file")).open()


def test_a_forbidden_port_names_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise serial.SerialException(13, "could not open port")

    monkeypatch.setattr("firmware_bridge.serial_link.serial.Serial", refuse)  # tests may run as root
    with pytest.raises(SensorForbidden) as forbidden:
        open_sensor(SensorKind.PMS5003, "/dev/ttyUSB0").open()
    assert "usermod -aG dialout" in forbidden.value.remedy


def test_what_is_not_open_is_gone() -> None:
    for action in ("read", "identity"):
        with pytest.raises(SensorGone, match="not open"):
            getattr(open_sensor(SensorKind.SDS011, "/dev/ttyX"), action)(1.0)


def test_every_error_has_a_code_and_a_remedy() -> None:
    kinds = SensorError.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds) == 8
    for kind in kinds:
        error = kind("/dev/ttyUSB0", "detail")
        assert error.remedy
        assert str(error) == "/dev/ttyUSB0: detail"


@contextmanager
def answering(answer: Callable[[bytes], list[tuple[float, bytes]]]) -> Iterator[str]:
    """A pseudo-terminal whose far end gives these answers, each so many seconds after the command."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    ended = threading.Event()

    def serve() -> None:
        due: list[tuple[float, bytes]] = []
        while not ended.is_set():
            if select.select([ours], [], [], 0.01)[0]:
                heard = os.read(ours, 4096)
                due += [(time.monotonic() + after_s, data) for after_s, data in answer(heard)]
            for each in [each for each in due if each[0] <= time.monotonic()]:
                due.remove(each)
                os.write(ours, each[1])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        ended.set()
        thread.join(30)
        os.close(ours)
        os.close(theirs)


def test_an_sds_that_does_not_know_the_firmware_command_still_tells_its_id() -> None:
    def answer(heard: bytes) -> list[tuple[float, bytes]]:
        codes = [frame[2] for frame in (heard[i : i + 19] for i in range(0, len(heard), 19))]
        return [(0.0, nova.reply(c, b"\1\1", "58d9")) for c in codes if c in (nova.POWER, nova.MODE)]

    with answering(answer) as port:
        sensor = open_sensor(SensorKind.SDS011, port)
        sensor.open()
        assert sensor.identity(2.0) == "58d9"
        sensor.close()


def test_the_late_refusal_of_another_command_is_no_fault() -> None:
    """Firmware 1 of the SPS30 does not know the wake-up; its refusal may come when the question is out."""
    floats = (1.0,) * 10

    def answer(heard: bytes) -> list[tuple[float, bytes]]:
        said = []
        if sps30.command(sps30.WAKE) in heard:
            said.append((0.45, sps30.reply(sps30.WAKE, state=0x02)))
        if sps30.command(sps30.READ) in heard:
            said.append((0.4, sps30.measurement(floats)))
        return said

    with answering(answer) as port:
        sensor = open_sensor(SensorKind.SPS30, port)
        sensor.open()
        assert sensor.read(5.0).values[0] == 100
        sensor.close()
