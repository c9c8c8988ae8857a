"""Where each lamppost stood when: a row a place, written by the database, whoever moves a lamppost.

What was known before this step is one place for each: where it stands now, marked as assumed.
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

PLACES = """
    CREATE TABLE device_place (
        id INTEGER GENERATED ALWAYS AS IDENTITY,
        device_id INTEGER NOT NULL,
        since TIMESTAMP WITH TIME ZONE NOT NULL,
        until TIMESTAMP WITH TIME ZONE NOT NULL,
        latitude FLOAT,
        longitude FLOAT,
        cell TEXT DEFAULT '' NOT NULL,
        district TEXT DEFAULT '' NOT NULL,
        assumed BOOLEAN DEFAULT false NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT device_place_device_fkey FOREIGN KEY(device_id) REFERENCES device (id),
        CONSTRAINT device_place_device_until_key UNIQUE (device_id, until)
    )
"""
TOLD_A_DAY = 3  # moves that a lamppost may tell in 24 h: it is carried once, and fitted, and put right
TOLD_IN_ALL = 100  # and ever: what it tells is read with every question for its places
# `lamppost.now`: the street's instant, where the transaction says one; else the database's.
# A move changes what was known. What was not known is filled in; a cell beside a declared place, and the
# district, are told of the same place, and so is a cell that holds the other. Who tells another cell within
# ten minutes, or too often, corrects itself: a lamppost that changes its mind does not fill the table. What
# people declare is always a move.
# A cell that is told coarser, or no more, takes back what rows before it tell of that place: for good. Beside
# a declared place, no cell is not coarser than any (`sensorthings/rules.place_of`): there a former one stays.
FUNCTION = f"""
    CREATE FUNCTION note_device_place() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        at timestamptz := coalesce(nullif(current_setting('lamppost.now', true), '')::timestamptz, now());
        current record;
        moved boolean := true;
    BEGIN
        SELECT p.id, p.since INTO current FROM device_place p
        WHERE p.device_id = NEW.id AND p.until = 'infinity';
        IF NOT FOUND THEN
            INSERT INTO device_place (device_id, since, until, latitude, longitude, cell, district)
            VALUES (NEW.id, '-infinity', 'infinity', NEW.latitude, NEW.longitude, NEW.cell, NEW.district);
            RETURN NULL;
        END IF;
        IF OLD.latitude IS NULL AND NEW.latitude IS NULL THEN
            moved := NOT starts_with(OLD.cell, NEW.cell) AND NOT starts_with(NEW.cell, OLD.cell)
                AND at >= current.since + interval '10 minutes'
                AND (SELECT count(*) < {TOLD_IN_ALL}
                            AND count(*) FILTER (WHERE p.since > at - interval '24 hours') < {TOLD_A_DAY}
                     FROM device_place p
                     WHERE p.device_id = NEW.id AND p.latitude IS NULL AND p.since > '-infinity');
        ELSIF OLD.latitude IS NULL THEN
            moved := OLD.cell <> '';
        ELSE
            moved := (OLD.latitude, OLD.longitude) IS DISTINCT FROM (NEW.latitude, NEW.longitude);
        END IF;
        IF moved AND at > current.since THEN
            UPDATE device_place SET until = at WHERE id = current.id;
            INSERT INTO device_place (device_id, since, until, latitude, longitude, cell, district)
            VALUES (NEW.id, at, 'infinity', NEW.latitude, NEW.longitude, NEW.cell, NEW.district);
        ELSE
            UPDATE device_place SET latitude = NEW.latitude, longitude = NEW.longitude, cell = NEW.cell,
                district = NEW.district WHERE id = current.id;
        END IF;
        IF NEW.cell <> '' THEN
            UPDATE device_place SET cell = NEW.cell
            WHERE device_id = NEW.id AND starts_with(cell, NEW.cell) AND cell <> NEW.cell;
        ELSIF OLD.cell <> '' THEN
            UPDATE device_place SET cell = ''
            WHERE device_id = NEW.id AND starts_with(cell, OLD.cell) AND latitude IS NULL;
        END IF;
        RETURN NULL;
    END
    $$
"""  # noqa: S608 - made of the constants above
TRIGGERS = (
    "CREATE TRIGGER device_placed AFTER INSERT ON device FOR EACH ROW EXECUTE FUNCTION note_device_place()",
    """
    CREATE TRIGGER device_moved AFTER UPDATE OF latitude, longitude, cell, district ON device FOR EACH ROW
    WHEN ((OLD.latitude, OLD.longitude, OLD.cell, OLD.district)
          IS DISTINCT FROM (NEW.latitude, NEW.longitude, NEW.cell, NEW.district))
    EXECUTE FUNCTION note_device_place()
    """,
)
# With the ids that the places had: their lampposts'. Links to them go on.
BACKFILL = """
    INSERT INTO device_place (id, device_id, since, until, latitude, longitude, cell, district, assumed)
    OVERRIDING SYSTEM VALUE
    SELECT id, id, '-infinity', 'infinity', latitude, longitude, cell, district, true FROM device
"""
GO_ON = """
    SELECT setval(pg_get_serial_sequence('device_place', 'id'), max(id)) FROM device_place HAVING max(id) > 0
"""


def upgrade() -> None:
    op.execute(PLACES)
    op.execute(BACKFILL)
    op.execute(GO_ON)
    op.execute(FUNCTION)
    for trigger in TRIGGERS:
        op.execute(trigger)


def downgrade() -> None:
    op.execute("DROP TRIGGER device_moved ON device")
    op.execute("DROP TRIGGER device_placed ON device")
    op.execute("DROP FUNCTION note_device_place")
    op.execute("DROP TABLE device_place")
