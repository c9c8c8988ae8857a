"""What support wants to know of this lamppost, as texts; `core/packing.py` takes secrets and places out."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from edge_agent import __version__
from edge_agent.config_keys import SECTIONS, AgentConfig
from edge_agent.core.allow_list import CONFIG_KEYS
from edge_agent.errors import AgentError, SpoolError
from edge_agent.io.spool_view import free_inodes, view

DOCTOR_S = 60.0  # it waits for the broker and the server, five seconds each
REBOOT_S = 10.0
PACKAGES = ("lamppost", "paho-mqtt", "msgspec", "zstandard", "cryptography", "pyserial", "ai-edge-litert")


def doctor(config: AgentConfig) -> str:
    """`lamppost agent doctor --json`, in a child process: what it imports is not worth keeping."""
    command = [sys.executable, "-m", "edge_agent.cli", "doctor", "--json", "--config", str(config.source)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOCTOR_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the doctor gave no answer: {error}"
    return done.stdout or done.stderr


def configuration(config: AgentConfig) -> str:
    """A line for each key that the list names; of the others only that they are set."""
    return "\n".join(_keys(config)) + "\n"


def _keys(config: AgentConfig) -> Iterator[str]:
    for section, (attribute, _) in SECTIONS.items():
        held = getattr(config, attribute)
        for n, table in enumerate(held if isinstance(held, tuple) else (held,), 1):
            where = f"{section}.{n}" if isinstance(held, tuple) else section
            for each in fields(table) if is_dataclass(table) else ():
                value = getattr(table, each.name)
                listed = f"{section}.{each.name}" in CONFIG_KEYS
                yield f"{where}.{each.name} = {value!r}" if listed else f"{where}.{each.name}: stays here"


def secrets(config: AgentConfig) -> tuple[str, ...]:
    """Values of the configuration that must not be in any text that leaves."""
    claim = config.enrolment.claim
    return tuple(each for each in (claim, claim.partition(".")[2], config.device.site) if each)


def spool(config: AgentConfig) -> str:
    try:
        return json.dumps(view(config.spool_dir), indent=1)
    except SpoolError as error:
        return f"{error.detail}\n"


def versions() -> str:
    lines = [f"agent {__version__}", f"python {platform.python_version()}", f"system {platform.platform()}"]
    for name in PACKAGES:
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return "\n".join(lines) + "\n"


def disk(config: AgentConfig) -> str:
    room = shutil.disk_usage(config.data_dir)
    load = os.getloadavg()
    return (
        f"total {room.total} bytes\nfree {room.free} bytes\ninodes free {free_inodes(config.data_dir)}\n"
        f"load {load[0]:.2f} {load[1]:.2f} {load[2]:.2f}\n"
    )


def parts(config: AgentConfig) -> dict[str, str]:
    """The texts of a bundle, by the names that the list of what may leave has for them."""
    return {
        "config.txt": configuration(config),
        "doctor.json": doctor(config),
        "spool.json": spool(config),
        "versions.txt": versions(),
        "disk.txt": disk(config),
    }


def reboot() -> None:
    """Ask the system to start again. Raises AgentError where it does not."""
    try:
        done = subprocess.run(
            ["systemctl", "reboot"],
            capture_output=True, text=True, timeout=REBOOT_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AgentError(f"systemctl reboot: {error}") from error
    if done.returncode != 0:
        raise AgentError(f"systemctl reboot: {done.stderr.strip()[-300:] or done.returncode}")
