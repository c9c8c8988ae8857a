"""Debian's sshd beside the test: its own port, keys and folder, the user who runs the test; and the system's
ssh with a configuration, known hosts and a key of its own, so that nobody's ~/.ssh is read or written.
"""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.waiting import wait_until

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
SEPARATION = Path("/run/sshd")  # Debian's; sshd(8) of root wants it, an account's own does not
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Sshd:
    """`there`: the folder that commands run in, in place of the account's own home."""

    folder: Path
    port: int
    there: Path

    def client(self, port: int | None = None, known: str = "") -> None:
        """What the next ssh reaches, and which host key it knows; "": this server's own."""
        public = (self.folder / "host.pub").read_text().split()[:2]
        (self.folder / "known").write_text(known or f"lamp {' '.join(public)}\n")
        (self.folder / "config").write_text(
            f"Host *\n HostName 127.0.0.1\n Port {port or self.port}\n User {getpass.getuser()}\n"
            f" IdentityFile {self.folder}/key\n IdentitiesOnly yes\n IdentityAgent none\n"
            f" UserKnownHostsFile {self.folder}/known\n GlobalKnownHostsFile /dev/null\n"
            " HostKeyAlias lamp\n UpdateHostKeys no\n LogLevel INFO\n"
        )


def new_key(file: Path) -> str:
    """An Ed25519 key without a passphrase; its public half."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True, stdin=subprocess.DEVNULL
    )
    return file.with_name(f"{file.name}.pub").read_text()


@contextmanager
def sshd(folder: Path, there: Path, options: str = "") -> Iterator[Sshd]:
    """Skips where there is none. options: further lines of its configuration, which count first."""
    if not Path(SSHD).exists() or shutil.which("ssh") is None:
        pytest.skip("openssh-server and openssh-client are not installed")
    folder.mkdir()
    new_key(folder / "host")
    (folder / "authorized").write_text(new_key(folder / "key"))
    made = Sshd(folder, free_port(), there)
    forced = folder / "forced"  # the account's home is somebody's: commands run in a folder of the test
    forced.write_text(
        f"#!/bin/sh\ncd {shlex.quote(str(there))} && HOME=$PWD PATH={folder}/bin:$PATH\n"
        'export HOME PATH\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    program = folder / "bin" / "lamppost"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {sys.executable} -m lamppost "$@"\n'
    )
    client = folder / "client" / "ssh"  # without a terminal: it would ask whoever runs the tests
    client.parent.mkdir()
    real = shutil.which("ssh")
    client.write_text(f'#!/bin/sh\nSSH_ASKPASS_REQUIRE=never exec setsid -w {real} -F {folder}/config "$@"\n')
    for each in (forced, program, client):
        each.chmod(0o755)
    (folder / "sshd_config").write_text(
        f"{options}\nPort {made.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nPermitRootLogin yes\nForceCommand {forced}\n"  # no scp, no sftp
    )
    made.client()
    if os.geteuid() == 0:  # it stays: another worker's sshd may stand in it
        SEPARATION.mkdir(mode=0o755, exist_ok=True)
    command = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or _listens(made.port), 20, "sshd to answer")
        assert process.poll() is None, (folder / "log").read_text()
        yield made
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
