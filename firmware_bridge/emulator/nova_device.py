"""An emulated SDS011 or SDS021: mode and working period survive the loss of power, as in the real ones."""

from __future__ import annotations

from firmware_bridge.codecs import nova
from firmware_bridge.codecs.frames import Command
from firmware_bridge.codecs.scanner import Scanner
from firmware_bridge.emulator.devices import DeviceOptions, Sampler, Sent

STREAM_EVERY_S = 1.0
FIRMWARE = bytes((18, 11, 16))  # year, month, day: the version most units on the market tell


class NovaDevice:
    def __init__(self, sampler: Sampler, options: DeviceOptions, now_s: float) -> None:
        self._sampler = sampler
        self._id = options.serial
        self._commands = Scanner(nova.COMMAND_LAYOUT)
        self._active = options.streaming
        self._period_minutes = 0
        self.power_cycle(now_s)

    def power_cycle(self, now_s: float) -> None:
        self._asleep = False
        self._due_s = now_s + STREAM_EVERY_S
        self._commands.reset()

    def receive(self, data: bytes, now_s: float) -> list[Sent]:
        commands = self._commands.feed(data)
        return [sent for c in commands if isinstance(c, Command) for sent in self._obey(c, now_s)]

    def stream_due_s(self) -> float | None:
        return self._due_s if self._active and not self._asleep else None

    def stream(self, now_s: float) -> list[Sent]:
        self._due_s = max(self._due_s + max(STREAM_EVERY_S, 60.0 * self._period_minutes), now_s)
        return [self._measure()]

    def _obey(self, command: Command, now_s: float) -> list[Sent]:
        arguments = command.arguments
        if command.target not in (self._id, nova.ANY_DEVICE):
            return []
        if self._asleep and arguments.get("power") != "work":
            return []
        setting = arguments.get("action") == "set"
        match command.code:
            case nova.QUERY:
                return [self._measure()]
            case nova.MODE:
                if setting:
                    self._active = arguments["mode"] == "active"
                    self._due_s = now_s + STREAM_EVERY_S
                value = int(not self._active)
            case nova.POWER:
                if setting:
                    self._asleep = arguments["power"] == "sleep"
                value = int(not self._asleep)
            case nova.PERIOD:
                if setting:
                    self._period_minutes = min(30, int(arguments["minutes"]))
                value = self._period_minutes
            case nova.FIRMWARE:
                return [Sent(nova.reply(nova.FIRMWARE, FIRMWARE, self._id))]
            case nova.DEVICE_ID:
                self._id = str(arguments["new_id"])
                return [Sent(nova.reply(nova.DEVICE_ID, b"", self._id))]
            case _:
                return []
        return [Sent(nova.reply(command.code, bytes((int(setting), value)), self._id))]

    def _measure(self) -> Sent:
        sample = self._sampler()
        return Sent(nova.measurement(sample.values, self._id), sample)
