"""The audit log for whoever may ask: list, show, export, verify, sign.

Every function takes the context and the acting principal, and authorizes. A tenant sees its own lines;
whether the chain holds is the same answer for everybody: it is one chain. Instants are real time.
(`verdict` is in `looking.py`.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize
from fleet_server.audit import checkpoints, keys
from fleet_server.audit import store as log
from fleet_server.audit.recording import record
from fleet_server.audit.rules import Happening, clean
from fleet_server.audit.verifying import Checkpoint, Fault, FaultKind, Line, Place, Verified
from fleet_server.audit.verifying import verify as verify_chain
from fleet_server.auditor import formats, refusals, store
from fleet_server.auditor.looking import verdict
from fleet_server.auditor.rules import MOST, LineView, Wanted, view
from fleet_server.auditor.verdicts import Verdict
from fleet_server.context import Context
from fleet_server.errors import Forbidden, InvalidRequest, NotFound
from fleet_server.origin import REASON_MOST_CHARACTERS, checked_reason, coming_from

__all__ = [
    "MOST",
    "REASON_MOST_CHARACTERS",
    "Checkpoint",
    "Fault",
    "FaultKind",
    "LineView",
    "Place",
    "Verdict",
    "Verified",
    "Wanted",
    "checked_reason",
    "checkpoint_over",
    "export",
    "export_csv",
    "export_jsonl",
    "line",
    "lines",
    "of_pages",
    "public_keys",
    "sign",
    "verdict",
    "verify",
    "verify_file",
]


ALL = Wanted()


def lines(ctx: Context, principal: Principal, wanted: Wanted, limit: int = 100) -> list[LineView]:
    """A page, the newest first; the next one begins before its last number. Raises InvalidRequest."""
    authorize(principal, Action.AUDIT_READ)
    if not 1 <= limit <= MOST:
        raise InvalidRequest(f"The limit is from 1 to {MOST}.")
    _check_span(wanted.begins, wanted.ends)
    action, who, resource = (clean(each) for each in (wanted.action, wanted.who, wanted.resource))
    asked = replace(wanted, action=action, who=who, resource=resource)
    with ctx.db.session(principal.tenant) as session:
        found = store.listed(session, asked, principal.within, limit)
    return [view(each) for each in found]


def line(ctx: Context, principal: Principal, number: int) -> LineView:
    """Raises NotFound."""
    authorize(principal, Action.AUDIT_READ)
    with ctx.db.session(principal.tenant) as session:
        found = store.one(session, number, principal.within)
    if found is None:
        raise NotFound(f"There is no line {number} in the audit log.")
    return view(found)


def checkpoint_over(ctx: Context, principal: Principal, number: int) -> Checkpoint | None:
    """The first that signs for this line; None: it is newer than all. Whether it is right, `verify` says."""
    authorize(principal, Action.AUDIT_READ)
    with ctx.db.session() as session:  # a checkpoint is nobody's: it signs for the one chain
        return log.first_checkpoint(session, number)


def export_jsonl(
    ctx: Context,
    principal: Principal,
    begins: datetime | None = None,
    ends: datetime | None = None,
    *,
    names: bool = True,
) -> Iterator[str]:
    """A file that can be verified anywhere (`formats.py`), line by line; that it was taken is a line itself.

    names: with names, addresses and reasons. Raises InvalidRequest.
    """
    _begin_export(ctx, principal, begins, ends, "jsonl", names)
    return _jsonl(ctx, principal, begins, ends, names)


def export_csv(
    ctx: Context,
    principal: Principal,
    begins: datetime | None = None,
    ends: datetime | None = None,
    *,
    names: bool = True,
    wanted: Wanted = ALL,
) -> Iterator[str]:
    """A table for people; nothing in it can be verified. wanted: of what lies between only these.

    Raises InvalidRequest.
    """
    _begin_export(ctx, principal, begins, ends, "csv", names)
    within = principal.within
    chosen = (
        each
        for each in _span(ctx, begins, ends)
        if (within is None or (each.copied or {}).get("tenant") == within) and wanted.fits(view(each))
    )
    return formats.csv_rows(chosen, names=names)


def export(
    ctx: Context, principal: Principal, form: str, wanted: Wanted, *, names: bool = True
) -> Iterator[str]:
    """form: "jsonl", "csv". Raises InvalidRequest, also where lines are chosen for a file to be verified."""
    if form == "csv":
        return export_csv(ctx, principal, wanted.begins, wanted.ends, names=names, wanted=wanted)
    if replace(wanted, begins=None, ends=None) != ALL:
        raise InvalidRequest(
            "A file that can be verified has every line of its days.", remedy="Choose days, or ask for CSV."
        )
    return export_jsonl(ctx, principal, wanted.begins, wanted.ends, names=names)


def verify(
    ctx: Context,
    principal: Principal,
    seen: Sequence[Place] = (),
    told: Callable[[str], None] = lambda _: None,
) -> Verified:
    """Walk the whole log of this moment. seen: lines whose hashes somebody noted down elsewhere.

    Raises ConfigurationError where the public keys cannot be read.
    """
    authorize(principal, Action.AUDIT_READ)
    signed = keys.signed_by(keys.read_public(keys.public_files(ctx.config.data_dir)))
    with ctx.db.session() as session:
        store.one_snapshot(session)
        given = log.checkpoints(session)
        lines_in_order = _counted(store.in_order(session), told)
        return verify_chain(lines_in_order, given, signed, head=log.head(session), seen=seen)


def _counted(found: Iterable[Line], told: Callable[[str], None]) -> Iterator[Line]:
    for each in found:
        if each.number % store.LINES_AT_ONCE == 0:
            told(f"verified line {each.number:,}")
        yield each


def verify_file(
    file: Path,
    public: Iterable[Path],
    seen: Sequence[Place] = (),
    told: Callable[[str], None] = lambda _: None,
) -> Verified:
    """An export (JSON lines), without a server: with the keys in `public`. Raises InvalidRequest,
    ConfigurationError."""
    signed = keys.signed_by(keys.read_public(public))
    given = [each for each in _rows(file) if isinstance(each, Checkpoint)]
    start = formats.read_head(next(_texts(file), ""))
    found = _counted((each for each in _rows(file) if isinstance(each, Line)), told)
    return verify_chain(found, given, signed, start=start, seen=seen)


def sign(ctx: Context, principal: Principal, now: datetime | None = None) -> Checkpoint:
    """A checkpoint at the newest line, which says who asked for it. Raises ConfigurationError."""
    authorize(principal, Action.AUDIT_EXPORT)
    key = keys.load(ctx.config.data_dir)
    with ctx.db.session() as session:
        record(session, principal, Happening.CHECKPOINT, "audit log")
    with ctx.db.session() as session:
        return checkpoints.sign(session, key, log.head(session), now or datetime.now(UTC))


def public_keys(ctx: Context, principal: Principal) -> dict[str, str]:
    """PEM by the key's id: what an auditor verifies with."""
    authorize(principal, Action.AUDIT_READ)
    files = keys.public_files(ctx.config.data_dir)
    return {next(iter(keys.read_public([path]))): path.read_text() for path in files}


def _begin_export(
    ctx: Context, principal: Principal, begins: datetime | None, ends: datetime | None, form: str, names: bool
) -> None:
    authorize(principal, Action.AUDIT_EXPORT)
    _check_span(begins, ends)
    told = {"from": begins, "to": ends, "format": form, "names": names}
    with ctx.db.session(principal.tenant) as session:
        record(session, principal, Action.AUDIT_EXPORT, "audit log", after=told)


def _jsonl(
    ctx: Context, principal: Principal, begins: datetime | None, ends: datetime | None, names: bool
) -> Iterator[str]:
    whole = begins is None and ends is None
    with ctx.db.session() as session:
        store.one_snapshot(session)
        span = store.span_of(session, begins, ends) or (1, 0)
        first, last = span
        start: Place | None = None if whole else store.place_of(session, first - 1)
        if not whole and start is None:
            start = Place(0, bytes(32))
        given = log.checkpoints(session, 0 if whole else first, last if last else None)
        chosen = store.in_order(session, first, last)
        yield from formats.jsonl(chosen, given, start, whose=principal.within, names=names)


def _span(ctx: Context, begins: datetime | None, ends: datetime | None) -> Iterator[Line]:
    with ctx.db.session() as session:
        store.one_snapshot(session)
        span = store.span_of(session, begins, ends)
        if span is not None:
            yield from store.in_order(session, *span)


def _texts(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8") as opened:
            yield from opened
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidRequest(f"{file} cannot be read: {reason}.") from error


def _rows(file: Path) -> Iterator[Line | Checkpoint]:
    for number, text in enumerate(_texts(file), start=1):
        if number > 1:
            yield formats.read_row(text, number)


def _check_span(begins: datetime | None, ends: datetime | None) -> None:
    for each in (begins, ends):
        if each is not None and each.tzinfo is None:
            raise InvalidRequest(
                f"{each.isoformat()} has no time zone.", remedy="Write 2026-11-20T12:00:00Z."
            )
    if begins is not None and ends is not None and begins >= ends:
        raise InvalidRequest(f"from {begins.isoformat()} is not before to {ends.isoformat()}.")


@contextmanager
def of_pages(ctx: Context, address: str, reason: str = "") -> Iterator[None]:
    """What the pages ask for within, on behalf of a browser at this IP address; refusals are written down."""
    with coming_from("pages", address, reason=reason):
        try:
            yield
        except Forbidden as refused:
            refusals.note(ctx, refused)
            raise
