"""A hand-over from a phone's page: the site test as the city sees it, signed by the server's own key.

A report that `lamppost provision handover` makes is signed by the technician's key. Here the account that was
signed in stands for the technician, and the server's key (DATA_DIR/field.key) for the account.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.errors import InvalidRequest
from fleet_server.technician import checking, store
from provisioning.errors import ProvisioningError
from provisioning.technician.report import (
    PHOTOS_MOST,
    REPORT_MAX_BYTES,
    Picture,
    SiteReport,
    checked,
    signed,
    technician_key,
)
from provisioning.technician.report_page import render
from wire_contract.topics import Address

KEY_FILE = "field.key"


@dataclass(frozen=True)
class Handover:
    """What a person tells. Empty names: the account's. since: as `checking.site_check` takes it."""

    technician: str = ""
    received_by: str = ""
    note: str = ""
    height_m: float | None = None
    since: datetime | None = None


def written_report(ctx: Context, principal: Principal, address: Address, told: Handover) -> tuple[str, bytes]:
    """The report's id and its signed bytes, with the newest pictures that fit. Raises Forbidden, NotFound,
    InvalidRequest."""
    authorize(principal, Action.SITES_REPORT, str(address))
    record = devices.get_device(ctx, principal, address).record
    test = checking.site_check(ctx, principal, address, told.since)
    report = SiteReport(
        id=secrets.token_hex(16),
        device=str(address),
        made_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        technician=told.technician.strip() or principal.name,
        received_by=told.received_by.strip(),
        site=record.site,
        district=record.district,
        latitude=record.latitude,
        longitude=record.longitude,
        height_m=told.height_m,
        note=told.note.strip(),
        test=test,
        photos=_pictures(ctx, principal, address),
    )
    try:
        key = technician_key(ctx.config.data_dir / KEY_FILE)
        return report.id, signed(render(checked(report)), key)
    except ProvisioningError as wrong:
        raise InvalidRequest(f"{wrong.what[0].upper()}{wrong.what[1:]}.", remedy=wrong.remedy) from wrong


def _pictures(ctx: Context, principal: Principal, address: Address) -> tuple[Picture, ...]:
    room = REPORT_MAX_BYTES // 2  # base64 takes four for three, and the rest of the report
    found = []
    with ctx.db.session(principal.tenant) as session:
        for each in store.photos(session, address)[:PHOTOS_MOST]:
            room -= each.bytes
            if room < 0:
                break
            content = store.photo_content(session, address, each.sha256) or b""
            digest = hashlib.sha256(content).hexdigest()
            found.append(Picture(digest, each.media_type, each.caption, content))
    return tuple(found)
