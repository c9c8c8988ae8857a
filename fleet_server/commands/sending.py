"""Which commands are to be sent now. No queue for any lamppost: the table says what it has not answered.

One at a time for each lamppost, in the order in which they were asked for; the next when the one before has
ended. At once when it is asked for or the lamppost connects, then again at growing intervals until it
answers. One that began is sent again, too, with a time that is over: a lamppost that knows it answers with
what came of it, one that does not refuses to begin it.

Commands of a lamppost that is away are laid aside (`waits`) until it connects: thousands of them would be
looked at each second.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import text

from fleet_server.clock import StreetClock
from fleet_server.commands import rules
from fleet_server.commands.rules import RESEND_AFTER, Event, State
from fleet_server.context import Context
from fleet_server.outgoing import Outgoing
from wire_contract.envelope import encode
from wire_contract.limits import MAX_TIME_MS
from wire_contract.messages import Command
from wire_contract.topics import Address, Down, Up, down_topic, up_topic

AT_ONCE = 200  # a tick's work: the broker takes so many in milliseconds
ASIDE_AT_ONCE = 5_000
DOUBLINGS = (
    7  # 30 s, a minute, ... 64 minutes: a metered link must not pay for a lamppost that does not answer
)
_OVER_MS = 0  # a time that is over on every clock
_DUE = text("""
SELECT c.id, c.token, c.name, c.arguments, c.state, c.expires_at,
       d.tenant, d.name AS device, d.presence_session
FROM command c JOIN device d ON d.id = c.device_id
WHERE c.state IN ('queued', 'sent', 'received') AND NOT c.waits
      AND d.presence = 'online' AND d.state IN ('active', 'pending')
      AND c.not_before <= :now AND (c.state = 'received' OR c.expires_at > :now)
      AND (c.sent_at IS NULL OR c.sent_session IS DISTINCT FROM d.presence_session
           OR c.sent_at + :again * power(2, least(c.sendings - 1, :doublings)) <= :now)
      AND NOT EXISTS (SELECT FROM command o WHERE o.device_id = c.device_id AND o.id < c.id
                      AND o.state IN ('queued', 'sent', 'received') AND o.not_before <= :now)
ORDER BY c.id LIMIT :limit FOR NO KEY UPDATE OF c SKIP LOCKED
""")
# The lamppost's row is locked, or left to the next turn: one that connects just now takes them up again.
_ASIDE = text("""
UPDATE command SET waits = true WHERE id IN (
    SELECT c.id FROM command c JOIN device d ON d.id = c.device_id
    WHERE c.state IN ('queued', 'sent', 'received') AND NOT c.waits AND d.presence <> 'online'
    LIMIT :limit FOR NO KEY UPDATE OF c SKIP LOCKED FOR SHARE OF d SKIP LOCKED)
""")
_SENT = text(
    "UPDATE command SET state = :state, sent_at = :now, sent_session = :session, sendings = sendings + 1"
    " WHERE id = :id"
)


def due_now(ctx: Context, now: datetime | None = None) -> list[Outgoing]:
    """The messages to give to the broker; that they were is committed before. now: real time, for tests.

    A server that dies in between has sent nothing, and sends it again later.
    """
    instant = now or datetime.now(UTC)
    given = {"now": instant, "again": RESEND_AFTER, "doublings": DOUBLINGS, "limit": AT_ONCE}
    messages = []
    with ctx.db.session() as session:
        for row in session.execute(_DUE, given).all():
            state = rules.step(State(row.state), Event.SEND)
            sent = {"state": state, "now": instant, "session": row.presence_session, "id": row.id}
            session.execute(_SENT, sent)
            left_s = max((row.expires_at - instant).total_seconds(), 1.0)
            expires_ms = _OVER_MS if state is State.RECEIVED else _street_ms(ctx.clock, left_s)
            command = Command(row.token, row.name, row.arguments, expires_ms)
            messages.append(_message(Address(row.tenant, row.device), command, left_s))
        session.execute(_ASIDE, {"limit": ASIDE_AT_ONCE})
    return messages


def _street_ms(clock: StreetClock, left_s: float) -> int:
    """Lampposts know the street's clock only."""
    return min(clock.now_ms() + int(left_s * 1000 * clock.speed), MAX_TIME_MS)


def _message(address: Address, command: Command, left_s: float) -> Outgoing:
    """Answered on the class's own channel, as everything is that must not be lost."""
    expiry_s = int(min(left_s, RESEND_AFTER.total_seconds()))
    return Outgoing(
        down_topic(address, Down.COMMAND),
        encode(command),
        max(expiry_s, 1),
        up_topic(address, Up.REPLY),
        command.id.encode(),
    )
