"""Why a certificate is revoked or on hold, in its own row: the revocation list can be lost.

Filled as far as the database knows: those of decommissioned lampposts, of lampposts that another computer has
taken the place of, and what the audit log tells are for good. Of the others the list says it, at the next
start (`enrolment/relisting.py`).
"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# RFC 5280, section 5.3.1; '': not revoked, or not known
ADD = "ALTER TABLE certificate ADD COLUMN revocation TEXT DEFAULT '' NOT NULL"
# The line's reason, which begins with RFC 5280's word, stands beside it, and may be erased.
TOLD = """
    UPDATE certificate k SET revocation = coalesce(a.word, 'unspecified')
    FROM (
        SELECT DISTINCT ON (told.serial) told.serial, (
            SELECT w FROM audit_personal p, unnest(ARRAY['keyCompromise', 'affiliationChanged', 'superseded',
                'cessationOfOperation', 'privilegeWithdrawn', 'unspecified']) w
            WHERE p.number = l.number AND p.name = 'reason' AND split_part(p.value, ':', 1) = w
        ) AS word
        FROM (SELECT number, body::jsonb -> 'after' AS after FROM audit_line
              WHERE action = 'certificates:revoke') l,
            LATERAL (
                SELECT l.after ->> 'serial' AS serial WHERE l.after ->> 'state' = 'revoked'
                UNION ALL SELECT t.key FROM jsonb_each_text(
                    CASE jsonb_typeof(l.after) WHEN 'object' THEN l.after ELSE '{}' END) t
                WHERE t.key NOT IN ('state', 'serial', 'good') AND t.value = 'revoked'
            ) told
        ORDER BY told.serial, l.number
    ) a
    WHERE k.serial = a.serial AND k.revoked_at IS NOT NULL
"""
# All from before the replacing computer's first: an EST client may keep its key when it renews.
REPLACED = """
    UPDATE certificate k SET revocation = 'superseded'
    WHERE k.revoked_at IS NOT NULL AND k.revocation = '' AND EXISTS (
        SELECT FROM enrolment e
        JOIN claim c ON c.id = e.claim_id
        WHERE e.state = 'issued' AND (c.replaces OR e.known) AND e.tenant = k.tenant AND e.device = k.device
            AND k.issued_at < (
                SELECT min(n.issued_at) FROM certificate n
                WHERE n.tenant = e.tenant AND n.device = e.device AND n.key_fingerprint = e.key_fingerprint
                    AND n.issued_at >= e.decided_at
            )
    )
"""
DECOMMISSIONED = """
    UPDATE certificate k SET revocation = 'cessationOfOperation' FROM device d
    WHERE d.tenant = k.tenant AND d.name = k.device AND d.state = 'decommissioned'
        AND k.revoked_at IS NOT NULL AND k.revocation = ''
"""


def upgrade() -> None:
    for step in (ADD, TOLD, REPLACED, DECOMMISSIONED):
        op.execute(step)


def downgrade() -> None:
    op.execute("ALTER TABLE certificate DROP COLUMN revocation")
