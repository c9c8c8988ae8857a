"""A lamppost's units in the emulator's air, minute by minute, without threads: what the core makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge_agent.core.deciding import Clear, Raise, Told, decide
from edge_agent.core.gathering import Seen, spiked
from edge_agent.core.judging import RULE_MANIFEST, Judgement, by_model, by_rule
from edge_agent.core.post import Post, take, window_of
from edge_agent.core.quality import UnitQuality
from edge_agent.core.records import UnitIdentity
from edge_agent.ports import Model
from firmware_bridge.emulator.air import Scene
from firmware_bridge.emulator.instrument import Instrument
from firmware_bridge.emulator.street_faults import StreetFault, StreetFaults
from firmware_bridge.emulator.synthetic import SyntheticScene
from firmware_bridge.kinds import SPECS, SensorKind
from models.features.window import Window
from wire_contract.messages import Verdict
from wire_contract.verdict_kinds import VerdictKind

START_MS = 1_794_960_000_000  # a midnight in November 2026
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@dataclass
class Sensor:
    """One emulated unit at a post."""

    kind: SensorKind
    seed: int = 1
    faults: Sequence[StreetFault] = ()

    def __post_init__(self) -> None:
        self.instrument = Instrument(self.kind, self.seed)
        self.street_faults = StreetFaults(self.faults)
        channels = [(each.name, each.unit, each.exponent) for each in SPECS[self.kind].channels]
        self.quality = UnitQuality(channels, 60.0)
        self.last: tuple[int, ...] | None = None
        self.last_ms = 0

    def read(self, unit: int, scene: Scene, time_ms: int, every_s: float) -> Seen:
        if self.last is None or not self.street_faults.stuck(time_ms):
            self.last = self.instrument.measure(self.street_faults.seen(scene.at(time_ms), time_ms))
        judged = self.quality.judge(self.last, time_ms / 1000)
        found = spiked(self.kind, judged.amended_before or 0)
        before_ms, self.last_ms = self.last_ms, time_ms
        ms = before_ms if found[0] else None
        return Seen(unit, f"s{unit}", self.kind, time_ms, every_s, self.last, judged.flags, ms, found[1])


@dataclass
class Street:
    """`run` hours of it; then look at `told`."""

    sensors: Sequence[Sensor]
    scene: Scene = field(default_factory=lambda: SyntheticScene(1, (0.0, 0.0)))
    model: Model | None = None
    every_s: float = 60.0
    post: Post = field(default_factory=Post)
    told: list[tuple[int, Told]] = field(default_factory=list)
    now_ms: int = START_MS + 20_000
    windows: int = 0
    highest: float = 0.0

    def run(self, hours: float, alive: Callable[[int], bool] = lambda _ms: True) -> Street:
        end_ms = self.now_ms + round(hours * HOUR_MS)
        while self.now_ms < end_ms:
            if alive(self.now_ms):
                for unit, sensor in enumerate(self.sensors, 1):
                    self._take(sensor.read(unit, self.scene, self.now_ms, self.every_s))
            self.now_ms += round(self.every_s * 1000)
        return self

    def _take(self, seen: Seen) -> None:
        identity = UnitIdentity(seen.kind.value, str(seen.unit), "arm")
        self.post, dues = take(self.post, seen, identity)
        for due in dues:
            manifest = self.model.manifest if self.model else RULE_MANIFEST
            window = window_of(self.post, due, manifest)
            judgement = self._judge(window) if window else None
            self.post, told = decide(self.post, due, judgement)
            self.told += [(due.end_ms, each) for each in told]

    def _judge(self, window: Window) -> Judgement:
        self.windows += 1
        if self.model is None:
            judgement = by_rule(window)
        else:
            outputs = self.model.runner.score(window.values)
            judgement = by_model(window, outputs, self.model.manifest, self.model.runner.name)
        self.highest = max(self.highest, judgement.score)
        return judgement

    def verdicts(self, *kinds: VerdictKind) -> list[Verdict]:
        found = [each for _, each in self.told if isinstance(each, Verdict)]
        return [each for each in found if each.kind in kinds] if kinds else found

    def raised(self) -> list[str]:
        return [each.code for _, each in self.told if isinstance(each, Raise)]

    def cleared(self) -> list[str]:
        return [each.code for _, each in self.told if isinstance(each, Clear)]
