"""What the server says to lampposts of its own accord, settings and commands: each second, what is due.

A source claims what is due in a transaction of its own (`FOR UPDATE SKIP LOCKED`, and when it is due next)
and returns the messages: several workers share the work, and a message that got lost on its way is due
again. Nothing waits here, and no device has a queue.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fleet_server.errors import LamppostError
from fleet_server.outgoing import Said

SPEAK_EVERY_S = 1.0  # a setting is obeyed within two seconds; a tick that finds nothing is one indexed query

Source = Callable[[], Sequence[Said]]
"""Claims what is due now: (topic, payload) each. Raises LamppostError where the database does not answer."""

_log = logging.getLogger(__name__)


class Mouth(Protocol):
    """What the speaker needs of the broker (`broker_link.BrokerLink`)."""

    @property
    def connected(self) -> bool: ...

    def publish(self, messages: Sequence[Said]) -> None: ...


class Speaker:
    """A thread of its own, beside the ingest's: `sources` by name."""

    def __init__(self, mouth: Mouth, sources: Mapping[str, Source], every_s: float = SPEAK_EVERY_S) -> None:
        self._mouth, self._sources, self._every_s = mouth, sources, every_s
        self._failing: dict[str, str] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="speaker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what it has claimed and not said is due again later."""
        self._ended.set()
        self._thread.join(5.0)

    def speak(self) -> int:
        """One round; how many messages were handed to the broker. Nothing is claimed while there is none."""
        said = 0
        for name, source in self._sources.items():
            if not self._mouth.connected:
                return said
            try:
                messages = source()
            except LamppostError as error:
                self._note(name, str(error))
                continue
            except Exception as error:  # noqa: BLE001 - the source's top: the next one speaks
                self._note(name, repr(error), error)
                continue
            self._failing.pop(name, None)
            if messages:
                self._mouth.publish(messages)
                said += len(messages)
        return said

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self.speak()
            except Exception as error:  # noqa: BLE001 - the loop's top: the next round may pass
                self._note("", repr(error), error)

    def _note(self, name: str, cause: str, error: Exception | None = None) -> None:
        if self._failing.get(name) != cause:
            self._failing[name] = cause
            _log.error("what is due to lampposts (%s) is not said: %s", name, cause, exc_info=error)
