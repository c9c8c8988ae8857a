"""`python -m fleet_server.openapi > docs/openapi.json`: the API's description; a test fails when stale."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fleet_server.api import create_app
from fleet_server.config import load_config
from fleet_server.context import Context


def document() -> str:
    """The same text on every machine: nothing of the configuration is in it."""
    app = create_app(Context.of(load_config(data_dir=Path("/nowhere"))))
    return json.dumps(app.openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
