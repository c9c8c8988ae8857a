"""An emulated Plantower sensor: it streams until told to be passive; asleep it hears only the wake-up."""

from __future__ import annotations

from firmware_bridge.codecs import plantower
from firmware_bridge.codecs.frames import Command
from firmware_bridge.codecs.scanner import Scanner
from firmware_bridge.emulator.devices import DeviceOptions, Sampler, Sent

STREAM_EVERY_S = 1.0  # the data sheet's 0.2 to 2.3 s, by how fast values change
NO_VALUES = (0,) * 12


class PlantowerDevice:
    def __init__(self, sampler: Sampler, options: DeviceOptions, now_s: float) -> None:
        self._sampler = sampler
        self._options = options
        self._commands = Scanner(plantower.COMMAND_LAYOUT)
        self.power_cycle(now_s)

    def power_cycle(self, now_s: float) -> None:
        self._active, self._asleep = self._options.streaming, False
        self._ready_s = now_s + self._options.warm_up_s
        self._due_s = now_s + STREAM_EVERY_S
        self._commands.reset()

    def receive(self, data: bytes, now_s: float) -> list[Sent]:
        commands = self._commands.feed(data)
        return [sent for c in commands if isinstance(c, Command) for sent in self._obey(c, now_s)]

    def stream_due_s(self) -> float | None:
        return self._due_s if self._active and not self._asleep else None

    def stream(self, now_s: float) -> list[Sent]:
        self._due_s = max(self._due_s + STREAM_EVERY_S, now_s)
        return [self._measure(now_s)]

    def _obey(self, command: Command, now_s: float) -> list[Sent]:
        if self._asleep and command.name != "wake":
            return []
        match command.name:
            case "read":
                return [] if self._active else [self._measure(now_s)]
            case "passive_mode" | "active_mode":
                self._active = command.name == "active_mode"
                self._due_s = now_s + STREAM_EVERY_S
            case "sleep":
                self._asleep = True
            case "wake":
                if self._asleep:
                    self._asleep = False
                    self._ready_s = now_s + self._options.warm_up_s
                    self._due_s = now_s + STREAM_EVERY_S
                return []
            case _:
                return []
        return [Sent(plantower.reply(command.code, int(command.arguments["data"])))]

    def _measure(self, now_s: float) -> Sent:
        if now_s < self._ready_s:
            return Sent(plantower.measurement(NO_VALUES, version=0))
        sample = self._sampler()
        return Sent(plantower.measurement(sample.values), sample)
