"""The server's API, as the technician's tool uses it: HTTP with a bearer token, every failure sorted."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from provisioning.technician.errors import NotSignedIn, ServerRefused, ServerUnreachable, WrongInput

if TYPE_CHECKING:  # a lamppost itself has none, and `lamppost provision test` runs there
    import httpx

TIMEOUT_S = 20.0  # a phone's connection at the edge of a cell answers in seconds
PROBLEM_PREFIX = "urn:lamppost:problem:"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def checked_address(address: str) -> str:
    """Raises WrongInput: a token is shown over https, or to this very machine."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"} or parts.username or parts.query or parts.fragment:
        raise WrongInput(f"{address!r:.100} is no server's address", "Write https://HOST")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise WrongInput(f"{address} is not encrypted: a token would be seen by others", "Write https://")
    return address.rstrip("/")


def trust_for(address: str, ca_file: Path | None) -> ssl.SSLContext | bool:
    """Whom to believe to be the server: the file's authorities, else the system's; False for plain HTTP,
    which `checked_address` lets through to this very machine alone. Raises WrongInput."""
    if ca_file is None and address.startswith("http://"):
        return False
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise WrongInput(f"{ca_file}: holds no certificates to trust") from error


class Server:
    """`token` is shown with every call. ca_file: verifies the server; None: the system's authorities do."""

    def __init__(self, address: str, token: str, ca_file: Path | None = None) -> None:
        import httpx

        self.address = checked_address(address)
        verify = trust_for(self.address, ca_file)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(
            base_url=self.address, headers=headers, timeout=TIMEOUT_S, verify=verify, trust_env=False
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **query: str) -> Any:
        return self._told("GET", path, params=query)

    def get_bytes(self, path: str) -> bytes:
        return self._call("GET", path).content

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._told("POST", path, json=body)

    def delete(self, path: str) -> None:
        self._call("DELETE", path)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        return self._told("PUT", path, json=body)

    def put_bytes(self, path: str, content: bytes, media_type: str, **query: str) -> Any:
        headers = {"Content-Type": media_type}
        return self._told("PUT", path, content=content, headers=headers, params=query)

    def _told(self, method: str, path: str, **how: Any) -> Any:
        """The answer's JSON. Raises as `_call`."""
        answer = self._call(method, path, **how)
        try:
            return answer.json()
        except ValueError as garbled:
            raise ServerUnreachable(
                f"{self.address} does not answer as a server of Lamppost does",
                "Is it the address of the API? A network that asks to sign in answers in its place, too",
            ) from garbled

    def _call(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Raises NotSignedIn, ServerRefused, ServerUnreachable."""
        import httpx

        try:
            answer = self._client.request(method, path, **how)
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"{self.address} does not answer: {error}") from error
        if answer.is_success:
            return answer
        refused = refusal_of(answer)
        if refused.status == 401:
            raise NotSignedIn(
                "the server does not take the token", "Sign in: lamppost provision sign-in"
            ) from refused
        raise refused


def refusal_of(answer: httpx.Response) -> ServerRefused:
    """The problem document (RFC 9457) of an answer, or what can be said without one."""
    try:
        told = answer.json()
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    kind = str(told.get("type", "")).removeprefix(PROBLEM_PREFIX)
    detail = str(told.get("detail") or f"the server answered {answer.status_code}").rstrip(". ")
    return ServerRefused(answer.status_code, kind, detail)


def path_of(*parts: str) -> str:
    """ "/api/v1/" and the parts, each quoted."""
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)
