"""The table from error to problem document covers the whole tree."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fleet_server import errors
from fleet_server.errors import PROBLEMS, LamppostError, document_of, problem_of


def tree(kind: type[LamppostError] = LamppostError) -> Iterator[type[LamppostError]]:
    for below in kind.__subclasses__():
        yield below
        yield from tree(below)


OWN = [kind for kind in tree() if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", OWN)
def test_every_kind_has_a_problem(kind: type[LamppostError]) -> None:
    assert any(above in PROBLEMS for above in kind.__mro__)


@pytest.mark.parametrize(("kind", "problem"), PROBLEMS.items())
def test_a_document_has_the_members_of_rfc_9457(kind: type[LamppostError], problem: errors.Problem) -> None:
    document = document_of(kind("Something secret is wrong.", members={"more": 1, "status": 200}), "r-1")
    assert document["type"] == f"urn:lamppost:problem:{problem.slug}"
    assert document["title"] == problem.title
    assert document["status"] == problem.status  # a member cannot take the place of a standard one
    assert document["request_id"] == "r-1"
    assert ("secret" in document["detail"]) == problem.shown
    assert ("more" in document) == problem.shown


def test_what_is_another_tenants_looks_like_what_is_not_there() -> None:
    assert PROBLEMS[errors.OtherTenant] == PROBLEMS[errors.NotFound]


def test_slugs_and_kinds_are_one_to_one() -> None:
    slugs = [problem.slug for kind, problem in PROBLEMS.items() if kind is not errors.OtherTenant]
    assert len(slugs) == len(set(slugs))


def test_an_error_of_a_slice_takes_the_entry_of_its_nearest_kind() -> None:
    class UnknownLamp(errors.NotFound):
        pass

    assert problem_of(UnknownLamp("")) is PROBLEMS[errors.NotFound]


def test_what_is_not_of_the_tree_is_ours_and_not_shown() -> None:
    document = document_of(ValueError("the password is 1234"), "r-2")
    assert document["status"] == 500
    assert "1234" not in str(document)
    assert "r-2" in document["detail"]
