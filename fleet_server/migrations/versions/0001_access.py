"""Operators, their sessions, and attempts to sign in."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE operator (
        id INTEGER GENERATED ALWAYS AS IDENTITY,
        name TEXT NOT NULL,
        password_hash TEXT NOT NULL,
        roles TEXT[] NOT NULL,
        disabled BOOLEAN DEFAULT false NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT operator_name_key UNIQUE (name)
    )
    """,
    """
    CREATE TABLE operator_session (
        token_hash BYTEA NOT NULL,
        operator_id INTEGER NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (token_hash),
        CONSTRAINT operator_session_operator_fkey FOREIGN KEY(operator_id) REFERENCES operator (id)
    )
    """,
    """
    CREATE INDEX operator_session_operator_idx ON operator_session (operator_id)
    """,
    """
    CREATE TABLE sign_in_failure (
        name TEXT NOT NULL,
        address TEXT NOT NULL,
        failures INTEGER NOT NULL,
        last_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (name, address)
    )
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    for table in ("sign_in_failure", "operator_session", "operator"):
        op.execute(f"DROP TABLE {table}")
