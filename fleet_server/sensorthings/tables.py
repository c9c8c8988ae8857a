"""SensorThings keeps nothing of its own: what it shows is in the tables of devices, telemetry and air."""
