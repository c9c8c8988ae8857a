"""Alembic's hook: runs the steps on the connection that `fleet_server.migrations` hands over."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
if connection is None:
    raise RuntimeError("use fleet_server.migrations.upgrade(url)")
# The caller holds the transaction (and the lock in it): all steps happen, or none.
context.configure(connection=connection, target_metadata=None, transaction_per_migration=False)
context.run_migrations()
