"""What the terminal shows of the API's answers, those that do not come included."""

from __future__ import annotations

from typing import Any

import pytest

from demo.api import Api, ApiRefused
from demo.glance import Glance, look

INDICES = {"indices": [{"device": "demo/post-01", "value": 57, "category": "Moderate"}], "next_after": None}
INCIDENTS = {
    "incidents": [{"title": "Episode in Harbour", "severity": "major", "devices": 3}],
    "next_after": None,
}


def answering(monkeypatch: pytest.MonkeyPatch, indices: Any, incidents: Any) -> Api:
    def call(_self: Api, _method: str, path: str, body: object = None) -> Any:
        answer = indices if "indices" in path else incidents
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(Api, "call", call)
    return Api("http://nowhere")


def test_index_by_lamppost_and_a_line_an_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = look(answering(monkeypatch, INDICES, INCIDENTS), Glance())
    assert seen == Glance({"post-01": "57 Moderate"}, ("Episode in Harbour (major, 3 lampposts)",))


@pytest.mark.parametrize(
    "answer", [OSError("refused"), ApiRefused(503, "busy"), None, {}, [], {"incidents": [{"title": 3}]}]
)
def test_what_is_not_answered_stands_as_it_was(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    before = Glance({"post-01": "57 Moderate"}, ("an incident",))
    assert look(answering(monkeypatch, INDICES, answer), before) == before
