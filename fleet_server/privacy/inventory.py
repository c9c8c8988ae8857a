"""Every place where personal data may lie: which column, whose, how it is told, kept how long.

The record of processing (GDPR, article 30) is this table; find, export, erase and the worker's retention go
by it. `NOBODY` names the other columns that hold text: a test walks the database's catalogue, and a column
that stands in neither fails it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class How(StrEnum):
    NAME = "a name"  # the whole value is a person's name, an account's, or a person's address
    TEXT = "free text"  # may speak of anybody
    JSON = "free text in JSON"
    BYTES = "a document"  # signed by somebody: emptied as a whole
    BESIDE = "beside an audit line"  # has a salted digest in the line


class Kept(StrEnum):
    """Classes of keeping; the figures stand in [retention] of server.toml."""

    ACCOUNT = "as long as the account"
    NAMES = "names_days"  # 24 months: what was done at a post is asked about later (design, standards 7.3)
    ADDRESSES = "addresses_days"  # 90 days: to look into an intrusion that is found late
    SHORT = "hours to days, then it removes itself"
    THING = "as long as what it is about; erased on request"


@dataclass(frozen=True)
class Place:
    """at: the instant that a name's age is counted from, SQL over the table `t`. also: what goes with it."""

    table: str
    column: str
    how: How
    whose: str
    kept: Kept
    at: str = ""
    also: str = ""


def _named(table: str, column: str, whose: str, at: str, also: str = "") -> Place:
    return Place(table, column, How.NAME, whose, Kept.NAMES, at, also)


def _text(table: str, column: str, whose: str) -> Place:
    return Place(table, column, How.TEXT, whose, Kept.THING)


_LINE_AT = "(SELECT l.at FROM audit_line l WHERE l.number = t.number)"

PLACES = (
    Place("operator", "name", How.NAME, "who has an account", Kept.ACCOUNT),
    Place("operator_identity", "subject", How.NAME, "who signs in by OpenID Connect", Kept.ACCOUNT),
    Place("sign_in_failure", "name", How.NAME, "who failed to sign in", Kept.SHORT),
    Place("sign_in_failure", "address", How.NAME, "who failed to sign in", Kept.SHORT),
    Place("operator_session", "address", How.NAME, "who is signed in", Kept.SHORT),
    Place("operator_session", "agent", How.TEXT, "who is signed in", Kept.SHORT),
    _text("api_token", "name", "who named a machine's token"),
    _named("api_token", "created_by", "who made a machine's token", "t.expires_at"),
    _named("api_token", "revoked_by", "who revoked it", "t.expires_at"),
    _named("second_person_request", "resource", "whose data a request is about", "t.asked_at", "digest = ''"),
    _named("second_person_request", "asked_by", "who asked for a second person", "t.asked_at"),
    _named("second_person_request", "decided_by", "who agreed or not", "t.asked_at"),
    # the whole request goes then (fleet_server/access/upkeep.py)
    Place("second_person_request", "what", How.TEXT, "whom a request is about", Kept.NAMES, "t.asked_at"),
    Place("second_person_request", "reason", How.TEXT, "whom its reason names", Kept.NAMES, "t.asked_at"),
    Place("second_person_request", "note", How.TEXT, "whom a note names", Kept.NAMES, "t.asked_at"),
    Place("audit_personal", "value", How.BESIDE, "who did what, from where and why", Kept.NAMES, _LINE_AT),
    _named("claim", "created_by", "who made a claim", "t.created_at"),
    _named("claim_alarm", "seen_by", "who looked at an alarm", "t.seen_at"),
    _named("claim_batch", "technician", "for whom claims were made", "t.created_at"),
    _named("claim_batch", "created_by", "who made them", "t.created_at"),
    _text("claim_batch", "reason", "whom a reason names"),
    _named("enrolment", "decided_by", "who let a lamppost in", "t.decided_at"),
    _text("enrolment", "reason", "whom a reason names"),
    _text("enrolment", "site", "whose house or balcony a lamppost stands by"),
    _text("device", "site", "whose house or balcony a lamppost stands by"),
    _text("sensor_unit", "site", "whose house or balcony it hangs on"),
    Place("device_twin", "tags", How.JSON, "whom a tag names", Kept.THING),
    Place("device_twin", "tags_at", How.JSON, "whom a tag's key names", Kept.THING),
    Place("device_twin", "desired", How.JSON, "whom a wish names", Kept.THING),
    Place("device_twin", "own", How.JSON, "whom a wish names", Kept.THING),
    _text("device_group", "title", "whom a title names"),
    _text("device_group", "query", "whom a query names"),
    _named("command", "asked_by", "who sent a command", "t.asked_at"),
    _named("command", "canceled_by", "who called it back", "t.asked_at"),
    _text("command", "reason", "whom a reason names"),
    Place("command", "arguments", How.JSON, "whom an argument names", Kept.THING),
    _named("calibration", "created_by", "who entered a calibration", "t.created_at"),
    _text("calibration", "source", "who measured it"),
    _named("incident", "acknowledged_by", "who looked after an incident", "t.closed_at"),
    _named("incident", "closed_by", "who closed it", "t.closed_at"),
    _text("incident", "close_reason", "whom a reason names"),
    _named("incident_event", "by", "who did what in an incident", "t.at"),
    _text("incident_event", "text", "whom a note names"),
    _named("site_work", "done_by", "who worked at a post", "t.done_at"),
    Place("site_work", "body", How.JSON, "whom a technician's notes name", Kept.THING),
    _named("site_report", "technician", "who handed a post over", "t.made_at"),
    _named("site_report", "received_by", "who took it over", "t.made_at"),
    _named("site_report", "sent_by", "who sent the report", "t.received_at"),
    Place("site_report", "document", How.BYTES, "who is named in a report", Kept.THING),
    _named("site_photo", "sent_by", "who took a picture", "t.received_at"),
    _text("site_photo", "caption", "whom a caption names"),
)  # fmt: skip

# Columns with text that name nobody: kinds, states, hashes, names of things, what programs say.
NOBODY: dict[str, str] = {
    "account_hand": "what",
    "air_hour": "pollutant correction",
    "air_index": "index_id category driver correction",
    "alembic_version": "version_num",
    "api_token": "tenant roles scopes",
    "audit_checkpoint": "kind key_id",
    "audit_line": "tenant action body",
    "audit_personal": "name tenant",
    "calibration": "channel",
    "certificate": "serial tenant device key_fingerprint revocation",
    "claim": "id district tenant way batch registered_key",
    "claim_alarm": "tenant claim_id device key_fingerprint",
    "claim_batch": "id tenant district state",
    "command": "tenant token name state idempotency_key digest bulk detail result late",
    "command_file": "tenant name",
    "command_piece": "tenant",
    "command_reply": "command detail",
    "dead_letter": "topic properties reason detail",
    "decision_counter": "name",
    "device": "tenant name state presence agent_version settings backlog reported district cell",
    "device_condition": "code subject severity detail remedy source",
    "device_group": "tenant name settings settings_at",
    "device_group_member": "tenant",
    "device_place": "cell district",
    "device_twin": "tenant own_at origin acknowledged_desired reported_at acks",
    "district_day": "tenant district channel unit",
    "district_dirty": "tenant district",
    "district_hour": "tenant district channel unit",
    "district_index": "tenant district index_id category driver",
    "district_move": "tenant district",
    "enrolment": "claim_id state tenant device key_fingerprint chain_pem old_serial",
    "flood": "tenant state",
    "incident": "tenant kind state severity title district",
    "incident_event": "what",
    "incident_member": "fault",
    "ingest_counter": "worker name",
    "operator": "password_hash",
    "operator_grant": "tenant source roles",
    "operator_identity": "issuer",
    "operator_session": "tenant via provider_session",
    "retention_log": "what tenant",
    "retention_rule": "tenant kind class",
    "second_person_request": "tenant action state",
    "sensor_unit": "kind serial layout retention",
    "series": "channel unit",
    "sign_in_flow": "nonce verifier wanted",
    "sign_in_ticket": "wanted",
    "site_photo": "tenant device sha256 media_type",
    "site_report": "id tenant device key_fingerprint sha256",
    "site_work": "id tenant device kind",
    "tenant": "name title",
    "tenant_retention": "tenant class",
    "tenant_setting": "tenant settings settings_at",
    "tombstone": "reason",
    "two_person_hold": "tenant",
    "verdict": "kind reason model",
}
# never in a copy for the person: proofs of identity, and bytes that are not theirs
SECRETS = (
    "password_hash", "secret_hash", "token_hash", "token", "sealed", "salt", "digest", "csr", "chain_pem",
    "document", "content",
)  # fmt: skip
