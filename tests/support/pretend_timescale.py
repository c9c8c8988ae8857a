"""TimescaleDB as far as Lamppost calls it, pretended on plain PostgreSQL: calls, their names, their order.

It is no proof that TimescaleDB does what it says. It proves that our code takes the right branch, that each
statement is SQL, that functions are called with arguments that they have, outside a transaction where they
must be, and that the answers are the same. A continuous aggregate is a table for what is materialized and,
above its watermark, its query. Signatures: TimescaleDB 2.28, API reference.
"""

from __future__ import annotations

import re
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from fleet_server.telemetry import timescale

_STUBS = """
CREATE SCHEMA timescaledb_information;
CREATE TABLE timescaledb_information.hypertables (hypertable_schema name, hypertable_name name);
CREATE TABLE timescaledb_information.jobs (
    job_id serial, proc_name name, hypertable_schema name, hypertable_name name, config jsonb);
CREATE TABLE timescaledb_information.job_stats (job_id integer, last_successful_finish timestamptz);
CREATE SCHEMA _timescaledb_internal;
CREATE TABLE pretended (id serial, what text);
CREATE TYPE dimension_info AS (name name, width interval);

CREATE FUNCTION by_range(column_name name, partition_interval interval) RETURNS dimension_info
LANGUAGE sql AS $$ SELECT ROW(column_name, partition_interval)::dimension_info $$;

CREATE FUNCTION create_hypertable(
    relation regclass, dimension dimension_info, create_default_indexes boolean DEFAULT true,
    if_not_exists boolean DEFAULT false, migrate_data boolean DEFAULT false) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = relation) <> 'r' THEN
        RAISE 'table "%" is already partitioned', relation;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
                   AND a.attnum = ANY(i.indkey)
                   WHERE i.indrelid = relation AND i.indisprimary AND a.attname = dimension.name) THEN
        RAISE 'cannot create a unique index without the column "%"', dimension.name;
    END IF;
    INSERT INTO timescaledb_information.hypertables VALUES (current_schema(), relation::text);
    RETURN true;
END $$;

CREATE FUNCTION add_compression_policy(
    hypertable regclass, compress_after interval, if_not_exists boolean DEFAULT false) RETURNS integer
LANGUAGE sql AS $$
    INSERT INTO pretended (what) VALUES ('compress ' || hypertable) RETURNING 1
$$;

CREATE FUNCTION add_retention_policy(
    relation regclass, drop_after interval, if_not_exists boolean DEFAULT false) RETURNS integer
LANGUAGE sql AS $$
    INSERT INTO timescaledb_information.jobs (proc_name, hypertable_schema, hypertable_name, config)
    VALUES ('policy_retention', current_schema(), relation::text,
            jsonb_build_object('drop_after', drop_after))
    RETURNING job_id
$$;

CREATE FUNCTION remove_retention_policy(relation regclass, if_exists boolean DEFAULT false) RETURNS void
LANGUAGE sql AS $$
    DELETE FROM timescaledb_information.jobs WHERE hypertable_name = relation::text
$$;

CREATE FUNCTION time_bucket(bucket_width interval, ts timestamptz) RETURNS timestamptz IMMUTABLE PARALLEL SAFE
LANGUAGE sql AS $$ SELECT date_bin(bucket_width, ts, timestamptz '2000-01-03 00:00Z') $$;

CREATE TABLE aggregate (name text PRIMARY KEY, query text, watermark timestamptz DEFAULT '-infinity');
GRANT SELECT ON aggregate TO PUBLIC;
-- The planner replaces it by a constant in a SELECT. In anything else it is called, and demands a right.
CREATE FUNCTION watermark(aggregate_name text) RETURNS timestamptz STABLE
LANGUAGE plpgsql AS $$
BEGIN
    IF current_query() ~* '\\m(INSERT|UPDATE|DELETE|MERGE)\\M'
       AND NOT has_table_privilege('public.' || aggregate_name, 'SELECT') THEN
        RAISE insufficient_privilege USING MESSAGE = 'permission denied for ' || aggregate_name;
    END IF;
    RETURN (SELECT a.watermark FROM public.aggregate a WHERE a.name = aggregate_name);
END $$;

-- It commits, as the real one does: inside a transaction that is an error.
CREATE PROCEDURE refresh_continuous_aggregate(
    continuous_aggregate regclass, window_start timestamptz, window_end timestamptz,
    force boolean DEFAULT false, options jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    width interval := CASE continuous_aggregate::text WHEN 'unit_hour' THEN '1 hour' ELSE '1 day' END;
    a aggregate;
BEGIN
    IF time_bucket(width, window_start) <> window_start OR time_bucket(width, window_end) <> window_end
       OR window_start >= window_end THEN
        RAISE 'refresh window too small';
    END IF;
    IF (options ->> 'buckets_per_batch')::int IS DISTINCT FROM 0 THEN
        RAISE 'TimescaleDB 2.28 would pass over a bucket';
    END IF;
    COMMIT;
    SELECT * INTO STRICT a FROM aggregate WHERE name = continuous_aggregate::text;
    EXECUTE format('DELETE FROM %I WHERE bucket >= $1 AND bucket < $2', 'materialized_' || a.name)
        USING window_start, window_end;
    EXECUTE format('INSERT INTO %I SELECT * FROM (%s) q WHERE bucket >= $1 AND bucket < $2',
                   'materialized_' || a.name, a.query) USING window_start, window_end;
    UPDATE aggregate SET watermark = greatest(watermark, window_end) WHERE name = a.name;
END $$;

CREATE FUNCTION time_of(relation regclass) RETURNS name
LANGUAGE sql AS $$ SELECT CASE WHEN relation::text LIKE 'sample%' THEN 'time' ELSE 'bucket' END $$;
-- A chunk spans a week from a Thursday, as 1970 began on one; an aggregate's spans ten.
CREATE FUNCTION chunk_width(relation regclass) RETURNS interval
LANGUAGE sql AS $$
    SELECT interval '7 days' * CASE WHEN relation::text LIKE 'materialized%' THEN 10 ELSE 1 END
$$;
CREATE FUNCTION chunks_of(relation regclass) RETURNS SETOF timestamptz
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT DISTINCT date_bin(%L, %I, timestamptz ''1970-01-01 00:00Z'') FROM %s ORDER BY 1',
        chunk_width(relation), time_of(relation), relation);
END $$;
CREATE FUNCTION chunk_of(relation regclass, start timestamptz) RETURNS name
LANGUAGE sql AS $$
    SELECT format('chunk_%s_%s', relation, to_char(start AT TIME ZONE 'UTC', 'YYYYMMDD'))::name
$$;
CREATE VIEW timescaledb_information.chunks AS
SELECT h.hypertable_schema, h.hypertable_name, '_timescaledb_internal'::name AS chunk_schema,
       chunk_of(h.hypertable_name::regclass, c) AS chunk_name, c AS range_start,
       c + chunk_width(h.hypertable_name::regclass) AS range_end
FROM (SELECT hypertable_schema, hypertable_name::text FROM timescaledb_information.hypertables
      UNION ALL SELECT current_schema(), 'materialized_' || name FROM aggregate) h,
     LATERAL chunks_of(h.hypertable_name::regclass) c;

-- A chunk is its rows, copied: a table that can be locked and counted.
CREATE FUNCTION show_chunks(relation regclass, older_than timestamptz) RETURNS SETOF regclass
LANGUAGE plpgsql AS $$
DECLARE
    time_column name := time_of(relation);
    start timestamptz;
    past timestamptz;
    chunk text;
BEGIN
    IF EXISTS (SELECT FROM aggregate WHERE name = relation::text) THEN
        relation := ('materialized_' || relation::text)::regclass;
    END IF;
    FOR start IN SELECT chunks_of(relation) LOOP
        past := start + chunk_width(relation);
        CONTINUE WHEN past > older_than;
        chunk := chunk_of(relation, start);
        EXECUTE format('DROP TABLE IF EXISTS _timescaledb_internal.%I', chunk);
        EXECUTE format('CREATE TABLE _timescaledb_internal.%I AS SELECT * FROM %s WHERE %I >= %L AND %I < %L',
                       chunk, relation, time_column, start, time_column, past);
        RETURN NEXT format('_timescaledb_internal.%I', chunk)::regclass;
    END LOOP;
END $$;

CREATE FUNCTION drop_chunks(relation regclass, older_than timestamptz) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    time_column name := time_of(relation);
    chunk regclass;
    chunk_end timestamptz;
BEGIN
    FOR chunk IN SELECT show_chunks(relation, older_than => older_than) LOOP
        SELECT range_end INTO STRICT chunk_end FROM timescaledb_information.chunks
        WHERE format('%I.%I', chunk_schema, chunk_name) = chunk::text;
        IF EXISTS (SELECT FROM aggregate WHERE name = relation::text) THEN
            relation := ('materialized_' || relation::text)::regclass;
        END IF;
        EXECUTE format('DELETE FROM %s WHERE %I < $1', relation, time_column) USING chunk_end;
        EXECUTE format('DROP TABLE %s', chunk);
        RETURN NEXT chunk::text;
    END LOOP;
END $$;
"""


_AGGREGATE = re.compile(
    r'CREATE MATERIALIZED VIEW "(\w+)"'
    r" WITH \(timescaledb\.continuous, timescaledb\.materialized_only = false\) AS (.*) WITH NO DATA",
    re.DOTALL,
)


def install(url: str, patch: pytest.MonkeyPatch) -> None:
    """Into the database at `url`; the code under test then takes it for one with the extension."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_STUBS.encode())
    patch.setattr(timescale, "prepare", lambda _engine: True)
    patch.setattr(timescale, "_only_there", _only_there)


def _only_there(
    connection: psycopg.Connection[Any], statement: LiteralString, *parts: sql.Composable
) -> None:
    """Have PostgreSQL parse it, and do what of it can be done without the extension."""
    words = sql.SQL(statement).format(*parts).as_string(connection)
    connection.execute(f"DO $check$ BEGIN IF false THEN {words}; END IF; END $check$".encode())
    connection.execute("INSERT INTO pretended (what) VALUES (%s)", (words,))
    found = _AGGREGATE.fullmatch(words)
    if found is None:
        assert words.startswith("ALTER TABLE")
        return
    name, query = found.groups()
    connection.execute("INSERT INTO aggregate (name, query) VALUES (%s, %s)", (name, query))
    connection.execute(f"CREATE TABLE materialized_{name} AS {query} WITH NO DATA".encode())
    connection.execute(
        f"CREATE VIEW {name} AS SELECT * FROM materialized_{name} WHERE bucket < watermark('{name}')"
        f" UNION ALL SELECT * FROM ({query}) q WHERE bucket >= watermark('{name}')".encode()
    )
