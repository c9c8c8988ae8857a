"""The ingest's loop: take a group, store it, ack what is committed, then give the broker its PUBACKs.

PostgreSQL gone: the group is kept, unacknowledged, and tried again for ever. A group that fails for another
reason is tried once more by a new connection, then taken message by message, and the guilty one goes to the
dead letters: it never stops the others.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import psycopg

from fleet_server.clock import StreetClock
from fleet_server.limits import store as limits_store
from fleet_server.limits.gauge import Gauge
from fleet_server.limits.rules import Own, Rate
from fleet_server.telemetry.ingest import dead_letters, ledger
from fleet_server.telemetry.ingest.catalogue import SeriesCatalogue
from fleet_server.telemetry.ingest.failures import passes
from fleet_server.telemetry.ingest.intake import (
    Incoming,
    Item,
    Told,
    fitting,
    open_message,
    refuse,
    unpack,
)
from fleet_server.telemetry.ingest.ledger import Stream
from fleet_server.telemetry.ingest.mailbox import Mailbox
from fleet_server.telemetry.ingest.pg_binary import register_arrays
from fleet_server.telemetry.ingest.transaction import Outcome, process
from fleet_server.telemetry.timescale import lift_limits
from wire_contract.envelope import encode
from wire_contract.messages import Ack, CertificateIssued, Command, CommandName
from wire_contract.topics import Address, Down, down_topic

BACK_OFF_FROM_S, BACK_OFF_TO_S = 0.1, 5.0  # PostgreSQL restarts in a second; a longer outage is polled gently
DECLARE_EVERY_S = 30.0  # as often as the device resends: one request per round is enough
DECLARE_LIFE_MS = 3_600_000  # a request is harmless when late, so it may wait an hour
SETTINGS = (
    "SET synchronous_commit = on",  # the promise of the wire hangs on it: what is acked has reached the disk
    # All that a worker reads it reads by key. A plan made while a table was empty must not scan it for ever,
    # and making a plan for a statement of sixty parameters costs more than the statement.
    "SET plan_cache_mode = force_generic_plan",
    "SET enable_seqscan = off",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
)
MAX_KNOWN_STREAMS = 100_000  # 10 MB of prefixes; beyond it they are read again

_log = logging.getLogger(__name__)


class Link(Protocol):
    """What the worker needs of the broker (`broker_link.BrokerLink`)."""

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> None: ...
    def acknowledge(self, group: Sequence[Incoming]) -> None: ...


Renew = Callable[[Told], CertificateIssued | None]
"""Answers a device's request for a new certificate; None: no answer now."""


class IngestWorker:
    """`connect` gives a connection in autocommit mode, or raises psycopg.OperationalError."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        clock: StreetClock,
        link: Link,
        renew: Renew,
        *,
        name: str,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._link = link
        self._renew = renew
        self._name = name
        self._connection: psycopg.Connection[Any] | None = None
        self._series = SeriesCatalogue()
        self._known: dict[Stream, int] = {}
        self._asked_to_declare: dict[Address, float] = {}
        self._own_limits: Mapping[str, Own] = {}
        self._stopping = threading.Event()

    def run(
        self, mailbox: Mailbox, group_messages: int, group_age_s: float, gauge: Gauge | None = None
    ) -> None:
        """Until `stop`. Each group is settled before the next is taken."""
        while not self._stopping.is_set():
            group = mailbox.take(group_messages, group_age_s)
            if group:
                self.settle(group)
            if gauge is not None:
                self._tell_floods(gauge.floods(time.monotonic(), self._tenants_limits))
        self._disconnect()

    def _tenants_limits(self) -> Mapping[str, Own]:
        """As they were found last, where the database does not answer."""
        try:
            self._own_limits = limits_store.own_limits(self._connected())
        except psycopg.Error as error:
            self._database_failed(error, 0.0)
        return self._own_limits

    def _tell_floods(self, floods: Mapping[Address, Rate]) -> None:
        """For the worker role to stop; a flood that goes on is told again in the next minute."""
        if not floods:
            return
        for address, rate in floods.items():
            _log.warning(
                "%s floods: %d messages, %d bytes within a minute", address, rate.messages, rate.bytes
            )
        try:
            limits_store.seen(self._connected(), floods, datetime.now(UTC))
        except psycopg.Error as error:
            self._database_failed(error, 0.0)

    def stop(self) -> None:
        self._stopping.set()

    def settle(self, group: Sequence[Incoming]) -> None:
        """Store the group and answer it; returns when that is done, or the worker is stopping."""
        left = list(group)
        pause_s = BACK_OFF_FROM_S
        again = False
        while left and not self._stopping.is_set():
            try:
                part, outcome, reached = self._store(left)
                self._answer(part, outcome, reached)
            except Exception as error:  # noqa: BLE001 - the loop's top: what does not pass is a message's fault
                if not self._passes(error):
                    if again:
                        self._isolate(left, error)
                        return
                    # A table that went away under a statement, a plan of before an upgrade: nobody's fault.
                    again = True
                    self._disconnect()
                    continue
                self._database_failed(error, pause_s)
                pause_s = min(2 * pause_s, BACK_OFF_TO_S)
            else:
                left = left[len(part) :]
                pause_s = BACK_OFF_FROM_S
                again = False

    def _store(self, group: Sequence[Incoming]) -> tuple[Sequence[Incoming], Outcome, list[ledger.Progress]]:
        """As many of the first as one transaction should hold; returns those."""
        now_ms = int(self._clock.now().timestamp() * 1000)
        opened = [open_message(incoming, now_ms) for incoming in group]
        opened = opened[: fitting(opened)]
        items = [item for item in unpack(opened, now_ms) if item is not None]
        return group[: len(opened)], *self._process(items)

    def _process(self, items: Sequence[Item]) -> tuple[Outcome, list[ledger.Progress]]:
        """Store, and read afterwards what is committed: only that is ever acked."""
        connection = self._connected()
        outcome = process(connection, items, self._series, self._clock.now(), self._name)
        reached = ledger.progress(connection, outcome.streams, self._known)
        if len(self._known) > MAX_KNOWN_STREAMS:
            self._known.clear()
        self._known.update({progress.stream: progress.prefix for progress in reached})
        return outcome, reached

    def _answer(
        self, group: Sequence[Incoming], outcome: Outcome, reached: Sequence[ledger.Progress]
    ) -> None:
        said = [(down_topic(outcome.streams[p.stream], Down.ACK), encode(_ack(p))) for p in reached]
        said += self._requests_to_declare(outcome.undeclared)
        for request in outcome.requests:
            answer = self._renew(request)
            if answer is not None:
                said.append((down_topic(request.address, Down.CERTIFICATE), encode(answer)))
        self._link.publish(said)
        self._link.acknowledge(group)
        _log.debug("stored %s", dict(outcome.counts))

    def _requests_to_declare(self, undeclared: Iterable[tuple[Address, int]]) -> list[tuple[str, bytes]]:
        """One for each device at a time, not for each of its messages."""
        found = []
        now_s = time.monotonic()
        for address, key in sorted(undeclared, key=str):
            if now_s - self._asked_to_declare.get(address, -DECLARE_EVERY_S) < DECLARE_EVERY_S:
                continue
            self._asked_to_declare[address] = now_s
            expires_ms = self._clock.now_ms() + DECLARE_LIFE_MS
            command = Command(uuid.uuid4().hex, CommandName.DECLARE, {"unit": str(key)}, expires_ms)
            found.append((down_topic(address, Down.COMMAND), encode(command)))
            _log.warning("%s sends samples of a unit %d that it never declared: asked", address, key)
        return found

    def _isolate(self, group: Sequence[Incoming], error: Exception) -> None:
        """Find the guilty message by taking each alone; a message that fails alone is buried."""
        if len(group) > 1:
            _log.warning("a group of %d failed (%r): taking them one by one", len(group), error)
            for incoming in group:
                self.settle([incoming])
            return
        _log.error("a message on %s cannot be stored: %r", group[0].topic, error, exc_info=error)
        try:
            refused = refuse(group[0], dead_letters.INTERNAL_ERROR, repr(error))
            self._answer(group, *self._process([refused]))
        except Exception as again:  # noqa: BLE001 - the message's top: it must not stop the others
            if self._passes(again):
                self._database_failed(again, BACK_OFF_FROM_S)
                self.settle(group)
                return
            _log.error("nor can it be buried (%r): left to its sender, which keeps what is not acked", again)
            self._link.acknowledge(group)

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.broken or self._connection.closed:
            self._disconnect()
            self._connection = self._connect()
            register_arrays(self._connection)
            lift_limits(self._connection)
            for setting in SETTINGS:
                self._connection.execute(setting)
            # It may be another database now, or one restored from an older backup.
            self._known.clear()
            self._series.clear()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _passes(self, error: Exception) -> bool:
        return passes(error, broken=self._connection is not None and self._connection.broken)

    def _database_failed(self, error: Exception, pause_s: float) -> None:
        first_line = str(error).split("\n", 1)[0]
        _log.warning("PostgreSQL failed (%s): trying again in %.1f s", first_line, pause_s)
        self._disconnect()  # the next may reach another server
        self._stopping.wait(pause_s)


def _ack(progress: ledger.Progress) -> Ack:
    return Ack(progress.stream.epoch, progress.stream.cls, progress.prefix, progress.ranges)
