"""DATA_DIR/serve.json: what runs, for people, the demo, and tests that kill. Replaced as a whole."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fleet_server.child import Child
from fleet_server.config import ServerConfig
from fleet_server.embedded import url_of

NAME = "serve.json"
log = logging.getLogger("lamppost.serve")


def describe(config: ServerConfig, children: Iterable[Child], *, ready: bool) -> dict[str, Any]:
    """`{"supervisor", "ready", "addresses": {part: address}, "roles": {name: {pid, ready, restarts}}}`."""
    return {
        "supervisor": os.getpid(),
        "ready": ready,
        "addresses": addresses(config),
        "roles": {
            child.name: {"pid": child.pid, "ready": child.ready, "restarts": child.restarts.total}
            for child in children
        },
    }


def addresses(config: ServerConfig) -> dict[str, str]:
    """Where each part is reached."""
    device = config.api.device_listen
    embedded = config.database.embedded_directory
    return {
        "pages": f"http://{config.ui.listen}",
        "api": f"http://{config.api.listen}",
        "enrolment": f"https://{device}" if device else "",
        "broker": f"mqtts://{config.broker.host}:{config.broker.port}",
        "data": str(config.data_dir),
        "database": url_of(embedded) if embedded else "",  # one that stands elsewhere has its password there
    }


class StateFile:
    """Written when what it says has changed."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / NAME
        self._written = ""
        self._failing = False

    def write(self, state: dict[str, Any]) -> None:
        text = json.dumps(state, indent=1)
        if text == self._written:
            return
        draft = self._file.with_suffix(".part")
        try:
            draft.write_text(text)
            draft.replace(self._file)
        except OSError as refused:  # a full disk must not stop those who can go on without it
            if not self._failing:
                log.warning("%s cannot be written: %s", self._file, refused.strerror)
            self._failing = True
            return
        self._written, self._failing = text, False

    def remove(self) -> None:
        self._file.unlink(missing_ok=True)
