"""An emulated MH-Z19B: answers the read command and the setting of automatic calibration."""

from __future__ import annotations

from firmware_bridge.codecs import winsen
from firmware_bridge.codecs.frames import Command
from firmware_bridge.codecs.scanner import Scanner
from firmware_bridge.emulator.devices import DeviceOptions, Sampler, Sent


class WinsenDevice:
    def __init__(self, sampler: Sampler, options: DeviceOptions, now_s: float) -> None:
        self._sampler = sampler
        self._options = options
        self._commands = Scanner(winsen.COMMAND_LAYOUT)
        self.power_cycle(now_s)

    def power_cycle(self, now_s: float) -> None:
        self._ready_s = now_s + self._options.warm_up_s
        self._commands.reset()

    def receive(self, data: bytes, now_s: float) -> list[Sent]:
        sent = []
        for command in self._commands.feed(data):
            if not isinstance(command, Command):
                continue
            if command.code == winsen.READ:
                sent.append(self._measure(now_s))
            elif command.code == winsen.AUTO_CALIBRATION:
                sent.append(Sent(winsen.reply(winsen.AUTO_CALIBRATION, 1)))
        return sent

    def stream_due_s(self) -> float | None:
        return None

    def stream(self, now_s: float) -> list[Sent]:
        raise AssertionError(f"an MH-Z19B never streams (asked at {now_s})")

    def _measure(self, now_s: float) -> Sent:
        if now_s < self._ready_s:
            return Sent(winsen.reply(winsen.READ, 0))
        sample = self._sampler()
        return Sent(winsen.measurement(sample.values), sample)
