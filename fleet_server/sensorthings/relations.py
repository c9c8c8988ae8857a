"""Each entity set as a relation over what the other slices keep, in SQL: nothing is stored twice.

Parameters besides the vocabulary's arrays: `exact`, whether the asker may see declared places and sites;
`air`, whether they may see corrected values; `within`, the one tenant whose lampposts they see, or NULL. A
column that the asker may not see is not in the relation, or empty in it, so that no filter can find it out.
Coordinates are, for `shaping.py`, which shows the asker's view of them; no filter reaches them (`entities.py`
names what filters reach).
"""

from __future__ import annotations

WITHIN = "(CAST(:within AS text) IS NULL OR d.tenant = :within)"
# `p`: a place of a lamppost's (`device_place`): the first one since '-infinity', the present one until
# 'infinity'.
_PLACED = "(p.latitude IS NOT NULL OR p.cell <> '')"
_PRESENT = "p.until = 'infinity'"
_COARSE = "NOT (CAST(:exact AS boolean) AND p.latitude IS NOT NULL)"
# The first place: since the lamppost was registered.
_SINCE = "CASE WHEN p.since = '-infinity' THEN least(d.created_at, p.until) ELSE p.since END"
_STRETCH = f"{_SINCE} AS since, nullif(p.until, 'infinity') AS until, p.assumed"

THINGS = f"""
    SELECT d.id, d.tenant || '/' || d.name AS name, d.tenant, d.name AS device, d.district, d.state,
           CASE WHEN CAST(:exact AS boolean) THEN d.site ELSE '' END AS site, d.created_at,
           'Lamppost ' || d.tenant || '/' || d.name AS description
    FROM device d WHERE {WITHIN}
"""  # noqa: S608 - made of the constants above
LOCATIONS = f"""
    SELECT p.id, 'Place of ' || d.tenant || '/' || d.name AS name, p.latitude, p.longitude, p.cell,
           p.district, {_STRETCH}, stands.id AS thing_id,
           CASE WHEN {_COARSE} THEN 'cell' ELSE 'declared' END AS precision,
           CASE WHEN {_COARSE} THEN 'The public cell that the lamppost ' ELSE 'Where the lamppost ' END
               || CASE WHEN {_PRESENT} THEN 'stands' ELSE 'stood' END
               || CASE WHEN {_COARSE} THEN ' in, at most 1.2 by 0.6 km' ELSE ', as people declared it' END
               AS description
    FROM device_place p JOIN device d ON d.id = p.device_id
    LEFT JOIN device stands ON stands.id = p.device_id AND {_PRESENT}
    WHERE {_PLACED} AND {WITHIN}
"""  # noqa: S608 - made of the constants above
HISTORICAL_LOCATIONS = f"""
    SELECT p.id, d.id AS thing_id, {_SINCE} AS time
    FROM device_place p JOIN device d ON d.id = p.device_id WHERE {_PLACED} AND {WITHIN}
"""  # noqa: S608
FEATURES = f"""
    SELECT p.id, 'Air at ' || d.tenant || '/' || d.name AS name, p.latitude, p.longitude, p.cell, {_STRETCH},
           d.id AS thing_id, nullif(p.since, '-infinity') AS begins,
           'The street''s air around the lamppost' AS description
    FROM device_place p JOIN device d ON d.id = p.device_id WHERE {WITHIN}
"""  # noqa: S608
SENSORS = f"""
    SELECT u.id, u.device_id AS thing_id, u.kind, u.serial, u.declared_at,
           CASE WHEN CAST(:exact AS boolean) THEN u.site ELSE '' END AS site,
           u.kind || CASE WHEN u.serial <> '' THEN ' ' || u.serial ELSE '' END AS name,
           'Sensor unit of kind ' || u.kind || ' on ' || d.tenant || '/' || d.name AS description
    FROM sensor_unit u JOIN device d ON d.id = u.device_id WHERE {WITHIN}
"""  # noqa: S608
# Level 0: what the sensor said. Level 1: the hourly mean, corrected, where the unit speaks for a pollutant.
_LEVELS = """
    LATERAL (
        SELECT 0 AS level, s.channel AS property_id
        UNION ALL
        SELECT 1, CASE s.channel WHEN 'pm2_5_cf1' THEN 'pm2_5' ELSE s.channel END
        WHERE CAST(:air AS boolean) AND s.unit = 'ug/m3' AND (s.channel IN ('pm2_5', 'pm10')
              OR s.channel = 'pm2_5_cf1' AND NOT EXISTS (SELECT FROM series o
                 WHERE o.sensor_unit_id = s.sensor_unit_id AND o.channel = 'pm2_5' AND o.unit = 'ug/m3'))
    ) l
"""
OBSERVED_PROPERTIES = f"""
    SELECT c.id, coalesce(v.name, c.id) AS name,
           coalesce(v.definition, CAST(:own_properties AS text) || c.id) AS definition,
           coalesce(v.description, 'As the sensor declares its channel') AS description
    FROM (SELECT DISTINCT l.property_id AS id FROM series s CROSS JOIN {_LEVELS}
          WHERE CAST(:within AS text) IS NULL OR EXISTS (
              SELECT FROM sensor_unit u JOIN device d ON d.id = u.device_id
              WHERE u.id = s.sensor_unit_id AND d.tenant = :within)) c
    LEFT JOIN unnest(CAST(:property_ids AS text[]), CAST(:property_names AS text[]),
                     CAST(:property_definitions AS text[]), CAST(:property_descriptions AS text[]))
         AS v(id, name, definition, description) ON v.id = c.id
"""  # noqa: S608
# The ends of what is there, each one step into an index.
_BOUND = """
    CASE l.level WHEN 0 THEN (SELECT x.time FROM sample x WHERE x.sensor_unit = s.sensor_unit_id
                              ORDER BY x.time {direction} LIMIT 1)
         ELSE (SELECT h.time FROM air_hour h WHERE h.device_id = u.device_id AND h.pollutant = l.property_id
               AND h.sensor_unit = u.id ORDER BY h.time {direction} LIMIT 1) {more} END
"""
_FIRST = _BOUND.format(direction="ASC", more="")
_LAST = _BOUND.format(direction="DESC", more="+ interval '1 hour'")
# Where it was measured: one place nearly always; else those of its own time, the present one where there is
# no observation; each once, however often it stood there. The ends are looked up of what has moved alone.
_AREA = f"""
    (SELECT jsonb_agg(DISTINCT jsonb_build_array(p.latitude, p.longitude, p.cell))
     FROM device_place p
     WHERE p.device_id = u.device_id AND {_PLACED}
           AND CASE WHEN {_PRESENT} THEN true ELSE p.until > coalesce(({_FIRST}), 'infinity') END
           AND CASE WHEN p.since = '-infinity' THEN true ELSE p.since <= coalesce(({_LAST}), 'infinity') END)
"""  # noqa: S608
DATASTREAMS = f"""
    SELECT s.id * 2 + l.level AS id, s.id AS series_id, l.level, l.property_id, s.sensor_unit_id AS sensor_id,
           u.device_id AS thing_id, s.slot, s.exponent, s.unit, s.channel,
           CASE l.level WHEN 0 THEN 'raw' ELSE 'corrected' END AS processing,
           coalesce(p.name, l.property_id) || CASE l.level WHEN 0 THEN ' at ' ELSE ', corrected, at ' END
               || d.tenant || '/' || d.name || ' by ' || u.kind
               || CASE WHEN u.serial <> '' THEN ' ' || u.serial ELSE '' END AS name,
           CASE l.level WHEN 0 THEN 'Readings as the sensor gave them, with quality flags'
                ELSE 'Hourly means, corrected for humidity or by calibration' END AS description,
           coalesce(n.name, s.unit) AS unit_name, coalesce(n.symbol, s.unit) AS unit_symbol,
           CAST(:ucum AS text) || s.unit AS unit_definition,
           {_AREA} AS area, {_FIRST} AS first_time, {_LAST} AS last_time
    FROM series s JOIN sensor_unit u ON u.id = s.sensor_unit_id JOIN device d ON d.id = u.device_id
    CROSS JOIN {_LEVELS}
    LEFT JOIN unnest(CAST(:property_ids AS text[]), CAST(:property_names AS text[])) AS p(id, name)
         ON p.id = l.property_id
    LEFT JOIN unnest(CAST(:unit_codes AS text[]), CAST(:unit_names AS text[]), CAST(:unit_symbols AS text[]))
         AS n(code, name, symbol) ON n.code = s.unit
    WHERE {WITHIN}
"""  # noqa: S608
_SLOT = "CASE {d}.slot " + " ".join(f"WHEN {slot} THEN x.s{slot}" for slot in range(16)) + " END"
SCALED = (
    "CASE WHEN {d}.exponent >= 0 THEN {stored} * power(CAST(10 AS float8), {d}.exponent)"
    " ELSE {stored} / power(CAST(10 AS float8), -{d}.exponent) END"
)
_FLAG = "CAST((x.flags >> (4 * {d}.slot)) & 15 AS integer)"
MISSING = 9  # wire_contract.flags.Flag.MISSING: nothing was observed
_COLUMNS = """
    {d}.id AS datastream_id,
    (SELECT p.id FROM device_place p WHERE p.device_id = {d}.thing_id AND p.until > {time}
     ORDER BY p.until LIMIT 1) AS feature_id,
    {d}.id || ':' || CAST(floor(extract(epoch FROM {time}) * 1000) AS bigint) AS id
"""


def quality_word(flag: str) -> str:
    """QARTOD's primary flag in a word; `flag`: SQL for the wire's (wire_contract/flags.py)."""
    return (
        f"CASE WHEN {flag} IN (1, 14) THEN 'good' WHEN {flag} IN (3, 5, 6, 7, 8) THEN 'suspect'"
        f" WHEN {flag} IN (4, 10, 11, 12, 13) THEN 'fail' ELSE 'not evaluated' END"
    )


def raw_observations(d: str) -> str:
    """The readings of the datastream whose row is `d` (columns as in DATASTREAMS), missing ones left out."""
    flag = _FLAG.format(d=d)
    stored = f"CAST({_SLOT.format(d=d)} AS float8)"
    return f"""
        SELECT {_COLUMNS.format(d=d, time="x.time")}, x.time, x.time AS ends, x.time AS made,
               {SCALED.format(d=d, stored=stored)} AS result, {quality_word(flag)} AS quality,
               {flag} AS flag, CAST(NULL AS text) AS correction, CAST(NULL AS float8) AS raw,
               CAST(NULL AS float8) AS humidity, CAST(NULL AS integer) AS parts,
               CAST(NULL AS boolean) AS complete
        FROM sample x
        WHERE {d}.level = 0 AND x.sensor_unit = {d}.sensor_id AND {_SLOT.format(d=d)} IS NOT NULL
              AND {flag} <> {MISSING}
    """  # noqa: S608


def corrected_observations(d: str) -> str:
    """The hourly means of the datastream whose row is `d`."""
    return f"""
        SELECT {_COLUMNS.format(d=d, time="h.time")}, h.time, h.time + interval '1 hour' AS ends,
               h.through AS made, h.value AS result,
               CASE WHEN h.complete THEN 'good' ELSE 'incomplete' END AS quality,
               CAST(NULL AS integer) AS flag, h.correction, h.raw, h.humidity,
               CAST(h.parts AS integer) AS parts, h.complete
        FROM air_hour h
        WHERE {d}.level = 1 AND h.device_id = {d}.thing_id AND h.pollutant = {d}.property_id
              AND h.sensor_unit = {d}.sensor_id
    """  # noqa: S608


def observations(d: str) -> str:
    return f"{raw_observations(d)} UNION ALL {corrected_observations(d)}"


def observations_of_feature(f: str) -> str:
    """What was observed at the place whose row is `f` (columns as in FEATURES), while it was the place."""
    return f"""
        SELECT o.* FROM ({DATASTREAMS}) d CROSS JOIN LATERAL ({observations("d")}) o
        WHERE d.thing_id = {f}.thing_id AND o.time >= coalesce({f}.begins, '-infinity')
              AND o.time < coalesce({f}.until, 'infinity')
    """  # noqa: S608


# Datastreams by place, to choose and to bound what is read of them: a row a place of the lamppost's.
BY_PLACE = f"""
    SELECT s.*, s.id AS datastream_id, p.id AS feature_id, nullif(p.since, '-infinity') AS begins,
           nullif(p.until, 'infinity') AS until
    FROM ({DATASTREAMS}) s JOIN device_place p ON p.device_id = s.thing_id
"""  # noqa: S608
