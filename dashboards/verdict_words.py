"""Verdicts, faults and what people do about incidents, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dashboards.incident_model import Verdict

# kind -> words, mark and tone of static/words.js
_KINDS = {
    "episode": ("episode", "warning", "tone-bad"),
    "episode_over": ("episode over", "fresh", "tone-ok"),
    "fault": ("sensor fault", "info", "tone-warn"),
    "fault_over": ("sensor well again", "fresh", "tone-ok"),
}
FAULTS = {
    "spike": "spikes",
    "flat_line": "stuck",
    "humidity_swell": "swollen by humidity",
    "drift": "drifting",
    "unplugged": "unplugged",
}
_HAPPENED = {
    "opened": "Opened",
    "joined": "Lampposts joined",
    "left": "Lampposts left",
    "severity": "Severity changed",
    "absorbed": "Took in another incident",
    "merged": "Became part of another incident",
    "closed": "Closed",
    "reopened": "Opened again",
    "acknowledged": "Acknowledged",
    "silenced": "Silenced",
    "heard": "Silence ended",
    "note": "Note",
}


def happened(what: str) -> str:
    return _HAPPENED.get(what, what.replace("_", " ").replace("-", " ").capitalize())


def decided_by(model: str) -> tuple[str, str]:
    """(who decided, which one): ("model", "air_anomaly@1.0.0/litert"), ("rule", "rule@1")."""
    if not model:
        return "not told", ""
    return ("rule" if model.partition("@")[0] == "rule" else "model"), model


def fault(reason: str) -> str:
    """`flat_line: nothing moved ...` -> `stuck`; a word that is not known stays as it is."""
    code = reason.partition(":")[0].strip()
    return FAULTS.get(code, code.replace("_", " "))


def reason(found: Verdict) -> str:
    """A fault's reason without the code that its words repeat."""
    code, colon, words = found.reason.partition(":")
    return words.strip().capitalize() if colon and code in FAULTS else found.reason


def rows(found: Iterable[Verdict], href: Callable[[str], str] = lambda _: "") -> list[dict[str, Any]]:
    """A table of verdicts, newest first. href: the page of an address."""
    newest_first = sorted(found, key=lambda v: (-v.time_ms, -v.id))
    return [verdict(v, href(v.address)) for v in newest_first]


def verdict(found: Verdict, href: str = "") -> dict[str, Any]:
    """A row of a table of verdicts."""
    words, mark, tone = _KINDS.get(found.kind, (found.kind.replace("_", " "), "none", "tone-quiet"))
    if found.kind == "fault":
        words = f"sensor {fault(found.reason)}"
    who, model = decided_by(found.model)
    return {
        "id": found.id,
        "time": found.time_ms,
        "name": found.address.partition("/")[2],
        "href": href,
        "kind": found.kind,
        "words": words,
        "mark": mark,
        "tone": tone,
        "score": f"{found.score:.2f}",
        "confidence": f"{round(found.confidence * 100)} %",
        "reason": reason(found),
        "decided": who,
        "model": model,
    }
