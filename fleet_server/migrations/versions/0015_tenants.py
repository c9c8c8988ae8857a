"""Tenants and their quotas. The wall between them is put up after the last step (fleet_server/tenants)."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TENANT = """
    CREATE TABLE tenant (
        name TEXT NOT NULL,
        title TEXT DEFAULT '' NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        requests_a_minute INTEGER,
        requests_a_minute_each INTEGER,
        devices INTEGER,
        downloads INTEGER,
        download_rows BIGINT,
        PRIMARY KEY (name)
    )
"""


def upgrade() -> None:
    op.execute(TENANT)
    op.execute("INSERT INTO tenant (name) SELECT DISTINCT tenant FROM device")


def downgrade() -> None:
    op.execute("DROP TABLE tenant")
