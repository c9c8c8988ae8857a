"""A recorded stream judged as lampposts would have: `python -m edge_agent.io.judge_stream CANDIDATE`.

CANDIDATE: `rule`, or a model's folder. Standard input: lines of `lamppost replay --format ndjson`,
declarations first, samples in time order. Standard output: one JSON object a line; first `decides` (who),
then `verdict`s. What a lamppost knows and a record does not (a port that is gone) is not judged. Exit status
2: the candidate or the stream cannot be used, with one line that says why.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_agent.core.deciding import Told, decide
from edge_agent.core.gathering import MINUTE_MS, Seen, spiked
from edge_agent.core.judging import RULE_MANIFEST, Judgement, by_model, by_rule, sound
from edge_agent.core.post import Due, Post, pass_time, take, window_of
from edge_agent.core.records import UnitIdentity
from edge_agent.errors import ModelMissing, ModelRefused, RuntimeMissing
from edge_agent.io.model_folder import RUNNERS, load_model, read_manifest
from edge_agent.ports import Model, Runner
from firmware_bridge.kinds import SPECS, SensorKind
from models.features.window import Window
from wire_contract.errors import WireError
from wire_contract.flags import pack_flags
from wire_contract.messages import Verdict
from wire_contract.verdict_kinds import RULE

PACKAGES = {"onnx": "onnxruntime", "litert": "ai-edge-litert"}  # the quickest to start first
UNKNOWN_CADENCE_S = 60.0  # the agent's default, where a unit has too few samples to tell
GRACE_MS = 30_000  # as on a lamppost, after a minute's end
TICK_MS = 15_000
LONGEST_SILENCE_TICKS = 4 * 60  # an hour: after a gap every unit is blind anyway, and no more comes of it


class BadStream(Exception):
    """A line that cannot be used, in words."""


@dataclass(frozen=True)
class Declared:
    """A unit as the stream declared it; `unit`: the server's number for it."""

    unit: int
    device: str
    identity: UnitIdentity
    kind: SensorKind
    every_s: float


class Judge:
    """One lamppost: its units' state, and what came of each minute."""

    def __init__(self, device: str, model: Model | None) -> None:
        self._device, self._model = device, model
        self._post = Post()
        self._before: dict[int, Seen] = {}
        self._ticked_ms = 0

    def see(self, seen: Seen, identity: UnitIdentity) -> Iterator[Verdict]:
        """Take a sample in; what is said about the minutes that it completes."""
        yield from self._pass_time(seen.time_ms)
        before = self._before.get(seen.unit)
        if before is not None:
            found, failed = spiked(before.kind, before.flags)
            seen = replace(seen, spiked_ms=before.time_ms, spike_failed=failed) if found else seen
        self._before[seen.unit] = seen
        self._post, dues = take(self._post, seen, identity)
        yield from self._decide(dues)

    def finish(self) -> Iterator[Verdict]:
        """Nothing more comes: what the last minute means."""
        yield from self._pass_time(self._ticked_ms + MINUTE_MS + GRACE_MS + TICK_MS)

    def _pass_time(self, now_ms: int) -> Iterator[Verdict]:
        if not self._ticked_ms or now_ms < self._ticked_ms:
            self._ticked_ms = now_ms
        for _ in range(LONGEST_SILENCE_TICKS):
            if now_ms - self._ticked_ms < TICK_MS:
                return
            self._ticked_ms += TICK_MS
            self._post, dues = pass_time(self._post, self._ticked_ms, GRACE_MS)
            yield from self._decide(dues)
        self._ticked_ms = now_ms

    def _decide(self, dues: Iterable[Due]) -> Iterator[Verdict]:
        manifest = self._model.manifest if self._model else RULE_MANIFEST
        for due in dues:
            window = window_of(self._post, due, manifest)
            judgement = self._judge(window) if window is not None else None
            told: tuple[Told, ...]
            self._post, told = decide(self._post, due, judgement)
            yield from (each for each in told if isinstance(each, Verdict))

    def _judge(self, window: Window) -> Judgement:
        if self._model is None:
            return by_rule(window)
        outputs = self._model.runner.score(window.values)
        if not sound(outputs, self._model.manifest):
            raise ModelRefused(f"{self._model.title} gave no numbers: {outputs}")
        return by_model(window, outputs, self._model.manifest, self._model.runner.name)


def candidate(named: str, runners: Mapping[str, Callable[[], Runner]] = RUNNERS) -> Model | None:
    """None: the rule. A model runs on the first of `PACKAGES` that it has a file for and that is installed.
    Raises ModelMissing, ModelRefused."""
    if named == "rule":
        return None
    directory = Path(named)
    files = read_manifest(directory).files
    lacking: list[str] = []
    for runtime in (each for each in PACKAGES if each in files):
        try:
            return load_model(directory, runtime, runners)
        except RuntimeMissing as missing:
            lacking.append(missing.detail)
    if not lacking:
        raise ModelRefused(f"{directory}: it has files for {', '.join(files)}; {', '.join(PACKAGES)} are run")
    install = " or ".join(f"pip install {PACKAGES[each]}" for each in PACKAGES if each in files)
    raise ModelMissing(f"{'; '.join(lacking)}. Install one where the server runs: {install}")


def judged(lines: Iterable[str], model: Model | None) -> Iterator[dict[str, Any]]:
    """What is to be written, for these lines. Raises BadStream, ModelRefused."""
    yield {"type": "decides", "who": model.title if model else RULE}
    units: dict[int, Declared | None] = {}
    judges: dict[str, Judge] = {}
    for number, line in enumerate(lines, 1):
        try:
            told = json.loads(line)
            if told["type"] == "declaration":
                units[told["unit"]] = _declared(told)
                continue
            unit = units[told["unit"]]
            if unit is None:
                continue
            seen = _seen(unit, told)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, WireError) as wrong:
            raise BadStream(f"line {number} is not of a replay: {wrong!r:.200}") from wrong
        judge = judges.setdefault(unit.device, Judge(unit.device, model))
        for verdict in judge.see(seen, unit.identity):
            yield _told(unit.device, verdict)
    for device, judge in judges.items():
        for verdict in judge.finish():
            yield _told(device, verdict)


def _declared(told: Mapping[str, Any]) -> Declared | None:
    """None: a kind that no lamppost judges."""
    if told["kind"] not in set(SensorKind):
        return None
    kind = SensorKind(told["kind"])
    identity = UnitIdentity(kind.value, str(told["serial"]), str(told["site"]))
    return Declared(
        int(told["unit"]), str(told["device"]), identity, kind, float(told["cadence_s"] or UNKNOWN_CADENCE_S)
    )


def _seen(unit: Declared, told: Mapping[str, Any]) -> Seen:
    """The sample as the agent's own loop would have given it."""
    values: list[int | None] = []
    flags: list[int] = []
    for channel in SPECS[unit.kind].channels:
        value = told["values"].get(channel.name)
        values.append(None if value is None else round(value / 10.0**channel.exponent))
        flags.append(int(told["flags"].get(channel.name, 0)))
    at = datetime.fromisoformat(told["time"])
    time_ms = round(at.timestamp() * 1000)
    sensor = f"{unit.identity.kind} {unit.identity.serial} {unit.identity.site}"
    return Seen(unit.unit, sensor, unit.kind, time_ms, unit.every_s, tuple(values), pack_flags(flags))


def _told(device: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "type": "verdict",
        "device": device,
        "unit": verdict.unit,
        "time_ms": verdict.time_ms,
        "kind": str(verdict.kind),
        "score": round(verdict.score, 6),
        "confidence": round(verdict.confidence, 6),
        "reason": verdict.reason,
        "model": verdict.model,
    }


def main(arguments: list[str]) -> int:
    """0: all was judged. 2: one line says why not."""
    try:
        for told in judged(sys.stdin, candidate(arguments[0])):
            print(json.dumps(told, separators=(",", ":")), flush=True)
    except (ModelRefused, BadStream) as refused:
        print(str(refused), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
