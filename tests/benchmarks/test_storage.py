"""What is stored, part by part: the same parts on either engine, so that the sums say the same."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from benchmarks import storage
from tests.fleet_server.telemetry.stores import new_timescale_database
from tests.fleet_server.telemetry.support import Desk

# TimescaleDB's views as far as the sizes are asked of them, over plain tables.
_PRETENDED = """
CREATE SCHEMA timescaledb_information;
CREATE SCHEMA pretended;
CREATE TABLE timescaledb_information.hypertables AS SELECT * FROM (VALUES
    (name 'public', name 'sample_standard'), ('public', 'sample_long'), ('public', 'unit_minute')
) AS t(hypertable_schema, hypertable_name);
CREATE TABLE timescaledb_information.chunks (
    chunk_schema name, chunk_name name, hypertable_name name, is_compressed boolean);
CREATE TABLE timescaledb_information.continuous_aggregates (
    view_name name, materialization_hypertable_schema name, materialization_hypertable_name name);
CREATE FUNCTION hypertable_size(regclass) RETURNS bigint LANGUAGE sql
    AS $$ SELECT CASE $1::text WHEN 'sample_standard' THEN 100 WHEN 'sample_long' THEN 20
                 WHEN 'unit_minute' THEN 3 ELSE 4000 END::bigint $$;
"""
_MATERIALIZED = """
CREATE TABLE pretended.hours AS SELECT 1;
CREATE TABLE pretended.days AS SELECT 1;
INSERT INTO timescaledb_information.continuous_aggregates VALUES
    ('unit_hour', 'pretended', 'hours'), ('unit_day', 'pretended', 'days');
"""


@pytest.fixture
def pretended(database_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_PRETENDED.encode())
        yield connection


def test_what_continuous_aggregates_are_materialized_in_counts(
    pretended: psycopg.Connection[tuple[object, ...]],
) -> None:
    tables = storage.sizes(pretended, storage.native(pretended))
    assert set(tables) == set(storage.PARTS)
    without = storage.chunks(pretended)
    assert without == {"samples": 120, "minutes": 3, "hours and days": tables["hours and days"]}
    assert without["hours and days"] > 0
    pretended.execute(_MATERIALIZED.encode())
    assert storage.chunks(pretended) == {"samples": 120, "minutes": 3, "hours and days": 8000}


@pytest.mark.timescale
def test_on_timescaledb_every_part_takes_room() -> None:
    with new_timescale_database() as url:
        found = {
            each.name.rpartition(": ")[2]: each.value for each in storage._told("TimescaleDB", url, 1, 2)
        }
        assert set(found) == {*storage.PARTS, "all of it"}
        assert all(value > 0 for value in found.values())
        desk = Desk(url)
        jobs = "SELECT count(*) FROM timescaledb_information.jobs WHERE job_id >= 1000 AND scheduled"
        assert desk.one(jobs) == 0
        desk.close()
