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
    calibration, air_hour, air_index, air_latest, district_index,
    verdict, incident, incident_member, incident_verdict
TO lamppost_grafana;
