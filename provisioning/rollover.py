"""Taking an authority's steps (`rollover_rules.py`) on its files. Each can be taken again after a power cut.

What a step makes is written first, `authority.json` last: that one file says which authority signs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning import certificates, revocation, root_keys
from provisioning.authority import Authority, Clock, utc_now
from provisioning.authority_files import (
    FIRST_GENERATION,
    FIRST_ROOT,
    FOLDER,
    MOST_NUMBERED,
    AuthorityFiles,
    Described,
    Generation,
    directly_issued,
    number_of,
)
from provisioning.errors import BadSetting, RolloverRefused
from provisioning.rollover_rules import Phase, Step, left, step
from provisioning.root_keys import MakeRootKey, Root
from provisioning.storage import PUBLIC_FILE_MODE, private_directory, write_atomically
from wire_contract.authorities import issuing_name

OldRoot = Callable[[], Root]
Lists = Sequence[x509.CertificateRevocationList]


def prepare(directory: Path, old_root: OldRoot, clock: Clock = utc_now) -> Authority:
    """Make the next issuing authority, below the same root, and trust it.

    Raises RolloverRefused, BadSetting.
    """
    authority = Authority.load_issuing(directory, clock)
    following = _following(authority, Step.PREPARE)
    root, root_key = _checked(authority, old_root())
    following = _numbered(authority, following)
    name = _name(FIRST_GENERATION, following.numbered)
    _make_issuing(authority, name, root, root_key, None)
    return _describe(authority, replace(following, next=name), clock)


def prepare_root(
    directory: Path,
    old_root: OldRoot,
    new_passphrase: str | None,
    clock: Clock = utc_now,
    *,
    make_root_key: MakeRootKey | None = None,
) -> Authority:
    """Make the next root and an issuing authority below it, which the old root signs too, and trust both.

    The new root's key is in its folder, or where `make_root_key` makes it. Raises RolloverRefused,
    BadSetting, and what `old_root` and `make_root_key` raise.
    """
    authority = Authority.load_issuing(directory, clock)
    following = _following(authority, Step.PREPARE)
    cross_by = _checked(authority, old_root())
    made = make_root_key() if make_root_key else root_keys.in_file(new_passphrase)
    following = _numbered(authority, following, with_root=True)
    name = _name(FIRST_ROOT, following.numbered_root)
    files = AuthorityFiles(directory, root_generation=name)
    root = certificates.authority_certificate(
        f"{authority.city} root authority {following.numbered_root}", made.key.public_key(), None, made.key,
        certificates.validity(clock(), certificates.ROOT_LIFE),
    )  # fmt: skip
    private_directory(files.root_key.parent)
    write_atomically(files.root_key, made.content)
    write_atomically(files.root_certificate, certificates.pem(root).encode(), PUBLIC_FILE_MODE)
    issuing = _name(FIRST_GENERATION, following.numbered)
    _make_issuing(authority, issuing, root, made.key, cross_by)
    return _describe(authority, replace(following, next=issuing, next_root=name), clock)


def switch(directory: Path, *, early: bool = False, clock: Clock = utc_now) -> Authority:
    """The next authority signs from now on. Raises RolloverRefused."""
    authority = Authority.load_issuing(directory, clock)
    following = _following(authority, Step.SWITCH, None if early else clock())
    told = replace(
        following,
        issuing=following.next,
        root=following.next_root or following.root,
        former=following.issuing,
        next="",
        next_root="",
    )
    return _describe(authority, told, clock)


def retire(directory: Path, *, early: bool = False, clock: Clock = utc_now) -> Authority:
    """Trust the former authority no longer, and destroy its issuing key. Raises RolloverRefused."""
    authority = Authority.load_issuing(directory, clock)
    following = _following(authority, Step.RETIRE, None if early else clock())
    return _let_go(authority, following, following.former, clock)


def abandon(directory: Path, clock: Clock = utc_now) -> Authority:
    """Give up what was prepared and has signed nothing; its number is used up. Raises RolloverRefused."""
    authority = Authority.load_issuing(directory, clock)
    following = _following(authority, Step.ABANDON)
    name = following.next_root
    told = _let_go(authority, following, following.next, clock)
    for folder in (following.next, name):
        if folder:
            shutil.rmtree(directory / folder, ignore_errors=True)
    return told


def _following(authority: Authority, taken: Step, now: datetime | None = None) -> Described:
    """The description with the phase after this step; `now` None: without waiting. Raises RolloverRefused."""
    told = authority.described
    _finish(authority)
    outcome = step(told.phase, taken)
    if not isinstance(outcome, Phase):
        raise RolloverRefused(outcome)
    if now is not None and told.since is not None:
        wait = left(taken, now - told.since)
        if wait > timedelta(0):
            raise RolloverRefused(
                f"{taken} is due in {_span(wait)}", "Wait, or give --early where everybody has what is new"
            )
    return replace(told, phase=outcome)


def _finish(authority: Authority) -> None:
    """What a power cut left of the step before, which stands or was never taken: keys of authorities that do
    not sign, the trust in them, and their lists."""
    told, living = authority.described, authority.signing()
    for folder in authority.files.directory.glob(f"{FIRST_GENERATION}*"):
        if FOLDER.fullmatch(folder.name) and folder.name not in (told.issuing, told.former, told.next):
            AuthorityFiles(authority.files.directory, folder.name).issuing_key.unlink(missing_ok=True)
    if told.phase is Phase.STEADY:
        authority.files.cross.unlink(missing_ok=True)
    trusted = _above(authority.trusted(), living)
    if trusted != authority.trusted():
        _write_trust(authority, trusted)
    named = {each.certificate.subject for each in living}
    if any(each.issuer not in named for each in authority.revocation_lists()):
        _change_lists(authority, lambda lists: [each for each in lists if each.issuer in named])


def _numbered(authority: Authority, following: Described, *, with_root: bool = False) -> Described:
    """With the next number, which is used up before anything is made by it: who got hold of a key that was
    given up, or that a power cut left, has a number that nobody else is ever given."""
    here, told = authority.files.directory, authority.described
    used = replace(
        told,
        numbered=_highest(here, FIRST_GENERATION, told.numbered) + 1,
        numbered_root=_highest(here, FIRST_ROOT, told.numbered_root) + with_root,
    )
    if max(used.numbered, used.numbered_root) > MOST_NUMBERED:
        raise RolloverRefused(f"there have been {MOST_NUMBERED} authorities here: no number is left")
    write_atomically(authority.files.description, used.as_json(), PUBLIC_FILE_MODE)
    return replace(following, numbered=used.numbered, numbered_root=used.numbered_root)


def _highest(directory: Path, first: str, counted: int) -> int:
    """Folders are looked at too: an older program has not counted."""
    there = (each.name for each in directory.glob(f"{first}*"))
    return max(counted, *(number_of(each) for each in there if FOLDER.fullmatch(each)), 1)


def _checked(authority: Authority, root: Root) -> Root:
    if root[0] != authority.root:
        raise BadSetting("this root is not the one that this authority hangs on")
    return root


def _make_issuing(
    authority: Authority,
    name: str,
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    cross_by: Root | None,
) -> None:
    """Its folder, its list on the broker's file with all that the others name, and the trust in it."""
    now, key = authority.clock(), certificates.new_key()
    files = AuthorityFiles(authority.files.directory, name)

    def signed_by(issuer: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        return certificates.authority_certificate(
            issuing_name(authority.city, number_of(name)), key.public_key(), issuer, issuer_key,
            certificates.validity(now, certificates.ISSUING_LIFE, issuer),
        )  # fmt: skip

    issuing = signed_by(root, root_key)
    private_directory(files.issuing_key.parent)
    write_atomically(files.issuing_key, certificates.key_pem(key).encode())
    write_atomically(files.issuing_certificate, certificates.pem(issuing).encode(), PUBLIC_FILE_MODE)
    if cross_by is not None:
        write_atomically(files.cross, certificates.pem(signed_by(*cross_by)).encode(), PUBLIC_FILE_MODE)
    named = {root.subject, issuing.subject}  # of an attempt that was cut short, too
    trusted = [each for each in authority.trusted() if each == root or each.subject not in named]
    _write_trust(authority, [*trusted, *([] if root in trusted else [root]), issuing])

    def following(lists: Lists) -> Lists:
        others = [each for each in lists if each.issuer != issuing.subject]
        return [*others, revocation.first_list(issuing, key, now, revocation.entries_of(others))]

    _change_lists(authority, following)


def _let_go(authority: Authority, following: Described, name: str, clock: Clock) -> Authority:
    """Without the issuing authority `name`, and without roots that nobody hangs on any more."""
    files = AuthorityFiles(authority.files.directory, name)
    gone = x509.load_pem_x509_certificate(files.issuing_certificate.read_bytes())
    staying = [each for each in authority.signing() if each.name != name]
    # Before the step stands: what is on hold or revoked stays so. A list that was begun empty lacks some.
    _change_lists(authority, lambda lists: _handed_on(lists, staying, clock()))
    _write_trust(authority, _above(authority.trusted(), staying))
    told = _describe(authority, replace(following, former="", next="", next_root=""), clock)
    files.issuing_key.unlink(missing_ok=True)
    told.files.cross.unlink(missing_ok=True)
    _change_lists(told, lambda lists: [each for each in lists if each.issuer != gone.subject])
    return Authority.load_issuing(authority.files.directory, clock)


def _handed_on(lists: Lists, staying: Sequence[Generation], now: datetime) -> Lists:
    """Those who stay have on their lists what any list names."""
    entries = revocation.entries_of(lists)
    signers = {each.certificate.subject: each for each in staying}
    return [
        revocation.with_entries(each, entries, by.certificate, by.key, now)
        if (by := signers.get(each.issuer))
        else each
        for each in lists
    ]


def _above(trusted: Sequence[x509.Certificate], living: Sequence[Generation]) -> list[x509.Certificate]:
    """Of what is trusted: the living issuing authorities, and the roots that one of them hangs on."""
    issuing = [each.certificate for each in living]
    return [
        each
        for each in trusted
        if each in issuing
        or (each.subject == each.issuer and any(directly_issued(below, each) for below in issuing))
    ]


def _describe(authority: Authority, told: Described, clock: Clock) -> Authority:
    """The step is taken: from here on it stands. The lists are written anew: who watches them looks again."""
    described = replace(told, since=clock())
    write_atomically(authority.files.description, described.as_json(), PUBLIC_FILE_MODE)
    after = Authority.load_issuing(authority.files.directory, clock)
    _change_lists(after, lambda lists: lists)
    return after


def _write_trust(authority: Authority, trusted: Sequence[x509.Certificate]) -> None:
    write_atomically(authority.files.trust, certificates.pem(*trusted).encode(), PUBLIC_FILE_MODE)


def _change_lists(authority: Authority, following: Callable[[Lists], Lists]) -> None:
    """A server that revokes at this very moment waits: what it adds is not lost."""
    with authority.locked():
        lists = following(authority.revocation_lists())
        write_atomically(authority.files.crl, revocation.pem(lists), PUBLIC_FILE_MODE)


def _name(first: str, number: int) -> str:
    return f"{first}-{number}"


def _span(wait: timedelta) -> str:
    return f"{wait.days} days" if wait.days else f"{-(-int(wait.total_seconds()) // 60)} minutes"
