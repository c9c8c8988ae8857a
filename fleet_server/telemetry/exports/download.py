"""A download, for whoever may have it: authorized, limited in number, one snapshot, closed whatever happens.

Part of the telemetry service (`service.py` has its names).
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg

from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize
from fleet_server.context import Context
from fleet_server.errors import DatabaseUnreachable, InvalidRequest, NotFound, TooManyRequests
from fleet_server.telemetry import versions
from fleet_server.telemetry.exports import aggregates, rows
from fleet_server.telemetry.exports.asking import (
    MEDIA_TYPES,
    Question,
    Subject,
    channels_of,
    check,
    check_width,
    file_name,
)
from fleet_server.telemetry.queries import version
from fleet_server.telemetry.rules import Resolution
from fleet_server.tenants.rules import Quotas
from fleet_server.tenants.service import quotas_of

log = logging.getLogger(__name__)

# Of one api process. Each holds a connection and about one core: two leave the database to the ingest.
MOST_AT_ONCE = 2
RETRY_AFTER_S = 15
_places = threading.BoundedSemaphore(MOST_AT_ONCE)
_running: Counter[str] = Counter()  # by tenant, of those in _places
_counting = threading.Lock()


class TooManyDownloads(TooManyRequests):
    """As many run as this process takes."""


@dataclass
class Download:
    """`chunks`: the file's bytes, to be taken from a thread, one at a time. Close it, at its end too.

    Taking one raises DatabaseUnreachable where the database goes away: the file is then not whole.
    """

    media_type: str
    file_name: str
    chunks: Iterator[bytes]
    _connection: psycopg.Connection[object] = field(repr=False)
    _tenant: str
    _closing: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _closed: bool = False

    def take(self) -> bytes | None:
        """The next bytes; None at the end."""
        try:
            return next(self.chunks, None)
        except psycopg.Error as lost:
            reason = str(lost).split("\n", 1)[0]
            raise DatabaseUnreachable(f"The database broke a download off: {reason}") from lost

    def close(self) -> None:
        """End the query and give the place to the next; more than once is once."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._connection.close()
        _leave(self._tenant)


def export(ctx: Context, principal: Principal, question: Question) -> Download:
    """Begin a download. Raises InvalidRequest, NotFound, TooManyDownloads, DatabaseUnreachable."""
    _allow(principal, question)
    check(question)
    quotas = quotas_of(ctx, principal.tenant)
    _enter(principal.tenant, quotas)
    connection = None
    try:
        connection = ctx.db.raw()
        return _begun(ctx, principal, quotas, question, connection)
    except BaseException as failed:
        if connection is not None:
            connection.close()
        _leave(principal.tenant)
        if isinstance(failed, psycopg.OperationalError):
            raise DatabaseUnreachable(f"The database does not answer: {failed}") from failed
        raise


def _allow(principal: Principal, question: Question) -> None:
    aggregate = aggregates.AGGREGATES.get(question.subject)
    action = Action.TELEMETRY_READ if aggregate is None else aggregate.action
    for resource in [str(address) for address in question.devices] or ["*"]:
        authorize(principal, action, resource)


def export_version(ctx: Context, principal: Principal, question: Question) -> tuple[object, ...] | None:
    """What changes with every download of this question. Raises as `export`.

    None: of means and indices nothing cheap tells that they are the same, for a calibration, a district or a
    lamppost's state changes old ones, and to look at each takes as long as the download.
    """
    _allow(principal, question)
    check(question)
    return version(ctx, principal) if question.subject is Subject.UNITS else None


def _enter(tenant: str, quotas: Quotas) -> None:
    """Take a place. Raises TooManyDownloads."""
    with _counting:
        own = min(MOST_AT_ONCE, quotas.downloads or MOST_AT_ONCE)
        if _running[tenant] >= own or not _places.acquire(blocking=False):
            raise TooManyDownloads(
                f"{own if _running[tenant] >= own else MOST_AT_ONCE} downloads run already.",
                remedy="Come again when one has ended.",
                members={"retry_after_s": RETRY_AFTER_S},
            )
        _running[tenant] += 1


def _leave(tenant: str) -> None:
    with _counting:
        _running[tenant] -= 1
        _places.release()


def _begun(
    ctx: Context,
    principal: Principal,
    quotas: Quotas,
    question: Question,
    connection: psycopg.Connection[object],
) -> Download:
    rows.begin(connection, principal.tenant)
    _need_devices(ctx, principal, question)
    made = _of_units if question.subject is Subject.UNITS else _of_aggregates
    chunks = made(ctx, principal, quotas, question, connection)
    return Download(MEDIA_TYPES[question.format], file_name(question), chunks, connection, principal.tenant)


def _of_aggregates(
    ctx: Context,
    principal: Principal,
    quotas: Quotas,
    question: Question,
    connection: psycopg.Connection[object],
) -> Iterator[bytes]:
    from fleet_server.telemetry.exports.encoding import written

    within, most = principal.within, quotas.download_rows
    if question.filters and not aggregates.more_than(connection, question, within, 0):
        raise NotFound("Nothing is of this selection.", remedy="Look at /api/v1/districts for what there is.")
    if most is not None and aggregates.more_than(connection, question, within, most):
        raise _too_many(most)
    schema = aggregates.schema_of(question, _about(within or ctx.config.tenant.name, question))
    return written(question.format, schema, aggregates.batches(connection, question, within, schema))


def _of_units(
    ctx: Context,
    principal: Principal,
    quotas: Quotas,
    question: Question,
    connection: psycopg.Connection[object],
) -> Iterator[bytes]:
    from fleet_server.telemetry.exports.encoding import encoded

    sources = rows.sources(connection, question, principal.within)
    if not sources:
        raise NotFound(
            "No sensor unit is of this selection.",
            remedy="Look at /api/v1/telemetry/latest for what there is.",
        )
    channels = channels_of(sources)
    check_width(question, channels)
    if quotas.download_rows is not None and rows.more_than(
        connection, question, sources, quotas.download_rows
    ):
        raise _too_many(quotas.download_rows)
    about = _about(principal.within or ctx.config.tenant.name, question)
    return encoded(question, channels, about, rows.blocks(connection, question, sources))


def _too_many(most: int) -> InvalidRequest:
    return InvalidRequest(
        f"This download would have more than {most:,} rows.",
        remedy="Ask for less time, for fewer lampposts, or for a coarser resolution.",
    )


def _need_devices(ctx: Context, principal: Principal, question: Question) -> None:
    with ctx.db.session(principal.tenant) as session:
        for address in question.devices:
            if versions.device_of(session, address) is None:
                raise NotFound(f"There is no device {address}.")


def _about(tenant: str, question: Question) -> dict[str, str]:
    """The file's own metadata, where the format has room for it."""
    aggregate = aggregates.AGGREGATES.get(question.subject)
    what = "samples" if question.resolution is Resolution.RAW else f"buckets of {question.resolution}"
    corrections = "none: as the sensors measured it, no calibration and no correction applied"
    if question.subject in (Subject.INDEX, Subject.DISTRICT_INDEX):
        corrections = "calibrated or corrected, as the index is"
    return {
        "lamppost.tenant": tenant,
        "lamppost.from": question.begins.isoformat(),
        "lamppost.to": question.ends.isoformat(),
        "lamppost.resolution": str(question.resolution),
        "lamppost.layout": str(question.layout),
        "lamppost.content": what if aggregate is None else aggregate.content,
        "lamppost.corrections": corrections,
        "lamppost.attribution": f"Street sensors of {tenant}, collected with Lamppost",
        "lamppost.licence": "not stated: ask the city before you publish",
    }
