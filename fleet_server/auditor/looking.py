"""Does the log hold? Asked as often as somebody likes, and walked as far as that takes (`verdicts.py`).

Part of the auditor's service (`service.py` has its names).
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlmodel import Session

from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize
from fleet_server.audit import keys
from fleet_server.audit import store as log
from fleet_server.audit.verifying import Place, Signed, Verified
from fleet_server.audit.verifying import verify as verify_chain
from fleet_server.auditor import store
from fleet_server.auditor.verdicts import Base, Verdict, Verdicts, joined, verdicts_of
from fleet_server.context import Context
from fleet_server.errors import Forbidden


def verdict(ctx: Context, principal: Principal, *, full: bool = False) -> Verdict:
    """Does the log hold? Walked as far as needed (`verdicts.py`): a page may ask as often as it likes.

    full: every line once more, for those who act in the whole installation. Raises Forbidden, Walking,
    ConfigurationError.
    """
    authorize(principal, Action.AUDIT_READ)
    if full and principal.within is not None:
        raise Forbidden(
            "Every line is walked anew for officers of the whole installation.",
            remedy="Without full=true you hear the last word, and when it was.",
        )
    kept = verdicts_of(ctx.db)
    with kept.walking() as mine:
        if mine:
            _look(ctx, kept, datetime.now(UTC), full=full)
        assert kept.last is not None
        return kept.last


def _look(ctx: Context, kept: Verdicts, now: datetime, *, full: bool) -> None:
    signed = keys.signed_by(keys.read_public(keys.public_files(ctx.config.data_dir)))
    with ctx.db.session() as session:
        store.one_snapshot(session)
        ends = log.head(session), log.newest_checkpoint(session)
        if not full and kept.stands(now, ends):
            return
        base = None if full else kept.base_now(now)
        if base is not None and kept.last is not None:
            since = _since(session, signed, base)
            if since.fault is None:
                kept.last = Verdict(joined(base.found, since), now, kept.last.whole_at)
                kept.ends = ends
                return
        found, kept.base = _whole(session, signed, ends[0])
        kept.last, kept.ends = Verdict(found, now, now), ends


def _whole(session: Session, signed: Signed, head: Place) -> tuple[Verified, Base | None]:
    """The newest line is left to the second part: it may be signed for later on."""
    before = store.place_of(session, head.number - 1)
    if before is None:
        return verify_chain(store.in_order(session), log.checkpoints(session), signed, head=head), None
    given = log.checkpoints(session, 0, before.number)
    found = verify_chain(store.in_order(session, 1, before.number), given, signed, head=before)
    if found.fault is not None:
        return found, None
    base = Base(found, before)
    return joined(found, _since(session, signed, base)), base


def _since(session: Session, signed: Signed, base: Base) -> Verified:
    first = base.place.number + 1
    given, lines = log.checkpoints(session, first), store.in_order(session, first)
    return verify_chain(lines, given, signed, start=base.place, head=log.head(session))
