"""What technicians do at a post: its history, signed site reports, pictures."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE site_work (
        id TEXT NOT NULL,
        tenant TEXT NOT NULL,
        device TEXT NOT NULL,
        kind TEXT NOT NULL,
        done_at TIMESTAMP WITH TIME ZONE NOT NULL,
        received_at TIMESTAMP WITH TIME ZONE NOT NULL,
        done_by TEXT NOT NULL,
        body JSONB DEFAULT '{}' NOT NULL,
        digest BYTEA NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    """
    CREATE INDEX site_work_device_idx ON site_work (tenant, device, done_at)
    """,
    """
    CREATE TABLE site_report (
        id TEXT NOT NULL,
        tenant TEXT NOT NULL,
        device TEXT NOT NULL,
        made_at TIMESTAMP WITH TIME ZONE NOT NULL,
        received_at TIMESTAMP WITH TIME ZONE NOT NULL,
        technician TEXT NOT NULL,
        received_by TEXT DEFAULT '' NOT NULL,
        sent_by TEXT NOT NULL,
        key_fingerprint TEXT NOT NULL,
        key_known BOOLEAN NOT NULL,
        passed BOOLEAN NOT NULL,
        sha256 TEXT NOT NULL,
        document BYTEA NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    """
    CREATE INDEX site_report_device_idx ON site_report (tenant, device, made_at)
    """,
    """
    CREATE TABLE site_photo (
        tenant TEXT NOT NULL,
        device TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        media_type TEXT NOT NULL,
        caption TEXT DEFAULT '' NOT NULL,
        sent_by TEXT NOT NULL,
        received_at TIMESTAMP WITH TIME ZONE NOT NULL,
        content BYTEA NOT NULL,
        PRIMARY KEY (tenant, device, sha256)
    )
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    for table in ("site_photo", "site_report", "site_work"):
        op.execute(f"DROP TABLE {table}")
