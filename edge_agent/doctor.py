"""`lamppost agent doctor`: what is wrong with this lamppost, and what to do about it.

Every check is one line: ok or a problem, what was seen, the remedy. Checks look at the same things the
running agent uses, through the same adapters. While the agent runs it holds the serial ports, so its own word
on the sensors is taken then.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edge_agent.config import load
from edge_agent.config_keys import AgentConfig, SensorKeys
from edge_agent.core.health import KNOWN
from edge_agent.core.leaving import leave
from edge_agent.core.renewing import LOW_DAYS
from edge_agent.core.stamping import clock_is_set
from edge_agent.errors import AgentError, BrokerRefused, ClockUnknown, ConfigError, LinkLost, SpoolError
from edge_agent.io import radio
from edge_agent.io.certificate_dates import validity
from edge_agent.io.first_time import FirstTime
from edge_agent.io.paho_broker import PahoBroker, tls_context
from edge_agent.io.spool_view import ENDLESS_INODES, free_inodes, view
from edge_agent.model_report import report
from edge_agent.parts import broker_address
from edge_agent.ports import BrokerEvents, Session
from edge_agent.summary import given_up_lines
from firmware_bridge.errors import SensorError, SensorWarmingUp
from firmware_bridge.kinds import SensorKind
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.errors import WireError
from wire_contract.messages import Ack, Ask
from wire_contract.radio import NOT_MEASURED, SIGNAL, judged
from wire_contract.topics import Address, Up, down_filter, up_topic

ATTEMPTS = 4
_TIME = "%Y-%m-%d %H:%M:%S UTC"
ANSWER_S = 20.0  # an Ask is answered within a second; the rest is for a slow line and a busy server
READ_S = 10.0  # four intervals of the slowest sensor's stable mode
AS_THE_AGENT = (
    "Run it as the agent's user: sudo -u lamppost lamppost agent doctor;"
    " if the agent cannot either: sudo chown -R lamppost on device.data_dir."
)
STATUS_FRESH_S = 30.0  # an older status file is of an agent that is gone


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report. `remedy` is empty when `ok`."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(config_file: Path) -> list[Check]:
    """Every check that can be made; a wrong configuration is the only one then."""
    try:
        config = load(config_file)
    except ConfigError as error:
        return [Check("configuration", False, error.detail, error.remedy)]
    checks = [Check("configuration", True, f"{config_file}: {len(config.sensors)} sensors")]
    checks += [_clock(config), *_disk(config), *_spool(config), _signal()]
    identity = _identity(config)
    checks += identity
    if all(check.ok or check.name == "key" for check in identity):
        checks += _broker(config)
    else:
        checks.append(
            Check("broker", False, "not tried without a valid certificate", "First the certificate.")
        )
    checks += [*_sensors(config), _model(config)]
    return checks


def shown(checks: list[Check]) -> str:
    """The report for a terminal."""
    lines = []
    for check in checks:
        first, *rest = check.detail.splitlines() or [""]
        lines.append(f"{'ok     ' if check.ok else 'PROBLEM'}  {check.name:<18} {first}")
        lines += [f"{'':<29}{line}" for line in rest]
        if check.remedy:
            lines.append(f"{'':<29}-> {check.remedy}")
    problems = sum(not check.ok for check in checks)
    lines.append("nothing is wrong" if not problems else f"{problems} problem{'s' if problems > 1 else ''}")
    return "\n".join(lines)


def _model(config: AgentConfig) -> Check:
    told = report(config)
    what = f"{told.decides} on {told.runtime}, golden vector right" if told.golden else told.detail
    return Check("model", told.ok, what, told.remedy)


def _clock(config: AgentConfig, first_time: FirstTime | None = None) -> Check:
    now_s, first = time.time(), first_time or FirstTime.of(config)
    told = time.strftime(_TIME, time.gmtime(now_s))
    if clock_is_set(int(now_s * 1000)) and not first.behind():
        return Check("clock", True, told)
    try:
        server = (
            f"; the server says {time.strftime(_TIME, time.gmtime(first.now_s()))}, which is used for TLS"
        )
    except ClockUnknown as error:
        server = f"; {error.detail}"
    return Check("clock", False, f"{told}: it was never set{server}", KNOWN["clock_unset"].remedy)


def _signal() -> Check:
    """Whether there is a way out at all say broker and server: it need not be by a default route."""
    way = radio.look()
    if way is None:
        return Check(SIGNAL, True, f"{NOT_MEASURED}: there is no default route")
    found = judged(way)
    return Check(SIGNAL, found.ok, found.detail, found.remedy)


def _disk(config: AgentConfig) -> Iterator[Check]:
    folder = next(each for each in (config.data_dir, *config.data_dir.absolute().parents) if each.is_dir())
    probe = folder / f".doctor-{os.getpid()}"
    try:
        probe.write_bytes(b"x" * 4096)
    except OSError as error:
        yield Check("disk", False, f"{folder} cannot be written: {error.strerror}", _disk_remedy(error))
        return
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    free = shutil.disk_usage(folder).free
    inodes = free_inodes(folder)
    count = "any number of" if inodes >= ENDLESS_INODES else inodes
    told = f"{folder}: {free / 1e6:.0f} MB and {count} inodes free"
    if free < config.spool.min_free_bytes:
        yield Check("disk", False, told, KNOWN["disk_full"].remedy)
    elif inodes < config.spool.min_free_inodes:
        yield Check("disk", False, told, KNOWN["inodes_short"].remedy)
    else:
        yield Check("disk", True, told)


def _spool(config: AgentConfig) -> Iterator[Check]:
    """What waits in each class and what was given up; what was set aside."""
    if not os.access(config.spool_dir, os.R_OK | os.W_OK | os.X_OK):
        return  # not there yet, or another user's: the check of the disk said so
    kept = sorted(config.spool_dir.glob("*.corrupt-*"))
    if kept:
        remedy = "Replace the storage card if there are several; delete the file when you need it no more."
        yield Check("spool", False, f"a damaged spool was set aside: {kept[-1]}", remedy)
    if not (config.spool_dir / "spool.db").exists():
        return
    try:
        found = view(config.spool_dir)
    except SpoolError as error:
        yield Check("spool", False, error.detail, error.remedy or KNOWN["spool_error"].remedy)
        return
    queues = ", ".join(f"{name} {count['waiting_messages']}" for name, count in found["classes"].items())
    told = [f"{found['file_bytes'] / 1e6:.1f} MB; messages that wait: {queues}"]
    told += [f"given up: {line}" for line in given_up_lines(found["given_up"])]
    yield Check("spool", True, "\n".join(told))


def _disk_remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return KNOWN["disk_full"].remedy
    if error.errno == errno.EROFS:
        return "The disk is mounted read-only: look for its errors (dmesg), replace the card."
    return AS_THE_AGENT


def _identity(config: AgentConfig) -> list[Check]:
    if config.bench.insecure_broker:
        return [Check("certificate", True, "not needed: bench.insecure_broker is set")]
    address = broker_address(config)
    try:
        tls_context(address)
        dates = validity(config.certificate_file)
    except AgentError as error:
        remedy = error.remedy or KNOWN["not_enrolled"].remedy
        return [Check("certificate", False, error.detail, remedy)]
    except PermissionError as error:
        return [Check("certificate", False, f"{error.filename}: this user may not read it", AS_THE_AGENT)]
    except (OSError, ValueError) as error:
        remedy = "Enrol again: lamppost agent enrol."
        return [Check("certificate", False, f"{config.certificate_file}: {error}", remedy)]
    checks = []
    left = dates.left_days(time.time())
    if left <= 0:
        remedy = KNOWN["certificate_expired"].remedy
        checks.append(Check("certificate", False, f"expired {-left:.0f} days ago", remedy))
    elif time.time() < dates.from_s:
        checks.append(Check("certificate", False, "not valid yet", "Set the clock."))
    else:
        low = left < LOW_DAYS
        remedy = KNOWN["certificate_expiring"].remedy if low else ""
        checks.append(Check("certificate", not low, f"valid for another {left:.0f} days", remedy))
    if config.key_file.stat().st_mode & 0o077:
        detail = f"{config.key_file} can be read by others"
        checks.append(Check("key", False, detail, f"chmod 600 {config.key_file}"))
    return checks


def _broker(config: AgentConfig) -> list[Check]:
    """Connect, and ask the server.

    A certificate has one connection: the running agent's ends, and it connects again within a second or
    some, which may end ours. Each time it waits longer, so one of a few attempts has the time it needs.
    """
    wanted = broker_address(config).transport
    found = [_broker_by(config, each) for each in (("tls",) if wanted == "auto" else (wanted,))]
    if wanted == "auto" and not found[0][0].ok:
        found.append(_broker_by(config, "websocket"))
    return next((checks for checks in found if checks[0].ok), found[0])


def _broker_by(config: AgentConfig, transport: str) -> list[Check]:
    for _ in range(ATTEMPTS):
        ended = threading.Event()
        checks = _ask_server(config, transport, ended)
        if not ended.is_set() or all(check.ok for check in checks):
            break
    return checks


def _ask_server(config: AgentConfig, transport: str, ended: threading.Event) -> list[Check]:
    """`ended` is set where the connection was lost before the answer came, be it before we were accepted."""
    address = Address(config.device.tenant, config.device.name)
    broker = PahoBroker(replace(broker_address(config), transport=transport))
    epoch = _epoch(config)
    subscribed, answered, refused = threading.Event(), threading.Event(), threading.Event()

    def received(_topic: str, payload: bytes, handled: Callable[[], None]) -> None:
        if _answers(payload, epoch):
            answered.set()
        handled()

    def lost(_detail: str) -> None:
        for event in (ended, subscribed, answered):
            event.set()

    events = BrokerEvents(
        subscribed=subscribed.set,
        received=received,
        lost=lost,
        publish_refused=lambda _detail: refused.set(),
    )
    where = broker.where
    try:
        broker.connect(Session("", b"", down_filter(address)), events)
        checks = [Check("broker", True, f"{where} accepted {address}")]
        broker.subscribe()
        if not subscribed.wait(ANSWER_S):
            detail = f"{where} did not let {address} subscribe to its topics"
            return [*checks, Check("topics", False, detail, KNOWN["publish_refused"].remedy)]
        ask = Ask(epoch, tuple(int(cls) for cls in Class))
        broker.publish(up_topic(address, Up.ASK), leave(Up.ASK, ask))
        heard = answered.wait(ANSWER_S)
        if ended.is_set():
            detail = f"{where} ended the connection of {address}: does its agent connect again and again?"
            return [*checks, Check("topics", False, detail, KNOWN["publish_refused"].remedy)]
        if heard:
            return [*checks, Check("server", True, "answers")]
        if refused.is_set():
            detail = f"{where} does not let {address} publish to its topics"
            return [*checks, Check("topics", False, detail, KNOWN["publish_refused"].remedy)]
        detail = f"no answer within {ANSWER_S:.0f} s"
        return [*checks, Check("server", False, detail, KNOWN["server_silent"].remedy)]
    except AgentError as error:
        if isinstance(error, BrokerRefused | LinkLost):
            ended.set()
        known = KNOWN.get(error.code)
        return [Check("broker", False, error.detail, error.remedy or (known.remedy if known else ""))]
    finally:
        broker.disconnect()


def _answers(payload: bytes, epoch: bytes) -> bool:
    """Whether this is the server's word on our question, and not something that lay at the broker."""
    try:
        message = decode(payload)
    except WireError:
        return False
    return isinstance(message, Ack) and message.epoch == epoch


def _epoch(config: AgentConfig) -> bytes:
    """The spool's epoch; of a lamppost that never ran, one that nobody has."""
    path = config.spool_dir / "spool.db"
    if path.exists():
        try:
            db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            row = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
            db.close()
            return bytes(row[0])
        except (sqlite3.DatabaseError, TypeError):
            return bytes(16)
    return bytes(16)


def _sensors(config: AgentConfig) -> list[Check]:
    if not config.sensors:
        return [
            Check("sensors", False, "none is configured", "Add [[sensor]] tables: lamppost sensors probe")
        ]
    running = _running_agents_word(config)
    if running is not None:
        return [_from_status(keys, running) for keys in config.sensors]
    return [_read_one(keys) for keys in config.sensors]


def _running_agents_word(config: AgentConfig) -> dict[str, str] | None:
    """Sensor -> its condition ("" when well), when an agent runs on this data folder; else None."""
    path = config.data_dir / "status.json"
    try:
        if time.time() - path.stat().st_mtime > STATUS_FRESH_S:
            return None
        status = json.loads(path.read_text())
        if not (status["sampling"] and _lives(int(status["pid"]))):
            return None
    except (OSError, ValueError, KeyError):
        return None
    told = {keys.name: "" for keys in config.sensors}
    for condition in status.get("conditions", []):
        if condition["subject"] in told and condition["severity"] != "info":
            told[condition["subject"]] = f"{condition['detail']}\n{condition['remedy']}"
    return told


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # under another user
    except OSError:
        return False
    return True


def _from_status(keys: SensorKeys, told: dict[str, str]) -> Check:
    detail, _, remedy = told.get(keys.name, "").partition("\n")
    if detail:
        return Check(f"sensor {keys.name}", False, detail, remedy)
    return Check(f"sensor {keys.name}", True, f"{keys.kind} on {keys.port}: the running agent reads it")


def _read_one(keys: SensorKeys) -> Check:
    from firmware_bridge.serial_sensor import open_sensor

    name = f"sensor {keys.name}"
    sensor = open_sensor(SensorKind(keys.kind), keys.port)
    try:
        sensor.open()
        sensor.wake()
        reading = sensor.read(READ_S)
    except SensorWarmingUp:
        return Check(name, True, f"{keys.kind} on {keys.port}: warming up")
    except SensorError as error:
        return Check(name, False, f"{keys.kind} on {keys.port}: {error.detail}", error.remedy)
    finally:
        sensor.close()
    values = [
        f"{channel.name} {value * 10.0**channel.exponent:g} {channel.unit}"
        for channel, value in zip(sensor.spec.channels, reading.values, strict=True)
        if value is not None
    ]
    serial = f" serial {reading.serial}" if reading.serial else ""
    return Check(name, True, f"{keys.kind} on {keys.port}{serial}: {', '.join(values[:3])}")
