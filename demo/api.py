"""The city's REST API as the demo's technician and operator call it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

TIMEOUT_S = 10.0  # a busy laptop answers in well under a second


class ApiRefused(RuntimeError):
    """The server said no: status and its own words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"the server answered {status}: {words}")
        self.status = status


@dataclass
class Api:
    """A signed-in client of `/api/v1`."""

    base: str
    token: str = ""
    _headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    def sign_in(self, name: str, password: str) -> None:
        """Keep the session's token for the calls to come."""
        answer = self.call("POST", "/api/v1/session", {"name": name, "password": password})
        self.token = answer["token"]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The decoded JSON answer, None when empty. Raises ApiRefused, or OSError when nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = dict(self._headers)
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.base + path, data, headers, method=method)  # noqa: S310 - http on loopback
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                text = answer.read()
        except urllib.error.HTTPError as refused:
            raise ApiRefused(refused.code, refused.read().decode(errors="replace")[:500]) from None
        return json.loads(text) if text else None

    def is_ready(self) -> bool:
        """Whether /readyz says that every part is reachable."""
        try:
            self.call("GET", "/readyz")
        except (OSError, ApiRefused, ValueError):
            return False
        return True
