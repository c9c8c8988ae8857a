"""Samples by retention class, one wide row a sensor unit and minute, district rollups; views for readers.

What was stored moves: `sample` becomes `sample_standard`, the narrow rollups and `latest` become wide rows.
The old names are views with the old columns. Turning the tables into partitioned ones or hypertables comes
after this step (`fleet_server/migrations/__init__.py`).
"""

from __future__ import annotations

import sqlalchemy
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SLOTS = range(16)
MISSING = 9  # the flag of a reading that the sensor did not give
CLASSES = ("short", "standard", "long")
UNITS = {"unit_minute": "rollup_1m", "unit_hour": "rollup_1h", "unit_day": "rollup_1d"}
FIELDS = {"sum": "BIGINT", "n": "INTEGER", "min": "INTEGER", "max": "INTEGER", "flagged": "INTEGER"}
VALUES = ", ".join(f"s{i}" for i in SLOTS)

_SAMPLE = """
    CREATE TABLE {name} (
        sensor_unit INTEGER NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        {slots},
        flags BIGINT NOT NULL,
        PRIMARY KEY (sensor_unit, time)
    )
"""
_ROLLUP = """
    CREATE TABLE {name} (
        series_id INTEGER NOT NULL,
        bucket TIMESTAMP WITH TIME ZONE NOT NULL,
        n INTEGER NOT NULL,
        sum BIGINT NOT NULL,
        min INTEGER,
        max INTEGER,
        flagged INTEGER NOT NULL,
        PRIMARY KEY (series_id, bucket)
    )
"""
_LATEST = """
    CREATE TABLE {name} (
        series_id INTEGER NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        value INTEGER,
        flag SMALLINT NOT NULL,
        PRIMARY KEY (series_id)
    )
"""
_SLOT_COLUMNS = ", ".join(f"s{i} INTEGER" for i in SLOTS)
_UNIT = """
    CREATE TABLE {name} (
        sensor_unit INTEGER NOT NULL,
        bucket TIMESTAMP WITH TIME ZONE NOT NULL,
        {columns},
        PRIMARY KEY (sensor_unit, bucket)
    )
"""
_DISTRICT = """
    CREATE TABLE {name} (
        tenant TEXT NOT NULL,
        district TEXT NOT NULL,
        channel TEXT NOT NULL,
        unit TEXT NOT NULL,
        bucket TIMESTAMP WITH TIME ZONE NOT NULL,
        lampposts INTEGER NOT NULL,
        n BIGINT NOT NULL,
        mean FLOAT NOT NULL,
        low FLOAT NOT NULL,
        high FLOAT NOT NULL,
        PRIMARY KEY (tenant, district, channel, unit, bucket)
    )
"""
TABLES = (
    *(_SAMPLE.format(name=f"sample_{name}", slots=_SLOT_COLUMNS) for name in ("short", "long")),
    *(
        _UNIT.format(
            name=name,
            columns=", ".join(f"{field}_{i} {kind}" for field, kind in FIELDS.items() for i in SLOTS),
        )
        for name in UNITS
    ),
    f"""
    CREATE TABLE latest_unit (
        sensor_unit INTEGER NOT NULL,
        slots INTEGER NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        {_SLOT_COLUMNS},
        flags BIGINT NOT NULL,
        PRIMARY KEY (sensor_unit, slots)
    )
    """,
    _DISTRICT.format(name="district_hour"),
    _DISTRICT.format(name="district_day"),
    """
    CREATE TABLE district_dirty (
        tenant TEXT NOT NULL,
        district TEXT NOT NULL,
        hour TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (tenant, district, hour)
    )
    """,
    """
    CREATE TABLE district_move (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        device_id INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        district TEXT NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    """
    CREATE TABLE retention_rule (
        tenant TEXT NOT NULL,
        kind TEXT NOT NULL,
        class TEXT NOT NULL,
        PRIMARY KEY (tenant, kind)
    )
    """,
    """
    CREATE TABLE tenant_retention (
        tenant TEXT NOT NULL,
        class TEXT NOT NULL,
        keep_days INTEGER NOT NULL,
        PRIMARY KEY (tenant, class)
    )
    """,
    """
    CREATE TABLE retention_log (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        what TEXT NOT NULL,
        tenant TEXT DEFAULT '' NOT NULL,
        rows BIGINT NOT NULL,
        partitions INTEGER DEFAULT 0 NOT NULL,
        kept_from TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    "CREATE INDEX retention_log_what_idx ON retention_log (what, at)",
    # Whoever moves a lamppost, by whatever way: the worker makes both districts' hours anew.
    """
    CREATE FUNCTION note_district_move() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO district_move (device_id, tenant, district)
        SELECT NEW.id, t.tenant, t.district
        FROM (VALUES (OLD.tenant, OLD.district), (NEW.tenant, NEW.district)) AS t(tenant, district)
        WHERE t.district <> '';
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER device_district_move AFTER UPDATE ON device FOR EACH ROW
    WHEN (OLD.district <> NEW.district OR OLD.tenant <> NEW.tenant) EXECUTE FUNCTION note_district_move()
    """,
)


def _of_slot(column: str) -> str:
    """The column of the series' slot, e.g. m.n_0 … m.n_15."""
    cases = " ".join(f"WHEN {i} THEN {column.format(i=i)}" for i in SLOTS)
    return f"CASE s.slot {cases} END"


def _of_class(name: str) -> str:
    return f"SELECT sensor_unit, time, {VALUES}, flags FROM sample_{name}"  # noqa: S608 - constants


def _rollup_view(unit: str, name: str) -> str:
    fields = ", ".join(f"{_of_slot(f'm.{f}_{{i}}')} AS {f}" for f in ("n", "sum", "min", "max", "flagged"))
    return f"""
    CREATE VIEW {name} AS SELECT s.id AS series_id, m.bucket, {fields}
    FROM series s JOIN {unit} m ON m.sensor_unit = s.sensor_unit_id WHERE {_of_slot("m.n_{i}")} IS NOT NULL
    """  # noqa: S608 - made of the constants above


VIEWS = {
    "sample": f"CREATE VIEW sample AS {' UNION ALL '.join(map(_of_class, CLASSES))}",
    **{name: _rollup_view(unit, name) for unit, name in UNITS.items()},
    # A slot may be in several rows, one for each set of slots that its unit sends: the newest counts.
    "latest": f"""
    CREATE VIEW latest AS SELECT s.id AS series_id, l.time,
        CASE WHEN (l.flags >> 4 * s.slot) & 15 <> {MISSING} THEN {_of_slot("l.s{i}")} END AS value,
        ((l.flags >> 4 * s.slot) & 15)::smallint AS flag
    FROM series s JOIN latest_unit l ON l.sensor_unit = s.sensor_unit_id AND (l.slots >> s.slot) & 1 = 1
    WHERE NOT EXISTS (SELECT FROM latest_unit newer
                      WHERE newer.sensor_unit = l.sensor_unit AND (newer.slots >> s.slot) & 1 = 1
                            AND (newer.time, newer.slots) > (l.time, l.slots))
    """,  # noqa: S608 - made of the constants above
}


def _wide_from_narrow(unit: str, name: str) -> str:
    columns = [f"{field}_{i}" for field in FIELDS for i in SLOTS]
    values = [f"max(r.{field}) FILTER (WHERE s.slot = {i})" for field in FIELDS for i in SLOTS]
    return f"""
    INSERT INTO {unit} (sensor_unit, bucket, {", ".join(columns)})
    SELECT s.sensor_unit_id, r.bucket, {", ".join(values)}
    FROM {name} r JOIN series s ON s.id = r.series_id GROUP BY s.sensor_unit_id, r.bucket
    """  # noqa: S608 - made of the constants above


def _latest_from_narrow() -> str:
    values = ", ".join(f"max(l.value) FILTER (WHERE s.slot = {i})" for i in SLOTS)
    return f"""
    INSERT INTO latest_unit (sensor_unit, slots, time, {VALUES}, flags)
    SELECT s.sensor_unit_id, bit_or(1 << s.slot), l.time, {values}, bit_or(l.flag::bigint << 4 * s.slot)
    FROM latest l JOIN series s ON s.id = l.series_id GROUP BY s.sensor_unit_id, l.time
    """  # noqa: S608 - made of the constants above


# The worker's views of sensor kinds would go on reading the renamed table: it makes them again.
DROP_VIEWS_OF_KINDS = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT relname FROM pg_class
                WHERE relkind = 'v' AND relnamespace = current_schema()::regnamespace
                      AND obj_description(oid, 'pg_class') LIKE 'lamppost:%'
    LOOP
        EXECUTE format('DROP VIEW %I', name);
    END LOOP;
END
$$
"""


def upgrade() -> None:
    op.execute(DROP_VIEWS_OF_KINDS)
    op.execute(
        "ALTER TABLE sensor_unit ADD COLUMN retention TEXT DEFAULT 'standard' NOT NULL"
        " CONSTRAINT sensor_unit_retention_check CHECK (retention IN ('short', 'standard', 'long'))"
    )
    op.execute("ALTER TABLE sample RENAME TO sample_standard")
    for statement in TABLES:
        op.execute(statement)
    for unit, name in UNITS.items():
        op.execute(_wide_from_narrow(unit, name))
        op.execute(f"DROP TABLE {name}")
    op.execute(_latest_from_narrow())
    op.execute("DROP TABLE latest")
    for view in VIEWS.values():
        op.execute(view)
    # what was measured before gets its districts' hours too
    op.execute(
        "INSERT INTO district_dirty (tenant, district, hour)"
        " SELECT DISTINCT d.tenant, d.district, h.bucket FROM unit_hour h"
        " JOIN sensor_unit u ON u.id = h.sensor_unit JOIN device d ON d.id = u.device_id"
        " WHERE d.district <> ''"
    )


def downgrade() -> None:
    op.execute(DROP_VIEWS_OF_KINDS)
    narrow = {
        "sample": _SAMPLE.format(name="old_sample", slots=_SLOT_COLUMNS),
        **{name: _ROLLUP.format(name=f"old_{name}") for name in UNITS.values()},
        "latest": _LATEST.format(name="old_latest"),
    }
    for name, statement in narrow.items():
        op.execute(statement)
        op.execute(f"INSERT INTO old_{name} SELECT * FROM {name}")  # noqa: S608 - constants
        op.execute(f"DROP VIEW {name}")
    op.execute("DROP TRIGGER device_district_move ON device")
    op.execute("DROP FUNCTION note_district_move")
    for name in ("unit_day", "unit_hour"):
        # a continuous aggregate of TimescaleDB is a view for the catalogue
        kind = sqlalchemy.text(f"SELECT relkind::text FROM pg_class WHERE oid = '{name}'::regclass")  # noqa: S608
        aggregate = op.get_bind().execute(kind).scalar_one() == "v"
        op.execute(f"DROP {'MATERIALIZED VIEW' if aggregate else 'TABLE'} {name}")
    for table in [
        "unit_minute",
        *(f"sample_{name}" for name in CLASSES),
        *("latest_unit", "district_hour", "district_day", "district_dirty", "district_move"),
        *("retention_rule", "tenant_retention", "retention_log"),
    ]:
        op.execute(f"DROP TABLE {table}")
    op.execute("ALTER TABLE sensor_unit DROP COLUMN retention")
    for name in narrow:
        op.execute(f"ALTER TABLE old_{name} RENAME TO {name}")
        op.execute(f"ALTER INDEX old_{name}_pkey RENAME TO {name}_pkey")
