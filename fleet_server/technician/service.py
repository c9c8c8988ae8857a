"""What technicians do at a post, carried out once: the tool and the phone's pages come through here.

Everything may be told again: an id that is known answers what was answered before, with other content it is a
conflict. Instants are real time; `now` is given by tests.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from fleet_server.access.rules import EVERY_TENANT, Action, Principal
from fleet_server.access.service import authorize
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.errors import Conflict, Forbidden, Gone, InvalidRequest, NotFound
from fleet_server.masking import in_log, masked, sees_names
from fleet_server.origin import because, origin
from fleet_server.technician import carrying_out, rules, store
from fleet_server.technician.checking import drawn, measures, site_check, waits_for_ack
from fleet_server.technician.field import ClaimLabel, FieldSettings, address_of, field_settings, label_of
from fleet_server.technician.handing_over import Handover, written_report
from fleet_server.technician.rules import BadWork, Kind, Work
from fleet_server.technician.store import PhotoRecord, ReportRecord, WorkRecord
from provisioning.errors import ProvisioningError
from provisioning.technician import photos as pictures
from provisioning.technician.report import verify
from wire_contract.topics import Address

__all__ = [
    "ClaimLabel",
    "FieldSettings",
    "Handover",
    "Kind",
    "NewWork",
    "PhotoRecord",
    "ReportRecord",
    "WorkRecord",
    "address_of",
    "check_work",
    "do_work",
    "drawn",
    "field_settings",
    "get_photo",
    "get_report",
    "hand_over",
    "label_of",
    "list_photos",
    "list_reports",
    "measures",
    "put_photo",
    "put_report",
    "remove_photo",
    "report_document",
    "site_check",
    "site_history",
    "waits_for_ack",
]

log = logging.getLogger(__name__)

LIST_LIMIT = 200
_NAMES = ("technician", "received_by", "sent_by")


@dataclass(frozen=True)
class NewWork:
    """What is told: `id` by the technician's tool, `body` as its kind has it (`rules.TYPES`)."""

    id: str
    kind: Kind
    address: Address
    done_at: datetime
    body: Mapping[str, Any]

    @property
    def digest(self) -> bytes:
        told = [self.kind, str(self.address), self.done_at.isoformat(), dict(self.body)]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()


def do_work(ctx: Context, principal: Principal, told: NewWork, now: datetime | None = None) -> WorkRecord:
    """Carry it out and write it down; what is there already is answered again.

    Raises Forbidden, NotFound, InvalidRequest, Conflict (another work has this id, or something newer stands
    against it), and what carrying it out raises: a second person may be needed.
    """
    instant = now or datetime.now(UTC)
    work = _read(principal, told, instant)
    devices.get_device(ctx, principal, told.address)
    with ctx.db.session(principal.tenant) as session:
        known = store.find_work(session, told.id)
        if known is not None:
            return _the_same(known, told)
        _check_in_time(session, told)
    given = origin().reason if told.kind is Kind.NOTE else ""  # a note is its own reason where none is given
    with because(given or rules.reason_of(work)):
        carrying_out.carry_out(ctx, principal, told.address, work, told.done_at)
        made = WorkRecord(
            told.id, told.address, told.kind, told.done_at, instant, principal.name, asdict(work), told.digest
        )
        return _written(ctx, principal, told, made)


def _written(ctx: Context, principal: Principal, told: NewWork, made: WorkRecord) -> WorkRecord:
    """Into the site's history. Raises Conflict."""
    with ctx.db.session(principal.tenant) as session:
        if not store.insert_work(session, made):  # told twice at once
            known = store.find_work(session, told.id)
            assert known is not None, "an id that is taken and not there"
            return _the_same(known, told)
        after = {"kind": str(told.kind), "work": told.id, "done_at": told.done_at.isoformat()}
        record(session, principal, Action.SITES_REPORT, str(told.address), after=after)
    log.info("%s: %s by %s, done at %s", told.address, told.kind, in_log(principal), told.done_at)
    return made


def check_work(ctx: Context, principal: Principal, told: NewWork, now: datetime | None = None) -> None:
    """Would it be taken, as far as that can be told? Changes nothing. Raises Forbidden, NotFound,
    InvalidRequest."""
    work = _read(principal, told, now or datetime.now(UTC))
    devices.get_device(ctx, principal, told.address)
    carrying_out.check(work, told.done_at)


def _read(principal: Principal, told: NewWork, now: datetime) -> Work:
    authorize(principal, Action.SITES_REPORT, str(told.address))
    _check_id(told.id)
    try:
        work = rules.read_work(told.kind, told.body)
    except BadWork as wrong:
        raise InvalidRequest(f"This work cannot be taken: {wrong}.") from wrong
    _check_when(told.done_at, now)
    return work


def _the_same(known: WorkRecord, told: NewWork) -> WorkRecord:
    if known.digest != told.digest:
        raise Conflict("Another work has this id.", remedy="Tell it under an id of its own.")
    return known


def _check_in_time(session: Session, told: NewWork) -> None:
    newer = rules.superseded(told.kind, told.done_at, store.since(session, told.address, told.done_at))
    if newer is not None:
        raise Conflict(
            f"It was not carried out: {newer.by} did {newer.kind} at {newer.done_at:%Y-%m-%d %H:%M} UTC, "
            "which is after it.",
            remedy="Tell it again as of now if it is still meant.",
        )


def _check_when(done_at: datetime, now: datetime) -> None:
    problem = rules.when_problem(done_at, now)
    if problem is not None:
        raise InvalidRequest(f"This time cannot be: {problem}.")


def _check_id(given: str) -> None:
    if not rules.WORK_ID.fullmatch(given):
        raise InvalidRequest("An id is 32 lower-case hexadecimal digits.")


def site_history(
    ctx: Context, principal: Principal, address: Address, *, before: datetime | None = None, limit: int = 100
) -> list[WorkRecord]:
    """What was done at the post, the newest first. Raises Forbidden, NotFound."""
    authorize(principal, Action.SITES_READ, str(address))
    devices.get_device(ctx, principal, address)
    with ctx.db.session(principal.tenant) as session:
        found = store.history(session, address, min(limit, LIST_LIMIT), before)
    return [masked(principal, each, "done_by") for each in found]


def put_report(
    ctx: Context, principal: Principal, report_id: str, document: bytes, now: datetime | None = None
) -> ReportRecord:
    """Keep a signed hand-over, its bytes as they are, and write it into the site's history.

    Raises Forbidden, NotFound, InvalidRequest (damaged, changed, unsigned), Conflict.
    """
    authorize(principal, Action.SITES_REPORT)
    instant = now or datetime.now(UTC)
    _check_id(report_id)
    try:
        found = verify(document)
    except ProvisioningError as refused:
        raise InvalidRequest(f"This is no site report: {refused.what}.", remedy=refused.remedy) from refused
    report = found.report
    if report.id != report_id:
        raise InvalidRequest("The report has another id than its address.")
    address, made_at = Address.parse(report.device), datetime.fromisoformat(report.made_at)
    authorize(principal, Action.SITES_REPORT, str(address))
    _check_when(made_at, instant)
    devices.get_device(ctx, principal, address)
    with ctx.db.session(principal.tenant) as session:
        made = ReportRecord(
            id=report_id,
            address=address,
            made_at=made_at,
            received_at=instant,
            technician=report.technician,
            received_by=report.received_by,
            sent_by=principal.name,
            key_fingerprint=found.key_fingerprint,
            key_known=store.key_is_known(session, address.tenant, principal.name, found.key_fingerprint),
            passed=report.passed,
            sha256=found.sha256,
        )
        if not store.insert_report(session, made, document):
            known = store.find_report(session, report_id)
            if known is None or known.sha256 != found.sha256:
                raise Conflict("Another report has this id.", remedy="Make the report again.")
            return known
        body = {"report": report_id, "passed": report.passed, "height_m": report.height_m}
        work = WorkRecord(
            report_id, address, Kind.HANDOVER, made_at, instant, principal.name, body,
            bytes.fromhex(found.sha256),
        )  # fmt: skip
        store.insert_work(session, work)
        released = store.release_documents(session, address, made.sent_by, rules.REPORTS_KEPT)
        after = {"kind": "handover", "report": report_id, "sha256": found.sha256, "passed": report.passed}
        record(
            session, principal, Action.SITES_REPORT, str(address),
            after=after | ({"files_released": released} if released else {}),
            personal={"technician": report.technician, "received_by": report.received_by},
        )  # fmt: skip
    log.info("%s: handed over by %s, report %s", address, in_log(principal), report_id)
    return made


def hand_over(ctx: Context, principal: Principal, address: Address, told: Handover) -> ReportRecord:
    """From a phone: with the site test as the city sees it; its note is the reason where none is given.
    Raises as `put_report`."""
    report_id, document = written_report(ctx, principal, address, told)
    with because(origin().reason or " ".join(told.note.split())):
        return put_report(ctx, principal, report_id, document)


def list_reports(
    ctx: Context,
    principal: Principal,
    address: Address | None = None,
    *,
    before: datetime | None = None,
    limit: int = 100,
) -> list[ReportRecord]:
    """The newest first, of one lamppost or of the tenant. Raises Forbidden."""
    authorize(principal, Action.SITES_READ, str(address) if address else "*")
    tenant = None if principal.tenant == EVERY_TENANT else principal.tenant
    if address is not None:
        tenant = address.tenant
    with ctx.db.session(principal.tenant) as session:
        device = None if address is None else address.device
        found = store.reports(session, tenant, device, min(limit, LIST_LIMIT), before)
    return [masked(principal, each, *_NAMES) for each in found]


def get_report(ctx: Context, principal: Principal, report_id: str) -> ReportRecord:
    """Raises Forbidden, NotFound."""
    authorize(principal, Action.SITES_READ)
    with ctx.db.session(principal.tenant) as session:
        found = store.find_report(session, report_id)
    if found is None or principal.tenant not in (EVERY_TENANT, found.address.tenant):
        raise NotFound(f"There is no site report {report_id[:32]}.")
    return masked(principal, found, *_NAMES)


def report_document(ctx: Context, principal: Principal, report_id: str) -> bytes:
    """Its bytes, as they were signed: nobody's name can be made shorter there. Raises Forbidden,
    NotFound; Gone where the file was released for newer ones, or emptied for a person who was erased."""
    if not sees_names(principal):
        raise Forbidden("A signed report names people.", remedy="Ask somebody who works with it.")
    found = get_report(ctx, principal, report_id)
    with ctx.db.session(principal.tenant) as session:
        document = store.report_document(session, found.id)
        newer = store.newer_reports(session, found)
    if document:
        return document
    why = (
        f"{newer} newer ones came from the same account, whose newest {rules.REPORTS_KEPT} are kept"
        if newer >= rules.REPORTS_KEPT
        else "it named a person whose data was erased"
    )
    raise Gone(
        f"The file of this site report is not kept any more: {why}.",
        remedy=f"A copy is the one that was signed where its SHA-256 is {found.sha256}.",
    )


def put_photo(
    ctx: Context,
    principal: Principal,
    address: Address,
    content: bytes,
    caption: str = "",
    *,
    keep_metadata: bool = False,
    now: datetime | None = None,
) -> PhotoRecord:
    """Keep a picture of the post, without what the camera wrote into it (place, time, its own number).

    keep_metadata: as it is, where somebody wants that. Raises Forbidden, NotFound, InvalidRequest, Conflict.
    """
    authorize(principal, Action.SITES_REPORT, str(address))
    devices.get_device(ctx, principal, address)
    if len(caption) > rules.NAME_MOST or (caption and not caption.isprintable()):
        raise InvalidRequest(f"A caption has at most {rules.NAME_MOST} printable characters.")
    try:
        kind, kept = pictures.media_type(content), pictures.stripped(content)
    except ProvisioningError as refused:
        raise InvalidRequest(
            f"{refused.what[0].upper()}{refused.what[1:]}.", remedy=refused.remedy
        ) from refused
    kept = content if keep_metadata else kept
    made = PhotoRecord(
        address, hashlib.sha256(kept).hexdigest(), kind, caption, principal.name,
        now or datetime.now(UTC), len(kept),
    )  # fmt: skip
    with ctx.db.session(principal.tenant) as session:
        there = store.photos(session, address)
        if len(there) >= rules.PHOTOS_MOST and made.sha256 not in {each.sha256 for each in there}:
            raise Conflict(f"There are {rules.PHOTOS_MOST} pictures already.", remedy="Remove one first.")
        store.insert_photo(session, made, kept)
        after = {"kind": "photo", "sha256": made.sha256, "metadata_kept": keep_metadata}
        record(session, principal, Action.SITES_REPORT, str(address), after=after)
    return made


def list_photos(ctx: Context, principal: Principal, address: Address) -> list[PhotoRecord]:
    """The newest first. Raises Forbidden, NotFound."""
    authorize(principal, Action.SITES_READ, str(address))
    devices.get_device(ctx, principal, address)
    with ctx.db.session(principal.tenant) as session:
        found = store.photos(session, address)
    return [masked(principal, each, "sent_by") for each in found]


def get_photo(ctx: Context, principal: Principal, address: Address, sha256: str) -> tuple[PhotoRecord, bytes]:
    """Raises Forbidden, NotFound."""
    authorize(principal, Action.SITES_READ, str(address))
    with ctx.db.session(principal.tenant) as session:
        found = store.photos(session, address, sha256)
        content = store.photo_content(session, address, sha256)
    if not found or content is None:
        raise NotFound("There is no such picture.")
    return masked(principal, found[0], "sent_by"), content


def remove_photo(ctx: Context, principal: Principal, address: Address, sha256: str) -> None:
    """Raises Forbidden, NotFound."""
    authorize(principal, Action.SITES_REPORT, str(address))
    with ctx.db.session(principal.tenant) as session:
        if not store.delete_photo(session, address, sha256):
            raise NotFound("There is no such picture.")
        before = {"kind": "photo", "sha256": sha256}
        record(session, principal, Action.SITES_REPORT, str(address), before=before)
