"""`lamppost ca roll-issuing | roll-root | backup | restore | lock-root | root-to-token | check-root`: what is
rehearsed before it is needed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography import x509

from provisioning import backup, pkcs11_uri, rollover, root_keys
from provisioning.authority import Authority
from provisioning.authority_files import AuthorityFiles, described, directly_issued
from provisioning.cli_secrets import (
    NEW_PIN_VARIABLE,
    PIN_VARIABLE,
    asked_passphrase,
    key_in_token,
    pin_by,
    secret_in,
)
from provisioning.errors import BadSetting
from provisioning.rollover_rules import Step

Facts = Mapping[str, Any]
Command = Callable[[str, str, Callable[[argparse.Namespace], Facts]], argparse.ArgumentParser]

STEPS = ("prepare", "switch", "retire", "abandon")
STILL_BELIEVED = (
    "by what trusts the root alone (curl, other programs, the server's own roles); not by the broker, nor by "
    "lampposts once they have heard of it. If its key was stolen: roll-root"
)
GIVEN_UP_BELIEVED = (
    "its certificate holds, and by the broker alone it is refused: lampposts take it for the one that comes "
    "next. If its key may have been copied: prepare again and switch, which gives a higher number that "
    "lampposts go by once they have heard of it; roll-root for other programs"
)
AFTER = {
    Step.PREPARE: "the broker, the server and lampposts learn to trust it; then: switch",
    Step.SWITCH: "make a broker's certificate of your own again (server-cert); after 91 days, when every "
    "lamppost has a certificate by the new one: retire",
    Step.RETIRE: "nothing: make a backup",
    Step.ABANDON: "make a backup: it keeps that this number is used up. Else all is as it was",
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
            new = made.add_mutually_exclusive_group()
            new.add_argument("--new-passphrase-file", type=Path, metavar="FILE", help="of the new root's key")
            new.add_argument("--new-root-key", metavar="URI", help="a pkcs11: address: made in that token")
            made.add_argument("--existing-key", action="store_true", help="the key is in that token already")
    out = command("backup", "everything here, encrypted, in one file", _backup)
    out.add_argument("--out", type=Path, required=True, metavar="FILE")
    back = command("restore", "a backup, where there is nothing yet", _restore)
    back.add_argument("--from", dest="file", type=Path, required=True, metavar="FILE")
    for each in (out, back):
        _add_passphrase(each, "of the backup")
    lock = command("lock-root", "encrypt a root's key that lies open", _lock_root)
    _add_passphrase(lock, "to be set")
    move = command("root-to-token", "put a root's key that is in a file into a token", _root_to_token)
    move.add_argument("uri", metavar="URI", help="a pkcs11: address")
    check = command("check-root", "prove that a root's key is there and signs", _check_root)
    for each in (lock, move, check):
        each.add_argument("--root", type=Path, metavar="DIR", help="the root's folder, from where it is kept")
    for each in (move, check):
        _add_passphrase(each, "of the root's key")


def _add_passphrase(made: argparse.ArgumentParser, what: str) -> None:
    made.add_argument("--passphrase-file", type=Path, metavar="FILE", help=f"{what}: the first line")


def _passphrase(options: argparse.Namespace, prompt: str, *, twice: bool = False) -> str:
    if options.passphrase_file is not None:
        return secret_in(options.passphrase_file)
    return asked_passphrase(prompt, twice=twice)


def _roll_issuing(options: argparse.Namespace) -> Facts:
    if options.step == Step.PREPARE:
        return _told(Step.PREPARE, rollover.prepare(options.directory, lambda: _root(options)))
    return _further(options)


def _roll_root(options: argparse.Namespace) -> Facts:
    if options.step != Step.PREPARE:
        return _further(options)
    if options.new_root_key is not None:
        making = key_in_token(options.new_root_key, options.existing_key, NEW_PIN_VARIABLE)
        made = rollover.prepare_root(options.directory, lambda: _root(options), None, make_root_key=making)
    else:
        made = rollover.prepare_root(options.directory, lambda: _root(options), _new_passphrase(options))
    folder = options.directory / made.described.next_root
    return {
        **_told(Step.PREPARE, made),
        "new_root": str(folder / "root.pem"),
        "keep_apart": f"move {folder} to a medium that is kept offline",
    }


def _new_passphrase(options: argparse.Namespace) -> str:
    if options.existing_key:
        raise BadSetting("--existing-key is for a key in a token", "Name it: --new-root-key 'pkcs11:...'")
    if options.new_passphrase_file is not None:
        return secret_in(options.new_passphrase_file)
    return asked_passphrase("Passphrase for the new root's key", twice=True, option="--new-passphrase-file")


def _further(options: argparse.Namespace) -> Facts:
    match Step(options.step):
        case Step.SWITCH:
            return _told(Step.SWITCH, rollover.switch(options.directory, early=options.early))
        case Step.RETIRE:
            return _retire(options)
        case _:
            told = described(AuthorityFiles(options.directory))
            key = root_keys.described(options.directory / told.next_root) if told.next_root else ""
            facts = {
                **_told(Step.ABANDON, rollover.abandon(options.directory)),
                "still_believed": GIVEN_UP_BELIEVED,
            }
            stays = key.startswith(root_keys.Kept.TOKEN)
            return {**facts, "left_over": f"the key {key}; delete it there"} if stays else facts


def _retire(options: argparse.Namespace) -> Facts:
    former = AuthorityFiles(options.directory, described(AuthorityFiles(options.directory)).former)
    after = rollover.retire(options.directory, early=options.early)
    gone = x509.load_pem_x509_certificate(former.issuing_certificate.read_bytes())
    facts = _told(Step.RETIRE, after)
    its_root_stays = any(directly_issued(gone, each) for each in after.trusted())
    return {**facts, "still_believed": STILL_BELIEVED} if its_root_stays else facts


def _root(options: argparse.Namespace) -> root_keys.Root:
    folder = _root_folder(options)
    return root_keys.root_in(folder, _root_passphrase(options, folder), pin_by(PIN_VARIABLE))


def _root_folder(options: argparse.Namespace) -> Path:
    folder: Path = options.root or options.directory / described(AuthorityFiles(options.directory)).root
    return folder


def _root_passphrase(options: argparse.Namespace, folder: Path) -> str | None:
    """Asked for only where the key is locked."""
    if options.passphrase_file is not None:
        return secret_in(options.passphrase_file)
    if root_keys.kept(folder) is root_keys.Kept.LOCKED:
        return asked_passphrase("Passphrase of the root's key")
    return None


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
    folder = _root_folder(options)
    if root_keys.kept(folder) is root_keys.Kept.TOKEN:
        raise BadSetting("the root's key is in a token, which its PIN locks")
    passphrase = _passphrase(options, "Passphrase for the root's key", twice=True)
    return {"locked": str(root_keys.lock(folder, passphrase))}


def _root_to_token(options: argparse.Namespace) -> Facts:
    uri, folder = pkcs11_uri.parse(options.uri), _root_folder(options)
    passphrase = _root_passphrase(options, folder)
    moved = root_keys.move_to_token(folder, passphrase, uri, pin_by(PIN_VARIABLE)(uri))
    return {
        "moved_to": str(moved),
        "next": "destroy what is left of the file: backups and media hold the key as it was. One that never "
        "was in a file comes by a rollover: roll-root prepare --new-root-key",
    }


def _check_root(options: argparse.Namespace) -> Facts:
    certificate, _ = _root(options)
    authority = Authority.load_issuing(options.directory)
    if certificate not in authority.trusted():
        raise BadSetting("this root is none of those that the authority trusts", "Bring its own: --root DIR")
    return {
        "root": certificate.subject.rfc4514_string(),
        "valid_until": certificate.not_valid_after_utc.isoformat(),
        "key": root_keys.described(_root_folder(options)),
        "signs": "yes",
    }
