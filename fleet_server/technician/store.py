"""Queries of the technician slice: a session in, plain dataclasses out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from fleet_server.technician import tables
from fleet_server.technician.rules import Kind, Since
from wire_contract.topics import Address

W, R, P = tables.SiteWork, tables.SiteReport, tables.SitePhoto


@dataclass(frozen=True)
class WorkRecord:
    """One line of a site's history."""

    id: str
    address: Address
    kind: Kind
    done_at: datetime
    received_at: datetime
    done_by: str
    body: dict[str, Any]
    digest: bytes = field(repr=False, compare=False)


@dataclass(frozen=True)
class ReportRecord:
    """A hand-over, without its bytes."""

    id: str
    address: Address
    made_at: datetime
    received_at: datetime
    technician: str
    received_by: str
    sent_by: str
    key_fingerprint: str
    key_known: bool
    passed: bool
    sha256: str


@dataclass(frozen=True)
class PhotoRecord:
    """A picture, without its bytes."""

    address: Address
    sha256: str
    media_type: str
    caption: str
    sent_by: str
    received_at: datetime
    bytes: int


def find_work(session: Session, work_id: str) -> WorkRecord | None:
    row = session.execute(select(W).where(col(W.id) == work_id)).scalar_one_or_none()
    return None if row is None else _work(row)


def insert_work(session: Session, made: WorkRecord) -> bool:
    """False where the id is there already."""
    statement = insert(W).values(
        id=made.id,
        tenant=made.address.tenant,
        device=made.address.device,
        kind=made.kind,
        done_at=made.done_at,
        received_at=made.received_at,
        done_by=made.done_by,
        body=made.body,
        digest=made.digest,
    )
    found = session.execute(statement.on_conflict_do_nothing().returning(col(W.id))).scalar_one_or_none()
    return found is not None


def history(
    session: Session,
    address: Address,
    limit: int,
    before: datetime | None = None,
    kind: Kind | None = None,
) -> list[WorkRecord]:
    """Of one post, the newest first by when it was done; of one kind, or of all."""
    query = select(W).where(col(W.tenant) == address.tenant, col(W.device) == address.device)
    if before is not None:
        query = query.where(col(W.done_at) < before)
    if kind is not None:
        query = query.where(col(W.kind) == kind)
    rows = session.execute(query.order_by(col(W.done_at).desc(), col(W.id)).limit(limit)).scalars()
    return [_work(row) for row in rows]


def since(session: Session, address: Address, after: datetime) -> list[Since]:
    """What was done at the post after that instant."""
    columns: list[Any] = [W.kind, W.done_at, W.done_by]
    query = select(*columns).where(
        col(W.tenant) == address.tenant, col(W.device) == address.device, col(W.done_at) > after
    )
    return [Since(Kind(kind), at, by) for kind, at, by in session.execute(query)]


def _work(row: tables.SiteWork) -> WorkRecord:
    return WorkRecord(
        id=row.id,
        address=Address(row.tenant, row.device),
        kind=Kind(row.kind),
        done_at=row.done_at,
        received_at=row.received_at,
        done_by=row.done_by,
        body=row.body,
        digest=row.digest,
    )


def insert_report(session: Session, made: ReportRecord, document: bytes) -> bool:
    """False where the id is there already."""
    values = {name: getattr(made, name) for name in _REPORT if name not in ("tenant", "device")}
    values |= {"tenant": made.address.tenant, "device": made.address.device, "document": document}
    statement = insert(R).values(**values).on_conflict_do_nothing().returning(col(R.id))
    return session.execute(statement).scalar_one_or_none() is not None


_REPORT = (
    "id", "tenant", "device", "made_at", "received_at", "technician", "received_by", "sent_by",
    "key_fingerprint", "key_known", "passed", "sha256",
)  # fmt: skip


def find_report(session: Session, report_id: str) -> ReportRecord | None:
    query = select(*(getattr(R, name) for name in _REPORT)).where(col(R.id) == report_id)
    row = session.execute(query).one_or_none()
    return None if row is None else _report(row)


def report_document(session: Session, report_id: str) -> bytes | None:
    return session.execute(select(col(R.document)).where(col(R.id) == report_id)).scalar_one_or_none()


def release_documents(session: Session, address: Address, sent_by: str, kept: int) -> list[str]:
    """Empty the files of a post's reports that this account sent, but its newest `kept` and the post's first,
    as they came; their ids. Nobody pushes out another's."""
    of_post = (col(R.tenant) == address.tenant, col(R.device) == address.device)
    mine = (*of_post, col(R.sent_by) == sent_by)
    came = select(col(R.id)).where(*of_post)
    newest = came.where(*mine).order_by(col(R.received_at).desc(), col(R.id)).limit(kept)
    first = came.order_by(col(R.received_at), col(R.id)).limit(1)
    old = (col(R.document) != b"", col(R.id).not_in(newest), col(R.id).not_in(first))
    statement = update(R).where(*mine, *old).values(document=b"").returning(col(R.id))
    return sorted(session.execute(statement).scalars())


def newer_reports(session: Session, found: ReportRecord) -> int:
    """How many of its post came after it from the same account."""
    query = select(func.count()).where(
        col(R.tenant) == found.address.tenant,
        col(R.device) == found.address.device,
        col(R.sent_by) == select(col(R.sent_by)).where(col(R.id) == found.id).scalar_subquery(),
        col(R.received_at) > found.received_at,
    )
    return int(session.execute(query).scalar_one())


def reports(
    session: Session, tenant: str | None, device: str | None, limit: int, before: datetime | None
) -> list[ReportRecord]:
    """The newest first by when they were made. None: every tenant, every device."""
    query = select(*(getattr(R, name) for name in _REPORT))
    if tenant is not None:
        query = query.where(col(R.tenant) == tenant)
    if device is not None:
        query = query.where(col(R.device) == device)
    if before is not None:
        query = query.where(col(R.made_at) < before)
    return [
        _report(row) for row in session.execute(query.order_by(col(R.made_at).desc(), col(R.id)).limit(limit))
    ]


def key_is_known(session: Session, tenant: str, sent_by: str, fingerprint: str) -> bool:
    """This account sent reports by this key, or never sent one."""
    mine = (col(R.tenant) == tenant, col(R.sent_by) == sent_by)
    any_at_all = session.execute(select(exists().where(*mine))).scalar_one()
    by_it = session.execute(select(exists().where(*mine, col(R.key_fingerprint) == fingerprint))).scalar_one()
    return bool(by_it or not any_at_all)


def _report(row: Any) -> ReportRecord:
    told = dict(row._mapping)
    return ReportRecord(address=Address(told.pop("tenant"), told.pop("device")), **told)


def insert_photo(session: Session, made: PhotoRecord, content: bytes) -> None:
    """Keep it; the same picture again changes its caption alone."""
    statement = insert(P).values(
        tenant=made.address.tenant,
        device=made.address.device,
        sha256=made.sha256,
        media_type=made.media_type,
        caption=made.caption,
        sent_by=made.sent_by,
        received_at=made.received_at,
        content=content,
    )
    key = ["tenant", "device", "sha256"]
    session.execute(statement.on_conflict_do_update(index_elements=key, set_={"caption": made.caption}))


def photos(session: Session, address: Address, sha256: str | None = None) -> list[PhotoRecord]:
    """Of one post, the newest first; with `sha256`, that one."""
    columns: list[Any] = [P.sha256, P.media_type, P.caption, P.sent_by, P.received_at]
    query = select(*columns, func.length(col(P.content))).where(*_of(address))
    if sha256 is not None:
        query = query.where(col(P.sha256) == sha256)
    rows = session.execute(query.order_by(col(P.received_at).desc(), col(P.sha256)))
    return [PhotoRecord(address, *row) for row in rows]


def photo_content(session: Session, address: Address, sha256: str) -> bytes | None:
    query = select(col(P.content)).where(*_of(address), col(P.sha256) == sha256)
    return session.execute(query).scalar_one_or_none()


def delete_photo(session: Session, address: Address, sha256: str) -> bool:
    statement = delete(P).where(*_of(address), col(P.sha256) == sha256).returning(col(P.sha256))
    return session.execute(statement).scalar_one_or_none() is not None


def _of(address: Address) -> tuple[Any, ...]:
    return col(P.tenant) == address.tenant, col(P.device) == address.device
