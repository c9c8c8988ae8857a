"""The migrations, and that they lead to exactly the tables that the slices describe."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlmodel import SQLModel

import fleet_server
from fleet_server import migrations


def whole(_object: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    """Not the partitions of a month: they are as their whole."""
    return kind != "table" or not re.search(r"_\d{4}_\d{2}$", name or "")


def test_the_newest_migration_is_what_the_slices_describe(database_url: str) -> None:
    for path in sorted(Path(fleet_server.__file__).parent.glob("*/tables.py")):
        importlib.import_module(f"fleet_server.{path.parent.name}.tables")
    engine = sqlalchemy.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "compare_server_default": True, "include_object": whole},
        )
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


def test_down_and_up_again(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    migrations.downgrade(empty_database_url, "base")
    engine = sqlalchemy.create_engine(empty_database_url.replace("postgresql://", "postgresql+psycopg://", 1))
    assert sqlalchemy.inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    migrations.upgrade(empty_database_url)
    migrations.upgrade(empty_database_url)


def test_every_step_has_one_file_and_one_predecessor() -> None:
    scripts = sorted(Path(migrations.__file__).parent.glob("versions/*.py"))
    names = [path.name.split("_")[0] for path in scripts]
    assert names == [f"{n:04}" for n in range(1, len(names) + 1)]
