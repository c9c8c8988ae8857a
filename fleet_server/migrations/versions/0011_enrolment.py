"""Enrolment in advance: batches of claims, registered public keys, policies that accept."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

STEPS = (
    """
    CREATE TABLE claim_batch (
        id TEXT NOT NULL,
        tenant TEXT NOT NULL,
        technician TEXT NOT NULL,
        district TEXT DEFAULT '' NOT NULL,
        size INTEGER NOT NULL,
        valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
        valid_until TIMESTAMP WITH TIME ZONE NOT NULL,
        state TEXT NOT NULL,
        reason TEXT DEFAULT '' NOT NULL,
        created_by TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    "ALTER TABLE claim ADD COLUMN tenant TEXT",
    "UPDATE claim SET tenant = e.tenant FROM enrolment e WHERE e.claim_id = claim.id",
    "UPDATE claim SET tenant = '' WHERE tenant IS NULL",
    "ALTER TABLE claim ALTER COLUMN tenant SET NOT NULL",
    "ALTER TABLE claim ADD COLUMN way TEXT DEFAULT 'claim' NOT NULL",
    "ALTER TABLE claim ADD COLUMN batch TEXT CONSTRAINT claim_batch_fkey REFERENCES claim_batch (id)",
    "ALTER TABLE claim ADD COLUMN registered_key TEXT",
    "ALTER TABLE claim ADD COLUMN not_before TIMESTAMP WITH TIME ZONE",
    "CREATE INDEX claim_batch_idx ON claim (batch) WHERE batch IS NOT NULL",
    "CREATE INDEX claim_registered_key_idx ON claim (registered_key) WHERE registered_key IS NOT NULL",
    "ALTER TABLE enrolment ADD COLUMN known BOOLEAN DEFAULT false NOT NULL",
    "ALTER TABLE enrolment ADD COLUMN old_serial TEXT DEFAULT '' NOT NULL",
    "DROP INDEX enrolment_due_idx",
    """
    CREATE INDEX enrolment_due_idx ON enrolment (expires_at)
    WHERE state IN ('claimed', 'suspended', 'pending')
    """,
    """
    CREATE TABLE claim_alarm (
        id INTEGER GENERATED ALWAYS AS IDENTITY,
        tenant TEXT NOT NULL,
        claim_id TEXT NOT NULL,
        device TEXT DEFAULT '' NOT NULL,
        key_fingerprint TEXT NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        seen_by TEXT DEFAULT '' NOT NULL,
        seen_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (id),
        CONSTRAINT claim_alarm_key UNIQUE (claim_id, key_fingerprint),
        CONSTRAINT claim_alarm_claim_fkey FOREIGN KEY(claim_id) REFERENCES claim (id)
    )
    """,
)
BACK = (
    "DROP TABLE claim_alarm",
    "DROP INDEX enrolment_due_idx",
    "UPDATE enrolment SET state = 'withdrawn' WHERE state = 'suspended'",
    "CREATE INDEX enrolment_due_idx ON enrolment (expires_at) WHERE state IN ('claimed', 'pending')",
    "ALTER TABLE enrolment DROP COLUMN known, DROP COLUMN old_serial",
    "ALTER TABLE claim DROP COLUMN tenant, DROP COLUMN way, DROP COLUMN batch, DROP COLUMN registered_key,"
    " DROP COLUMN not_before",
    "DROP TABLE claim_batch",
)


def upgrade() -> None:
    for statement in STEPS:
        op.execute(statement)


def downgrade() -> None:
    for statement in BACK:
        op.execute(statement)
