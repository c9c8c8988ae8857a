"""Finding a server that runs on this machine, from its data directory."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from simulator.settings import CannotStart, Where, WrongArgument, broker

DEFAULT_TENANT = "city"  # as in server.toml


def find(data: Path | None, config: Path | None, tenant: str) -> Where:
    """Where its broker is, and whose authority devices trust. Raises WrongArgument, CannotStart."""
    told = _config(config) if config is not None else {}
    if data is None:
        if config is None or not isinstance(told.get("data_dir"), str) or not told["data_dir"]:
            raise WrongArgument(f"--server-config {config}: it names no data_dir; give --server-data as well")
        data = (config.parent / told["data_dir"]).resolve()
    if not data.is_dir():
        raise WrongArgument(f"--server-data {data}: there is no such folder")
    state = _state(data)
    host, port = broker(state["addresses"]["broker"].removeprefix("mqtts://"))
    named = told.get("tenant", {}).get("name", "") if isinstance(told.get("tenant"), dict) else ""
    return Where(
        host=host,
        port=port,
        ca_file=data / "certificates" / "ca.pem",
        tenant=tenant or named or DEFAULT_TENANT,
        server_data=data,
        server_config=config,
    )


def _config(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WrongArgument(f"--server-config {file}: {error}") from None


def _state(data: Path) -> dict[str, Any]:
    """serve.json of a server that is ready. Raises CannotStart."""
    try:
        state: dict[str, Any] = json.loads((data / "serve.json").read_text(encoding="utf-8"))
        ready = bool(state["ready"]) and bool(state["addresses"]["broker"])
    except (OSError, ValueError, KeyError, TypeError):
        ready = False
    if not ready:
        raise CannotStart(f"no server is ready on {data}: start it with lamppost serve --data {data}")
    return state
