"""Whatever the API's description allows, and what it does not: no request ends in a 5xx (schemathesis)."""

from __future__ import annotations

from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, GenerationMode
from schemathesis.core.result import Ok

from fleet_server.access.rules import Role
from tests.security.city import City
from tests.security.test_hostile_user import ENDLESS, SLOW

REQUESTS_EACH = 1  # of each operation and mode, 200 in all; derandomized: every run asks the same


def drawn(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode) -> list[schemathesis.Case[Any]]:
    """Some requests of an operation: as described, or wrong where there is anything to get wrong."""
    cases: list[schemathesis.Case[Any]] = []

    @settings(
        max_examples=REQUESTS_EACH,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def draw(case: schemathesis.Case[Any]) -> None:
        cases.append(case)

    try:
        draw()
    except Unsatisfiable:
        if mode is GenerationMode.POSITIVE:
            raise
    return cases


def test_no_request_ends_in_a_server_s_error(city: City) -> None:
    """What ends the session (signing out, a new password) makes a new one necessary, and no more."""
    with city.http(Role.ADMIN) as http:
        document = http.get("/api/v1/openapi.json").json()
    session = requests.Session()
    session.trust_env = False
    wrong: list[str] = []
    asked = answered = 0
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path in (ENDLESS, SLOW, "/readyz"):
            continue
        # Questions with wrong parameters: test_hostile_user.py
        modes = [GenerationMode.POSITIVE] if operation.method == "get" else list(GenerationMode)
        for case in (case for mode in modes for case in drawn(operation, mode)):
            proof = {"Authorization": f"Bearer {city.tokens[Role.ADMIN]}"}
            said = case.call(base_url=city.base, session=session, headers=proof, timeout=20)
            asked += 1
            answered += said.status_code < 300
            if said.status_code == 401:
                city.tokens[Role.ADMIN] = city.token(Role.ADMIN)
            if said.status_code >= 500:
                wrong.append(f"{operation.label}: {case.as_curl_command()}: {said.text[:300]}")
    assert not wrong, "\n".join(wrong)
    assert asked > 150
    assert answered > 20, "most was refused at the door: nothing was tested"
