"""The role `ingest`: takes what devices publish, stores it, and acks what is committed."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from fleet_server.commands import sending as commands
from fleet_server.config import ServerConfig
from fleet_server.context import Context
from fleet_server.enrolment import issuing
from fleet_server.errors import DatabaseUnreachable, LamppostError
from fleet_server.limits.gauge import Gauge
from fleet_server.limits.rules import Rate
from fleet_server.ready import instance, notify_ready
from fleet_server.telemetry.ingest.broker_link import BrokerLink
from fleet_server.telemetry.ingest.intake import Incoming, Told
from fleet_server.telemetry.ingest.mailbox import Mailbox
from fleet_server.telemetry.ingest.speaking import Source, Speaker
from fleet_server.telemetry.ingest.worker import IngestWorker
from fleet_server.twin import sending as twin
from wire_contract.messages import CertificateIssued, CertificateRequest

_log = logging.getLogger(__name__)


def main(config: ServerConfig) -> int:
    """Run one worker until SIGTERM or SIGINT. What is in work is finished or left to the next one."""
    context = Context.of(config)
    name = f"ingest-{instance()}"
    mailbox = Mailbox()
    limit = Rate(config.limits.flood_messages, config.limits.flood_megabytes * 1_000_000)
    gauge = Gauge(limit, time.monotonic(), config.ingest.workers)

    def deliver(arrived: list[Incoming]) -> None:
        gauge.note(arrived)
        mailbox.put(arrived)

    link = BrokerLink(config.broker, f"lamppost-{name}", deliver, notify_ready)
    worker = IngestWorker(lambda: _connect(context), context.clock, link, _renewals(context), name=name)
    sources: dict[str, Source] = {
        "settings": lambda: twin.due_now(context),
        "commands": lambda: commands.due_now(context),
    }
    speaker = Speaker(link, sources)
    ended = threading.Event()

    def end(_signal: int, _frame: Any) -> None:
        ended.set()
        worker.stop()
        mailbox.close()

    def broke(failure: threading.ExceptHookArgs) -> None:
        """The broker's thread died of a mistake: nothing would ever come again, so start anew."""
        _log.error("a thread of the ingest made a mistake", exc_info=failure.exc_value)
        worker.stop()
        mailbox.close()

    threading.excepthook = broke
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    link.start()
    speaker.start()
    try:
        worker.run(mailbox, config.ingest.group_messages, config.ingest.group_age_ms / 1000, gauge)
    finally:
        speaker.stop()
        link.stop()
    return 0 if ended.is_set() else 1


def _connect(context: Context) -> psycopg.Connection[Any]:
    try:
        return context.db.raw(autocommit=True)
    except DatabaseUnreachable as lost:
        raise psycopg.OperationalError(lost.detail) from lost


def _renewals(context: Context) -> Callable[[Told], CertificateIssued | None]:
    """Requests for certificates are answered by the enrolment slice."""

    def renew(request: Told) -> CertificateIssued | None:
        assert isinstance(request.content, CertificateRequest)
        try:
            made = issuing.renew(context, request.address, request.content.csr_der)
        except LamppostError as error:
            _log.warning("no certificate for %s now, it will ask again: %s", request.address, error)
            return None
        # the roots come along, as certificates of the same answer: what the city trusts from now on
        return CertificateIssued(made.chain_pem + made.trust_pem, made.refused)

    return renew
