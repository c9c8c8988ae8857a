"""The log's tables are those of `fleet_server/audit/tables.py`: this slice reads them."""
