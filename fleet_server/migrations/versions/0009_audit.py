"""The audit log: hash-chained lines, signed checkpoints, personal values beside them.

Whoever writes needs `audit_append` and nothing else: it runs with the rights of the tables' owner, so a role
that may execute it and read the tables can neither change a line nor forge one's place in the chain.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE audit_line (
        number BIGINT NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        tenant TEXT NOT NULL,
        action TEXT NOT NULL,
        body TEXT NOT NULL,
        hash BYTEA NOT NULL,
        PRIMARY KEY (number)
    )
    """,
    "CREATE INDEX audit_line_tenant_idx ON audit_line (tenant, number)",
    "CREATE INDEX audit_line_action_idx ON audit_line (action, number)",
    "CREATE INDEX audit_line_at_idx ON audit_line (at)",
    """
    CREATE TABLE audit_personal (
        number BIGINT NOT NULL,
        name TEXT NOT NULL,
        tenant TEXT NOT NULL,
        salt BYTEA,
        value TEXT NOT NULL,
        erased_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (number, name),
        CONSTRAINT audit_personal_line_fkey FOREIGN KEY(number) REFERENCES audit_line (number)
            ON DELETE CASCADE
    )
    """,
    # hash: a paragraph is longer than a b-tree's entry may be
    "CREATE INDEX audit_personal_value_idx ON audit_personal USING hash (value)",
    """
    CREATE TABLE audit_head (
        one BOOLEAN NOT NULL,
        number BIGINT NOT NULL,
        hash BYTEA NOT NULL,
        PRIMARY KEY (one)
    )
    """,
    "INSERT INTO audit_head VALUES (true, 0, decode(repeat('00', 32), 'hex'))",
    """
    CREATE TABLE audit_checkpoint (
        number BIGINT NOT NULL,
        kind TEXT NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        hash BYTEA NOT NULL,
        key_id TEXT NOT NULL,
        signature BYTEA NOT NULL,
        PRIMARY KEY (number, kind)
    )
    """,
)
# A lock that everybody takes last: who has it commits before the next reads the head, so the order of numbers
# is the order of commits. Inside acts the owner, whom no tenant's wall stops: there is one chain for all.
APPEND = """
CREATE FUNCTION audit_append(bodies text[], beside jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    n bigint;
    h bytea;
    told jsonb;
BEGIN
    PERFORM pg_advisory_xact_lock(7265009);
    SELECT number, hash INTO STRICT n, h FROM audit_head;
    FOR i IN 1 .. cardinality(bodies) LOOP
        n := n + 1;
        told := bodies[i]::jsonb;
        h := sha256(h || int8send(n) || convert_to(bodies[i], 'UTF8'));
        INSERT INTO audit_line (number, at, tenant, action, body, hash) VALUES
            (n, (told->>'at')::timestamptz, told->>'tenant', told->>'action', bodies[i], h);
        INSERT INTO audit_personal (number, name, tenant, salt, value)
            SELECT n, e->>0, told->>'tenant', decode(e->>1, 'hex'), e->>2
            FROM jsonb_array_elements(beside->(i - 1)) e;
    END LOOP;
    UPDATE audit_head SET number = n, hash = h;
    RETURN n;
END $$
"""
# A line may go when a checkpoint of retention stands for it; that its signature is right, `verify` sees.
REFUSE = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT FROM audit_checkpoint c
                   WHERE c.kind = 'retention' AND c.number >= OLD.number + TG_ARGV[0]::bigint) THEN
            RETURN OLD;
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'audit_personal' THEN
        IF NEW.number = OLD.number AND NEW.name = OLD.name AND NEW.tenant = OLD.tenant
           AND NEW.salt IS NULL AND NEW.erased_at IS NOT NULL THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$
"""
# table -> by how much a checkpoint has to be beyond the row: a checkpoint does not stand for itself
GUARDED = {"audit_line": 0, "audit_personal": 0, "audit_checkpoint": 1}


def upgrade() -> None:
    for statement in (*TABLES, APPEND, REFUSE):
        op.execute(statement)
    op.execute("REVOKE EXECUTE ON FUNCTION audit_append(text[], jsonb) FROM PUBLIC")
    for table, beyond in GUARDED.items():
        op.execute(
            f"CREATE TRIGGER {table}_is_kept BEFORE UPDATE OR DELETE ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION audit_refuse({beyond})"
        )
        op.execute(
            f"CREATE TRIGGER {table}_is_not_emptied BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse(0)"
        )


def downgrade() -> None:
    for table in ("audit_checkpoint", "audit_head", "audit_personal", "audit_line"):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION audit_append(text[], jsonb)")
    op.execute("DROP FUNCTION audit_refuse()")
