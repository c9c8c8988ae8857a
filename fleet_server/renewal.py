"""Keeps the roles' certificates fresh while the server runs, and says who has to read them again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from fleet_server.config import ServerConfig
from fleet_server.processes import child_environment

RENEW_EVERY_S = 6 * 3600.0  # certificates live a year and are renewed at two thirds; a failure has time
LOOK_EVERY_S = 1.0  # a revoked device should lose its way in within seconds


class Renewal:
    """`look()` now and then. Certificates are made by a process that ends, so that no key stays in memory."""

    def __init__(self, config: ServerConfig) -> None:
        folder = config.certificates_directory
        self._command = [sys.executable, "-m", "fleet_server.renewal"]
        if config.file is not None:
            self._command += ["--config", str(config.file)]
        self._command += ["--data", str(config.data_dir)]
        # The broker reads its certificate again on SIGHUP. It would read the revocation list too, and keep
        # open connections: only a restart ends a revoked one (docs/adr/0011). An ingest role has its
        # certificate in its connection: it ends in order, and is started again. The API looks by itself.
        self._watched = {
            folder / "broker.pem": ("broker", signal.SIGHUP),
            config.authority.directory / "issuing" / "revoked.crl": ("broker", signal.SIGTERM),
            config.broker.certificate_file: ("ingest", signal.SIGTERM),
        }
        # Another authority signs, or is trusted: the roles' certificates are looked at at once.
        self._described = config.authority.directory / "authority.json"
        self._trust = config.authority.directory / "trust.pem"
        self._seen: dict[Path, int] = {}
        self._looked_s = 0.0
        self._renewed_s = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None

    def look(self) -> Iterator[tuple[str, signal.Signals]]:
        """Which role has to be sent which signal, because a file of its own has changed."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        if self._process is None and (self._authority_changed() or now_s - self._renewed_s > RENEW_EVERY_S):
            self._renewed_s = now_s
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, env=child_environment(), start_new_session=True
            )
        for path, told in self._watched.items():
            changed = _version(path)
            if self._seen.setdefault(path, changed) != changed:
                self._seen[path] = changed
                yield told

    def _authority_changed(self) -> bool:
        news = False
        for path in (self._described, self._trust):
            changed = _version(path)
            news |= self._seen.setdefault(path, changed) != changed
            self._seen[path] = changed
        return news

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _version(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def main(arguments: list[str]) -> int:
    """`[--config FILE] --data DIR`: make what is due, once."""
    from fleet_server.arguments import configuration_of, parser
    from fleet_server.errors import ConfigurationError
    from fleet_server.logs import set_up_logging
    from fleet_server.processes import die_with_parent
    from fleet_server.setup_role import certify

    die_with_parent()
    config = configuration_of(parser().parse_args(arguments))
    set_up_logging("renewal", as_json=config.log.json)
    try:
        certify(config)
    except ConfigurationError as refused:
        print(f"lamppost: {refused}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
