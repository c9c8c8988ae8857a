"""Whose hand was in an account, when a tenant last had two people, which logout tokens were used."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

COLUMNS = {
    "operator": ("must_change_password", "BOOLEAN DEFAULT false NOT NULL"),
    "operator_session": ("provider_session", "TEXT DEFAULT '' NOT NULL"),
}
TABLES = (
    """
    CREATE TABLE account_hand (
        id INTEGER GENERATED ALWAYS AS IDENTITY,
        operator_id INTEGER NOT NULL,
        by_id INTEGER NOT NULL,
        what TEXT NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT account_hand_operator_fkey FOREIGN KEY(operator_id) REFERENCES operator (id),
        CONSTRAINT account_hand_by_fkey FOREIGN KEY(by_id) REFERENCES operator (id)
    )
    """,
    """
    CREATE TABLE two_person_hold (
        tenant TEXT NOT NULL,
        held_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (tenant)
    )
    """,
    """
    CREATE TABLE provider_logout (
        token_hash BYTEA NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (token_hash)
    )
    """,
)


def upgrade() -> None:
    for table, (name, kind) in COLUMNS.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    for table in ("provider_logout", "two_person_hold", "account_hand"):
        op.execute(f"DROP TABLE {table}")
    for table, (name, _) in COLUMNS.items():
        op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
