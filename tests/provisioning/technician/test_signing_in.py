"""What the technician's tool makes of the answers to a sign-in."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from provisioning.technician.errors import NotSignedIn
from provisioning.technician.signing_in import session_token


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """Answers every question with its `told`: a status and a document."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            status, document = self.server.told  # type: ignore[attr-defined]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    running = threading.Thread(target=made.serve_forever, args=(0.01,))
    running.start()
    yield made
    made.shutdown()
    running.join()
    made.server_close()


@pytest.mark.parametrize(
    ("status", "document", "why"),
    [
        (201, {"token": "t", "must_change_password": True}, "Somebody else chose your password"),
        (201, {}, "does not answer as a server"),
        (201, [], "does not answer as a server"),
        (401, {"type": "urn:lamppost:problem:not-authenticated", "detail": "Wrong."}, "Wrong"),
    ],
)
def test_who_does_not_get_in_is_told_why(server: Any, status: int, document: object, why: str) -> None:
    server.told = status, document
    with pytest.raises(NotSignedIn, match=why):
        session_token(f"http://127.0.0.1:{server.server_port}", "ana", "x", lambda: "")


def test_who_gets_in(server: Any) -> None:
    server.told = 201, {"token": "t", "must_change_password": False}
    assert session_token(f"http://127.0.0.1:{server.server_port}", "ana", "x", lambda: "") == "t"
