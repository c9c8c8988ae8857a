"""People of tenants: roles, OIDC, second factors, API tokens, requests for a second person."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SESSION_COLUMNS = {
    "number": "INTEGER GENERATED ALWAYS AS IDENTITY NOT NULL",
    "tenant": "TEXT DEFAULT '*' NOT NULL",
    "via": "TEXT DEFAULT 'password' NOT NULL",
    "address": "TEXT DEFAULT '' NOT NULL",
    "agent": "TEXT DEFAULT '' NOT NULL",
}
TABLES = (
    """
    CREATE TABLE operator_grant (
        operator_id INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        source TEXT NOT NULL,
        roles TEXT[] NOT NULL,
        PRIMARY KEY (operator_id, tenant, source),
        CONSTRAINT operator_grant_operator_fkey FOREIGN KEY(operator_id) REFERENCES operator (id)
    )
    """,
    """
    CREATE TABLE operator_identity (
        issuer TEXT NOT NULL,
        subject TEXT NOT NULL,
        operator_id INTEGER NOT NULL,
        linked_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (issuer, subject),
        CONSTRAINT operator_identity_operator_fkey FOREIGN KEY(operator_id) REFERENCES operator (id)
    )
    """,
    """
    CREATE TABLE second_factor (
        operator_id INTEGER NOT NULL,
        sealed BYTEA NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        confirmed_at TIMESTAMP WITH TIME ZONE,
        last_step BIGINT DEFAULT 0 NOT NULL,
        PRIMARY KEY (operator_id),
        CONSTRAINT second_factor_operator_fkey FOREIGN KEY(operator_id) REFERENCES operator (id)
    )
    """,
    """
    CREATE TABLE recovery_code (
        operator_id INTEGER NOT NULL,
        code_hash BYTEA NOT NULL,
        used_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (operator_id, code_hash),
        CONSTRAINT recovery_code_operator_fkey FOREIGN KEY(operator_id) REFERENCES operator (id)
    )
    """,
    """
    CREATE TABLE sign_in_ticket (
        ticket_hash BYTEA NOT NULL,
        operator_id INTEGER NOT NULL,
        wanted TEXT NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        failures INTEGER DEFAULT 0 NOT NULL,
        PRIMARY KEY (ticket_hash),
        CONSTRAINT sign_in_ticket_operator_fkey FOREIGN KEY(operator_id) REFERENCES operator (id)
    )
    """,
    """
    CREATE TABLE sign_in_flow (
        state_hash BYTEA NOT NULL,
        binding_hash BYTEA NOT NULL,
        nonce TEXT NOT NULL,
        verifier TEXT NOT NULL,
        wanted TEXT NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (state_hash)
    )
    """,
    """
    CREATE TABLE api_token (
        id INTEGER GENERATED ALWAYS AS IDENTITY,
        tenant TEXT NOT NULL,
        operator_id INTEGER NOT NULL,
        name TEXT NOT NULL,
        roles TEXT[] NOT NULL,
        scopes TEXT[] NOT NULL,
        token_hash BYTEA NOT NULL,
        created_by TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        last_used_at TIMESTAMP WITH TIME ZONE,
        revoked_at TIMESTAMP WITH TIME ZONE,
        revoked_by TEXT DEFAULT '' NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT api_token_operator_fkey FOREIGN KEY(operator_id) REFERENCES operator (id),
        CONSTRAINT api_token_hash_key UNIQUE (token_hash)
    )
    """,
    """
    CREATE INDEX api_token_tenant_idx ON api_token (tenant, id)
    """,
    """
    CREATE TABLE second_person_request (
        id INTEGER GENERATED ALWAYS AS IDENTITY,
        tenant TEXT NOT NULL,
        action TEXT NOT NULL,
        resource TEXT NOT NULL,
        digest BYTEA NOT NULL,
        what TEXT NOT NULL,
        reason TEXT NOT NULL,
        state TEXT NOT NULL,
        asked_by TEXT NOT NULL,
        asked_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        decided_by TEXT DEFAULT '' NOT NULL,
        decided_at TIMESTAMP WITH TIME ZONE,
        note TEXT DEFAULT '' NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    """
    CREATE INDEX second_person_request_tenant_idx ON second_person_request (tenant, id)
    """,
)


def upgrade() -> None:
    """Who had roles has them in the whole installation, as before; who is signed in stays so."""
    for statement in TABLES:
        op.execute(statement)
    op.execute(
        "INSERT INTO operator_grant (operator_id, tenant, source, roles)"
        " SELECT id, '*', 'local', roles FROM operator WHERE cardinality(roles) > 0"
    )
    op.execute("ALTER TABLE operator DROP COLUMN roles")
    op.execute("ALTER TABLE operator ALTER COLUMN password_hash DROP NOT NULL")
    for name, kind in SESSION_COLUMNS.items():
        op.execute(f"ALTER TABLE operator_session ADD COLUMN {name} {kind}")


def downgrade() -> None:
    """Roles of one tenant are lost, and people without a password stay out."""
    op.execute("DELETE FROM operator_session")
    for name in SESSION_COLUMNS:
        op.execute(f"ALTER TABLE operator_session DROP COLUMN {name}")
    op.execute("UPDATE operator SET password_hash = '' WHERE password_hash IS NULL")
    op.execute("ALTER TABLE operator ALTER COLUMN password_hash SET NOT NULL")
    op.execute("ALTER TABLE operator ADD COLUMN roles TEXT[] DEFAULT '{}' NOT NULL")
    op.execute(
        "UPDATE operator SET roles = g.roles FROM operator_grant g"
        " WHERE g.operator_id = operator.id AND g.tenant = '*' AND g.source = 'local'"
    )
    op.execute("ALTER TABLE operator ALTER COLUMN roles DROP DEFAULT")
    for table in (
        "second_person_request", "api_token", "sign_in_flow", "sign_in_ticket",
        "recovery_code", "second_factor", "operator_identity", "operator_grant",
    ):  # fmt: skip
        op.execute(f"DROP TABLE {table}")
