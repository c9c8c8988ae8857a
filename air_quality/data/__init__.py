"""The index tables as data: one TOML file a jurisdiction and version, read by air_quality/tables.py."""
