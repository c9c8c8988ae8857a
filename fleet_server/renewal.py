"""Keeps the roles' certificates fresh while the server runs, follows the revocation list, and says who has to
read what again."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fleet_server.config import ServerConfig
from fleet_server.cutting_rules import OUT
from fleet_server.processes import child_environment
from provisioning.authority_files import AuthorityFiles, read_lists
from provisioning.revocation import serials_on

log = logging.getLogger("lamppost.serve")

RENEW_EVERY_S = 6 * 3600.0  # certificates live a year and are renewed at two thirds; a failure has time
LOOK_EVERY_S = 0.25  # a revoked lamppost loses its connection within a second or two


class Renewal:
    """`begin()` before the broker starts, then `look()` now and then. Certificates are made by a process that
    ends, so that no key stays in memory."""

    def __init__(self, config: ServerConfig) -> None:
        folder = config.certificates_directory
        authority = AuthorityFiles(config.authority.directory)
        self._command = _program("renewal", config)
        # The broker reads its certificate again on SIGHUP; a restart ends connections of an authority that is
        # trusted no longer. An ingest role has its certificate in its connection: it ends in order, and is
        # started again. The API looks by itself.
        self._watched = {
            folder / "broker.pem": ("broker", signal.SIGHUP),
            authority.trust: ("broker", signal.SIGTERM),
            config.broker.certificate_file: ("ingest", signal.SIGTERM),
        }
        # Another authority signs, or is trusted: the roles' certificates are looked at at once.
        self._signing = (authority.description, authority.trust)
        self._cutting = Cutting(config)
        self._seen: dict[Path, int] = {}
        self._looked_s = 0.0
        self._renewed_s = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """What is there now is what the roles start with: only what comes later is news."""
        self._seen = {path: _version(path) for path in (*self._watched, *self._signing)}
        self._cutting.begin()

    def look(self) -> Iterator[tuple[str, signal.Signals]]:
        """Which role has to be sent which signal, because a file of its own has changed."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        # What is gone is about to be put back; nobody could start without it.
        changed = {path: now for path, seen in self._seen.items() if (now := _version(path)) not in (0, seen)}
        self._seen |= changed
        if self._process is None and (
            changed.keys() & set(self._signing) or now_s - self._renewed_s > RENEW_EVERY_S
        ):
            self._renewed_s = now_s
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, env=child_environment(), start_new_session=True
            )
        for path in changed.keys() & self._watched.keys():
            yield self._watched[path]
        for number in self._cutting.look():
            yield "broker", number

    def stop(self) -> None:
        self._cutting.stop()
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Cutting:
    """Follows the revocation list: the broker reads a new one (SIGHUP), and a process of its own ends the
    connections of those who are new on it (`fleet_server.cutting`). Where that cannot be, or fails, the
    broker is restarted, which ends everybody's (docs/adr/0011)."""

    def __init__(self, config: ServerConfig) -> None:
        self._command = _program("cutting", config)
        self._file = AuthorityFiles(config.authority.directory).crl
        self._by_socket = config.broker.server_socket is not None
        self._seen = 0
        self._listed = b""  # the file as it was last seen
        self._named: frozenset[int] = frozenset()  # serials on it
        self._somebody_new = False  # who was not named before; else there is no connection to end
        self._started = b""  # the file as the broker had it when it started: it never let those in
        self._done = b""  # the file as it was when everybody on it was out
        self._given = b""  # the file as the process has it
        self._due = False  # a list has come that no process has yet
        self._said = b""
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        self._seen, self._listed = _version(self._file), _content(self._file)
        self._started = self._done = self._listed
        with suppress(ValueError):
            self._named = serials_on(read_lists(self._listed))

    def look(self) -> Iterator[signal.Signals]:
        """What the broker is to be sent: it has to have it before the next step of this iterator."""
        if self._process is not None and (status := self._process.poll()) is not None:
            self.stop()
            if status:
                log.warning("connections of revoked certificates are not ended for certain: broker restarts")
                self._started = self._done = self._listed
                self._due = False
                yield signal.SIGTERM
        if self._is_new():
            if not self._by_socket:
                yield signal.SIGTERM if self._somebody_new else signal.SIGHUP
                return
            self._due = True
            yield signal.SIGHUP
        # One that is at work is not interrupted: lists that follow each other fast would let nobody be ended.
        if self._due and (self._process is None or self._has_said_out()):
            self._begin_next()

    def _is_new(self) -> bool:
        """Is there a list that says something else? One that cannot be read says nothing: the broker, which
        could not start with it, goes on with the one that it has."""
        version = _version(self._file)
        if version == self._seen:
            return False
        self._seen, content = version, _content(self._file)
        if content == self._listed:
            return False
        try:
            named = serials_on(read_lists(content))
        except ValueError:
            log.error("%s cannot be read: the broker goes on with the former list", self._file)
            return False
        self._somebody_new = not named <= self._named
        self._listed, self._named = content, named
        return True

    def _begin_next(self) -> None:
        self.stop()  # those whom it keeps out the next one keeps out
        self._due, self._given = False, self._listed
        with tempfile.TemporaryFile() as given:  # a pipe would not take a long list at once
            given.write(b"\0".join((self._started, self._done, self._given)))
            given.seek(0)
            self._process = subprocess.Popen(
                self._command,
                stdin=given,
                stdout=subprocess.PIPE,
                env=child_environment(),
                start_new_session=True,
            )

    def stop(self) -> None:
        """What it has not done the next one does."""
        if self._process is None:
            return
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        if self._has_said_out():
            self._done = self._given
        self._process.stdout.close()
        self._process, self._said = None, b""

    def _has_said_out(self) -> bool:
        assert self._process is not None
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._said += self._process.stdout.read() or b""
        return self._said == OUT


def _program(name: str, config: ServerConfig) -> list[str]:
    command = [sys.executable, "-m", f"fleet_server.{name}"]
    if config.file is not None:
        command += ["--config", str(config.file)]
    return [*command, "--data", str(config.data_dir)]


def _version(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def main(arguments: list[str]) -> int:
    """`[--config FILE] --data DIR`: make what is due, and put on the list what it has forgotten; once."""
    from fleet_server.arguments import configuration_of, parser
    from fleet_server.errors import LamppostError
    from fleet_server.logs import set_up_logging
    from fleet_server.processes import die_with_parent
    from fleet_server.setup_role import certify, list_again

    die_with_parent()
    config = configuration_of(parser().parse_args(arguments))
    set_up_logging("renewal", as_json=config.log.json)
    try:
        certify(config)
        list_again(config)
    except LamppostError as refused:
        print(f"lamppost: {refused}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
