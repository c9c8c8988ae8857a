"""`lamppost ca roll-issuing | roll-root | backup | restore | lock-root`: rehearsed before it is needed."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from provisioning import backup, rollover
from provisioning.authority import Authority
from provisioning.authority_files import AuthorityFiles, described
from provisioning.errors import BadSetting
from provisioning.rollover_rules import Step

Facts = Mapping[str, Any]
Command = Callable[[str, str, Callable[[argparse.Namespace], Facts]], argparse.ArgumentParser]

PASSPHRASE_MOST_BYTES = 1023  # OpenSSL takes no longer one for a key
STEPS = ("prepare", "switch", "retire", "abandon")
AFTER = {
    Step.PREPARE: "the broker, the server and lampposts learn to trust it; then: switch",
    Step.SWITCH: "after 91 days, when every lamppost has a certificate by the new one: retire",
    Step.RETIRE: "nothing: make a backup",
    Step.ABANDON: "nothing: all is as it was",
}


def add(command: Command) -> None:
    """The commands; `command(name, what, run)` makes one."""
    for name, what, run in (
        ("roll-issuing", "the next issuing authority, step by step", _roll_issuing),
        ("roll-root", "the next root and an issuing authority below it, step by step", _roll_root),
    ):
        made = command(name, what, run)
        made.add_argument("step", choices=STEPS, help="in this order; abandon: instead of switch")
        made.add_argument("--root", type=Path, metavar="DIR", help="the root's folder, from where it is kept")
        made.add_argument("--early", action="store_true", help="do not wait until everybody can have learned")
        _add_passphrase(made, "of the root's key")
        if run is _roll_root:
            made.add_argument(
                "--new-passphrase-file", type=Path, metavar="FILE", help="of the new root's key"
            )
    out = command("backup", "everything here, encrypted, in one file", _backup)
    out.add_argument("--out", type=Path, required=True, metavar="FILE")
    back = command("restore", "a backup, where there is nothing yet", _restore)
    back.add_argument("--from", dest="file", type=Path, required=True, metavar="FILE")
    for each in (out, back):
        _add_passphrase(each, "of the backup")
    _add_passphrase(command("lock-root", "encrypt a root's key that lies here open", _lock_root), "to be set")


def _add_passphrase(made: argparse.ArgumentParser, what: str) -> None:
    made.add_argument("--passphrase-file", type=Path, metavar="FILE", help=f"{what}: the first line")


def passphrase_in(file: Path) -> str:
    """The first line of a file. Raises BadSetting, OSError."""
    try:
        given = file.read_text(encoding="utf-8").partition("\n")[0]
    except UnicodeDecodeError as error:
        raise BadSetting(f"{file} is no text") from error
    if not given:
        raise BadSetting(f"the passphrase in {file} is empty")
    return _short_enough(given)


def asked_passphrase(prompt: str, *, twice: bool = False) -> str:
    """From the terminal. Raises BadSetting where there is none."""
    if not sys.stdin.isatty():
        raise BadSetting("a passphrase is needed", "Give --passphrase-file FILE")
    given = getpass.getpass(f"{prompt}: ")
    if twice and given != getpass.getpass("Again: "):
        raise BadSetting("the two passphrases differ")
    if not given:
        raise BadSetting("the passphrase is empty")
    return _short_enough(given)


def _short_enough(given: str) -> str:
    if len(given.encode()) > PASSPHRASE_MOST_BYTES:
        raise BadSetting(f"a passphrase has at most {PASSPHRASE_MOST_BYTES} bytes")
    return given


def _passphrase(options: argparse.Namespace, prompt: str, *, twice: bool = False) -> str:
    if options.passphrase_file is not None:
        return passphrase_in(options.passphrase_file)
    return asked_passphrase(prompt, twice=twice)


def _roll_issuing(options: argparse.Namespace) -> Facts:
    if options.step == Step.PREPARE:
        return _told(Step.PREPARE, rollover.prepare(options.directory, lambda: _root(options)))
    return _further(options)


def _roll_root(options: argparse.Namespace) -> Facts:
    if options.step != Step.PREPARE:
        return _further(options)
    if options.new_passphrase_file is not None:
        new = passphrase_in(options.new_passphrase_file)
    else:
        new = asked_passphrase("Passphrase for the new root's key", twice=True)
    made = rollover.prepare_root(options.directory, lambda: _root(options), new)
    folder = options.directory / made.described.next_root
    return {
        **_told(Step.PREPARE, made),
        "new_root": str(folder / "root.pem"),
        "keep_apart": f"move {folder} to a medium that is kept offline",
    }


def _further(options: argparse.Namespace) -> Facts:
    match Step(options.step):
        case Step.SWITCH:
            return _told(Step.SWITCH, rollover.switch(options.directory, early=options.early))
        case Step.RETIRE:
            return _told(Step.RETIRE, rollover.retire(options.directory, early=options.early))
        case _:
            return _told(Step.ABANDON, rollover.abandon(options.directory))


def _root(options: argparse.Namespace) -> rollover.Root:
    """Asked for its passphrase only where its key is locked."""
    told = described(AuthorityFiles(options.directory))
    folder = options.root or options.directory / told.root
    if options.passphrase_file is not None:
        return rollover.root_in(folder, passphrase_in(options.passphrase_file))
    if rollover.is_locked(folder):
        return rollover.root_in(folder, asked_passphrase("Passphrase of the root's key"))
    return rollover.root_in(folder, None)


def _told(taken: Step, authority: Authority) -> Facts:
    told = authority.described
    return {
        "phase": str(told.phase),
        "signs": authority.issuing.subject.rfc4514_string(),
        "next_authority": told.next or "none",
        "former_authority": told.former or "none",
        "then": AFTER[taken],
    }


def _backup(options: argparse.Namespace) -> Facts:
    passphrase = _passphrase(options, "Passphrase for the backup", twice=True)
    return backup.back_up(options.directory, passphrase, options.out)


def _restore(options: argparse.Namespace) -> Facts:
    return backup.restore(options.file, _passphrase(options, "Passphrase of the backup"), options.directory)


def _lock_root(options: argparse.Namespace) -> Facts:
    passphrase = _passphrase(options, "Passphrase for the root's key", twice=True)
    return {"locked": str(rollover.lock_root(options.directory, passphrase))}
