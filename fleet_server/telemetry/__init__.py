"""The telemetry slice: the ingest, the store of samples and rollups, and the questions asked of them."""
