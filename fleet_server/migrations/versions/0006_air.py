"""Places, calibrations, hourly means, indices of lampposts and districts."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

PLACE = {
    "latitude": "FLOAT",
    "longitude": "FLOAT",
    "district": "TEXT DEFAULT '' NOT NULL",
}
COLUMNS = {"device": {**PLACE, "cell": "TEXT DEFAULT '' NOT NULL"}, "claim": PLACE}
TABLES = (
    """
    CREATE TABLE calibration (
        id INTEGER GENERATED ALWAYS AS IDENTITY,
        sensor_unit_id INTEGER NOT NULL,
        channel TEXT NOT NULL,
        slope FLOAT NOT NULL,
        offset_ FLOAT NOT NULL,
        humidity FLOAT NOT NULL,
        valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
        source TEXT DEFAULT '' NOT NULL,
        created_by TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT calibration_begin_key UNIQUE (sensor_unit_id, channel, valid_from),
        CONSTRAINT calibration_sensor_unit_fkey FOREIGN KEY(sensor_unit_id) REFERENCES sensor_unit (id)
    )
    """,
    """
    CREATE TABLE air_dirty (
        sensor_unit INTEGER NOT NULL,
        hour TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (sensor_unit, hour)
    )
    """,
    """
    CREATE INDEX air_dirty_hour_idx ON air_dirty (hour)
    """,
    """
    CREATE TABLE air_hour (
        device_id INTEGER NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        pollutant TEXT NOT NULL,
        sensor_unit INTEGER NOT NULL,
        raw FLOAT NOT NULL,
        value FLOAT NOT NULL,
        correction TEXT NOT NULL,
        humidity FLOAT,
        parts SMALLINT NOT NULL,
        complete BOOLEAN NOT NULL,
        closed BOOLEAN NOT NULL,
        through TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (device_id, time, pollutant)
    )
    """,
    """
    CREATE INDEX air_hour_open_idx ON air_hour (time) WHERE NOT closed
    """,
    """
    CREATE TABLE air_index (
        device_id INTEGER NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        index_id TEXT NOT NULL,
        value INTEGER NOT NULL,
        level SMALLINT NOT NULL,
        category TEXT NOT NULL,
        driver TEXT NOT NULL,
        concentration FLOAT NOT NULL,
        correction TEXT NOT NULL,
        through TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (device_id, time, index_id)
    )
    """,
    """
    CREATE TABLE district_index (
        tenant TEXT NOT NULL,
        district TEXT NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        index_id TEXT NOT NULL,
        value INTEGER NOT NULL,
        level SMALLINT NOT NULL,
        category TEXT NOT NULL,
        driver TEXT NOT NULL,
        n INTEGER NOT NULL,
        PRIMARY KEY (tenant, district, time, index_id)
    )
    """,
    # The newest of each index: of a lamppost's newest rows only, so that one index range scan a lamppost is
    # enough, however long its history; an index that stopped hours before the other drops out.
    """
    CREATE VIEW air_latest AS
    SELECT newest.* FROM device d CROSS JOIN LATERAL (
        SELECT DISTINCT ON (few.index_id) few.* FROM (
            SELECT i.* FROM air_index i WHERE i.device_id = d.id ORDER BY i.time DESC, i.index_id LIMIT 8
        ) few ORDER BY few.index_id, few.time DESC
    ) newest
    """,
)

# What was measured before gets its indices too.
BACKLOG = """
    INSERT INTO air_dirty (sensor_unit, hour)
    SELECT DISTINCT s.sensor_unit_id, h.bucket FROM rollup_1h h JOIN series s ON s.id = h.series_id
    WHERE s.channel IN ('pm2_5', 'pm2_5_cf1', 'pm10', 'humidity')
"""


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        for name, kind in columns.items():
            op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    for statement in TABLES:
        op.execute(statement)
    op.execute(BACKLOG)


def downgrade() -> None:
    op.execute("DROP VIEW air_latest")
    for table in ["district_index", "air_index", "air_hour", "air_dirty", "calibration"]:
        op.execute(f"DROP TABLE {table}")
    for table, columns in COLUMNS.items():
        for name in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
