"""Whatever the API's description allows, and what it does not: every answer is one that it describes.

None is a 5xx, an error is a problem document, and what comes has the form that was promised (schemathesis).
Each operation is asked some requests as described and some that are wrong somewhere. Every other one names
things that are there; who asks runs the installation or one tenant.

`make test` asks a few, always the same. LAMPPOST_FUZZ_EXAMPLES=200 asks as many of each operation and mode,
others at each run (LAMPPOST_FUZZ_SEED: those of that one); LAMPPOST_FUZZ_ONLY: of what has this in its label.
"""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from tests.security.any_request import ASKERS, AnyCity, Operation, city, drawn
from tests.security.test_hostile_user import ENDLESS, SLOW

EXAMPLES = int(os.environ.get("LAMPPOST_FUZZ_EXAMPLES", "0"))
REQUESTS_EACH = 4  # of each operation and mode: 45 s of one core in all
ONLY = os.environ.get("LAMPPOST_FUZZ_ONLY", "")
SEED = int(os.environ.get("LAMPPOST_FUZZ_SEED", "0")) or secrets.randbelow(2**31) if EXAMPLES else None
PROMISED = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def there(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AnyCity]:
    with city(postgres_server, template_database, tmp_path_factory.mktemp("any")) as made:
        yield made


def operations(there: AnyCity) -> Iterator[Operation]:
    said = there.session.get(f"{there.base}/api/v1/openapi.json", headers=there.proof("root"), timeout=60)
    for found in schemathesis.openapi.from_dict(said.json()).get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path not in (ENDLESS, SLOW, "/readyz") and ONLY in operation.label:
            yield operation


def broken_promise(case: schemathesis.Case[Any], said: schemathesis.Response) -> str:
    """What is wrong with the answer; "" for nothing."""
    try:
        case.validate_response(said, checks=PROMISED)
    except (Failure, FailureGroup) as broken:
        each = broken.exceptions if isinstance(broken, FailureGroup) else [broken]
        told = "; ".join(f"{type(one).__name__}: {one}" for one in each)
        return f"{said.status_code}: {told[:600]}\n  {case.as_curl_command()[:1500]}\n  {said.text[:600]}"
    return ""


@pytest.mark.timeout(3_600 if EXAMPLES else 600)
def test_every_answer_is_one_that_was_promised(there: AnyCity) -> None:
    print(f"seed {SEED}")
    wrong: dict[str, str] = {}
    answers: Counter[int] = Counter()
    for operation in operations(there):
        for mode in GenerationMode:
            for number, case in enumerate(drawn(operation, mode, EXAMPLES or REQUESTS_EACH, SEED)):
                if number % 2:
                    there.meant(case)
                said = there.ask(case, list(ASKERS)[number // 2 % 2])
                answers[said.status_code // 100] += 1
                if problem := broken_promise(case, said):
                    what = f"{operation.label} {problem[:60]}"
                    if what not in wrong:
                        print(f"{what}\n{problem}", flush=True)
                    wrong.setdefault(what, problem)
    print(f"answers: {dict(answers)}")
    assert not wrong, "\n\n".join(f"{where}: {what}" for where, what in wrong.items())
    if not ONLY:
        assert answers.total() > 600
        assert answers[2] > answers.total() / 10, "most was refused at the door: nothing was tested"
