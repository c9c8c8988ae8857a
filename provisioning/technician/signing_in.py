"""Signing in with a local account, a second factor included; what comes back is shown with every call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from provisioning.technician.errors import NotSignedIn, ServerUnreachable
from provisioning.technician.server import TIMEOUT_S, checked_address, refusal_of, trust_for

SECOND_FACTOR = "second-factor-needed"  # the type of the problem that carries a ticket


def session_token(
    address: str, name: str, password: str, ask_code: Callable[[], str], ca_file: Path | None = None
) -> str:
    """Raises NotSignedIn, ServerUnreachable, WrongInput."""
    import httpx

    base = checked_address(address)
    verify = trust_for(base, ca_file)
    try:
        with httpx.Client(base_url=base, timeout=TIMEOUT_S, verify=verify, trust_env=False) as client:
            answer = client.post("/api/v1/session", json={"name": name, "password": password})
            refused = None if answer.is_success else refusal_of(answer)
            if refused is not None and refused.kind == SECOND_FACTOR:
                needed = answer.json()
                if needed.get("set_up"):
                    raise NotSignedIn(refused.what, "Sign in once on the pages, which set it up")
                told = {"ticket": str(needed.get("ticket", "")), "code": ask_code()}
                answer = client.post("/api/v1/session/second-factor", json=told)
                refused = None if answer.is_success else refusal_of(answer)
            if refused is not None:
                raise NotSignedIn(refused.what)
            signed = answer.json()
            if not isinstance(signed, dict):
                raise ValueError("no JSON object")
            if signed.get("must_change_password"):
                raise NotSignedIn("Somebody else chose your password", "Choose another on the pages first")
            return str(signed["token"])
    except httpx.HTTPError as error:
        raise ServerUnreachable(f"{address} does not answer: {error}") from error
    except (ValueError, KeyError) as garbled:
        raise NotSignedIn(f"{address} does not answer as a server of Lamppost does") from garbled
