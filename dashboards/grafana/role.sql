-- The account that Grafana reads with: some tables, nothing else, never a change. Run as the database's owner, again
-- after an update; it has no password until somebody gives it one (docs/grafana.md). Grafana lets everybody
-- who may edit a dashboard send any SQL: what this account cannot read, nobody in Grafana can.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'lamppost_grafana') THEN
        CREATE ROLE lamppost_grafana LOGIN CONNECTION LIMIT 20;
    END IF;
END
$$;
ALTER ROLE lamppost_grafana SET default_transaction_read_only = on;
ALTER ROLE lamppost_grafana SET statement_timeout = '30s';
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM lamppost_grafana;
GRANT USAGE ON SCHEMA public TO lamppost_grafana;
GRANT SELECT ON
    device, device_condition, sensor_unit, series,
    latest, sample, rollup_1m, rollup_1h, rollup_1d, district_hour, district_day, tombstone, retention_log,
    air_hour, air_index, air_latest, district_index,
    verdict, incident_member, incident_verdict
TO lamppost_grafana;
-- Of these all but whose names stand there: who sees a dashboard need not know who looked after what.
DO $$
DECLARE
    columns text;
    read_in_part CONSTANT jsonb := '{"calibration": ["created_by"], "incident": ["acknowledged_by", "closed_by"]}';
    name text;
BEGIN
    FOR name IN SELECT jsonb_object_keys(read_in_part) LOOP
        SELECT string_agg(quote_ident(attname), ', ') INTO columns FROM pg_attribute
        WHERE attrelid = name::regclass AND attnum > 0 AND NOT attisdropped AND NOT read_in_part -> name ? attname;
        EXECUTE format('GRANT SELECT (%s) ON %I TO lamppost_grafana', columns, name);
    END LOOP;
END
$$;
