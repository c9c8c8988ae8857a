"""Install the agent as a systemd service: user, folders, unit."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from edge_agent.config import load
from edge_agent.config_keys import AgentConfig
from edge_agent.errors import AgentError, ConfigError

UNIT_NAME = "lamppost-agent.service"
TEMPLATE = Path(__file__).with_name(UNIT_NAME)
SERIAL_GROUP = "dialout"  # owns serial ports on Debian, Ubuntu and Raspberry Pi OS
STATE_ROOT = Path("/var/lib")
OWN = ("identity", "spool", "status.json")  # what the agent keeps in its data folder


def unit_text(config_file: Path, data_dir: Path, user: str, python: str = sys.executable) -> str:
    """The unit for this configuration."""
    return (
        TEMPLATE.read_text()
        .replace("@PYTHON@", _quoted(python))
        .replace("@CONFIG@", _quoted(str(config_file)).replace("$", "$$"))
        .replace("@DATA_DIR@", _quoted(str(data_dir)))
        .replace("@STATE_DIRECTORY@", _state_directory(data_dir))
        .replace("@USER@", user)
        .replace("@GROUP@", SERIAL_GROUP)
    )


def _quoted(path: str) -> str:
    """As systemd.syntax(7) reads it back; % begins a specifier."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if any(c in path for c in " \t\"'\\;") else escaped


def _state_directory(data_dir: Path) -> str:
    """systemd makes and owns what lies under /var/lib; any other place is only opened for writing."""
    if data_dir.is_relative_to(STATE_ROOT) and data_dir != STATE_ROOT:
        return f"StateDirectory={_quoted(str(data_dir.relative_to(STATE_ROOT)))}\nStateDirectoryMode=0700"
    return "# the data folder lies outside /var/lib: it was made by `lamppost agent install`"


def install(config_file: Path, root: Path, user: str, only_make: bool, tell: Callable[[str], None]) -> str:
    """Write the unit below `root`; on the running system also make the user and enable the service.

    Returns the unit's text; only_make: that is all. `tell` hears each step. Raises ConfigError, AgentError.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", user):
        raise ConfigError(
            f"--user {user!r}: must be 1 to 32 of a-z, 0-9, '_' and '-', beginning with a letter"
        )
    config = load(config_file)
    text = unit_text(config_file.absolute(), config.data_dir, user)
    if only_make:
        return text
    unit = root / "etc/systemd/system" / UNIT_NAME
    try:
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.write_text(text)
    except PermissionError as error:
        raise AgentError(f"{unit}: {error.strerror}", "Run it with sudo.") from error
    tell(f"wrote {unit}")
    if root != Path("/"):
        wants = root / "etc/systemd/system/multi-user.target.wants" / UNIT_NAME
        wants.parent.mkdir(parents=True, exist_ok=True)
        wants.unlink(missing_ok=True)
        wants.symlink_to(Path("..") / UNIT_NAME)
        tell(
            f"enabled for the image's next boot; its user {user} must be in the group {SERIAL_GROUP} "
            f"and be allowed to read {config_file.absolute()}"
        )
    else:
        _on_this_system(config_file, config, user, tell)
    return text


def _on_this_system(config_file: Path, config: AgentConfig, user: str, tell: Callable[[str], None]) -> None:
    _make_user(user)
    account = pwd.getpwnam(user)
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    hand_over(config_file, config.data_dir, account)
    for path in (config_file.absolute(), Path(sys.executable)):
        check_reach(path, user)
    if shutil.which("systemctl") is None or not Path("/run/systemd/system").is_dir():
        tell("systemd does not run here: start the agent with `lamppost agent run`")
        return
    for arguments in (["daemon-reload"], ["enable", "--now", UNIT_NAME]):
        done = subprocess.run(["systemctl", *arguments], check=False)
        if done.returncode != 0:
            raise AgentError(f"systemctl {' '.join(arguments)} failed", f"journalctl -u {UNIT_NAME}")
    tell(f"started; look at it: systemctl status {UNIT_NAME}, lamppost agent status")


def hand_over(config_file: Path, data_dir: Path, account: pwd.struct_passwd) -> None:
    """What root made while setting up becomes the service's: key and spool, and the right to read its file.

    systemd looks at the owner of the state directory itself and would leave a root's key inside as it is.
    """
    own = [data_dir / name for name in OWN]  # the folder may be shared, with a server's data say
    for each in (data_dir, *own, *(inside for folder in own for inside in folder.rglob("*"))):
        if not each.exists():
            continue
        os.chown(each, account.pw_uid, account.pw_gid, follow_symlinks=False)
    mode = config_file.stat().st_mode
    if not mode & stat.S_IROTH:  # it holds a claim: its group may read it, others still may not
        os.chown(config_file, -1, account.pw_gid)
        config_file.chmod(stat.S_IMODE(mode) | stat.S_IRGRP)


def check_reach(path: Path, user: str) -> None:
    """Raises AgentError where the service's user could not read this file."""
    command = ["runuser", "-u", user, "--", "test", "-r", str(path)]
    if shutil.which("runuser") is not None and subprocess.run(command, check=False).returncode != 0:
        raise AgentError(
            f"{path}: the user {user} may not read it, so the service could not start",
            f"chmod a+r {path}, and a+x on the folders above it; put a virtual environment into /opt.",
        )


def _make_user(user: str) -> None:
    try:
        pwd.getpwnam(user)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user]
        if subprocess.run(command, check=False).returncode != 0:
            raise AgentError(f"the user {user} could not be made", "Run it with sudo.") from None
    subprocess.run(["usermod", "-aG", SERIAL_GROUP, user], check=False)
