"""The time for TLS of a device whose clock is not set: the server's, as `core/first_time.py` allows.

The system's clock is not touched: that is the time service's, and samples have no time until it has answered.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_agent.config_keys import AgentConfig
from edge_agent.core.first_time import doubt, floor_s, is_behind
from edge_agent.errors import ClockUnknown
from edge_agent.io.certificate_dates import validity
from edge_agent.io.city_tls import city_context

NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME (OpenSSL 1.1.0 and later, x509_vfy.h)
TIMEOUT_S = 20.0
REMEDY = "Give the device a time service (timedatectl set-ntp true), or set [enrolment] url and ca_file."


class FirstTime:
    """Thread-safe. The first of `ca_files` that is there verifies the server at `url` (none: the system's
    authorities); `certificate_file` is ours, if there is one."""

    def __init__(
        self,
        url: str,
        ca_files: Sequence[Path],
        certificate_file: Path,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._url, self._ca_files, self._certificate_file = url, tuple(ca_files), certificate_file
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._told: tuple[float, float] | None = None  # what was told, and when by the monotonic clock

    @classmethod
    def of(cls, config: AgentConfig) -> FirstTime:
        """The one that this configuration describes."""
        enrolment = config.enrolment
        brought = [Path(enrolment.ca_file)] if enrolment.ca_file else []
        return cls(enrolment.url, [config.ca_file, *brought], config.certificate_file)

    def behind(self) -> bool:
        return is_behind(self._clock_s(), self._floor_s())

    def now_s(self) -> float:
        """Seconds since 1970: the clock's, or the server's where the clock is behind. Raises ClockUnknown."""
        if not self.behind():
            return self._clock_s()
        with self._lock:
            if self._told is None:
                self._told = (self._ask(), time.monotonic())
            told_s, at_s = self._told
        return told_s + time.monotonic() - at_s

    def relax(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """Let `check` look at the dates instead, while the clock is behind. Raises ClockUnknown."""
        if self.behind():
            self.now_s()
            context.verify_flags |= NO_CHECK_TIME
        return context

    def check(self, shown: dict[str, Any] | None) -> None:
        """Is the certificate of this connection (`getpeercert`) valid now? Raises ClockUnknown."""
        if not self.behind():
            return  # OpenSSL has looked
        from_s, until_s = _dates(shown)
        if not from_s <= self.now_s() <= until_s:
            raise ClockUnknown("the server's certificate is not valid at the time that was told", REMEDY)

    def _floor_s(self) -> float:
        try:
            return floor_s(validity(self._certificate_file).from_s)
        except (OSError, ValueError):
            return floor_s(None)

    def _ask(self) -> float:
        if not self._url:
            raise ClockUnknown("the clock was never set, and no [enrolment] url says whom to ask", REMEDY)
        # seldom needed: a running agent does without these 2 MB
        from email.utils import parsedate_to_datetime
        from http.client import HTTPException, HTTPSConnection

        parts = urlsplit(self._url)
        try:
            trusted = next((each for each in self._ca_files if each.is_file()), None)
            context = city_context(trusted)
            context.verify_flags |= NO_CHECK_TIME
            connection = HTTPSConnection(parts.netloc, timeout=TIMEOUT_S, context=context)
            try:
                connection.request("GET", f"{parts.path.rstrip('/')}/.well-known/est/cacerts")
                from_s, until_s = _dates(connection.sock.getpeercert())
                told = parsedate_to_datetime(connection.getresponse().getheader("Date", "")).timestamp()
            finally:
                connection.close()
        except (OSError, ValueError, HTTPException) as error:
            raise ClockUnknown(f"the clock was never set, and {self._url} tells no time: {error}") from error
        why = doubt(told, self._floor_s(), from_s, until_s)
        if why:
            raise ClockUnknown(f"the time that {self._url} tells is not taken: {why}", REMEDY)
        return told


def _dates(shown: dict[str, Any] | None) -> tuple[float, float]:
    if not shown:
        raise ClockUnknown("the server showed no certificate")
    return (
        float(ssl.cert_time_to_seconds(str(shown["notBefore"]))),
        float(ssl.cert_time_to_seconds(str(shown["notAfter"]))),
    )
