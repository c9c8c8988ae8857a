"""A root's key in a token: SoftHSM 2 for real, through every rollover; and each way a token can fail us."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from provisioning import backup, cli, pkcs11_uri, rollover, root_keys, token_keys, tokens
from provisioning.authority import Authority
from provisioning.authority_files import directly_issued
from provisioning.errors import (
    AuthorityMismatch,
    BadSetting,
    PinRefused,
    ProvisioningError,
    TokenMissing,
    TokenRefused,
)
from tests.support.mosquitto import make_request
from tests.support.softhsm import SoftToken
from wire_contract.topics import Address

Tokens = dict[str, SoftToken]
POST = Address("city", "post-1")
SECRET = "four words of passphrase"
NEW_ISSUING_2 = "CN=Porto issuing authority 2"


@dataclass
class City:
    """`lamppost ca` on one authority's directory."""

    directory: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: object) -> Any:
        """What it answers. It must go well."""
        status = cli.main([*map(str, words), "--directory", str(self.directory), "--json"])
        told = json.loads(self.capsys.readouterr().out)
        assert status == 0, told
        return told

    def refused(self, *words: object) -> str:
        status = cli.main([*map(str, words), "--directory", str(self.directory), "--json"])
        printed = self.capsys.readouterr()
        assert (status, printed.err) == (1, "")
        told = json.loads(printed.out)["error"]
        assert isinstance(told, str)
        return told


@pytest.fixture
def city(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> City:
    monkeypatch.setattr(backup, "COST", 1 << 10)
    for name in ("LAMPPOST_TOKEN_PIN", "LAMPPOST_NEW_TOKEN_PIN"):
        monkeypatch.delenv(name, raising=False)
    return City(tmp_path / "authority", capsys)


@pytest.fixture
def first(soft_tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    """The token whose PIN is in the environment."""
    monkeypatch.setenv("LAMPPOST_TOKEN_PIN", soft_tokens["first"].pin)
    return soft_tokens["first"]


def parsed(token: SoftToken, key: str) -> pkcs11_uri.TokenUri:
    return pkcs11_uri.parse(token.uri(key))


def closed_file(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text)
    return path


def verified(chain_pem: str, *roots: x509.Certificate) -> None:
    """By an independent verifier that knows these roots alone. Raises VerificationError."""
    leaf, *between = x509.load_pem_x509_certificates(chain_pem.encode())
    now = datetime.now(UTC) + timedelta(minutes=1)
    PolicyBuilder().store(Store(list(roots))).time(now).build_client_verifier().verify(leaf, between)


def roots_of(authority: Authority) -> list[x509.Certificate]:
    return [each for each in authority.trusted() if each.subject == each.issuer]


def test_the_whole_life_of_an_authority_whose_roots_are_in_tokens(
    city: City, soft_tokens: Tokens, first: SoftToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = city.run("init", "--city", "Porto", "--root-key", first.uri("life"))
    assert "in a token: pkcs11:token=first;object=life;id=%" in told["root_key"]
    key = (city.directory / "root" / "root.key").read_text()
    assert "PRIVATE" not in key
    assert first.pin not in key
    assert city.run("check-root")["signs"] == "yes"
    before = Authority.load_issuing(city.directory)
    oldest = before.issue_device(make_request(str(POST))[0], POST)
    verified(oldest, before.root)

    city.run("roll-issuing", "prepare")
    assert city.run("roll-issuing", "switch", "--early")["signs"] == NEW_ISSUING_2
    second = Authority.load_issuing(city.directory)
    older = second.issue_device(make_request(str(POST))[0], POST)
    verified(older, before.root)
    city.run("roll-issuing", "retire", "--early")

    other = soft_tokens["second one"]
    monkeypatch.setenv("LAMPPOST_NEW_TOKEN_PIN", other.pin)
    city.run("roll-root", "prepare", "--new-root-key", other.uri("life"))
    city.run("roll-root", "switch", "--early")
    switched = Authority.load_issuing(city.directory)
    chain = switched.issue_device(make_request(str(POST))[0], POST)
    verified(chain, before.root)
    verified(chain, switched.root)
    for earlier in (oldest, older):
        verified(earlier, *roots_of(switched))
    city.run("roll-root", "retire", "--early")
    retired = Authority.load_issuing(city.directory)
    verified(chain, *roots_of(retired))
    with pytest.raises(VerificationError):
        verified(older, *roots_of(retired))
    assert "PIN" in city.refused("roll-issuing", "prepare"), "the old token's PIN is not the new one's"
    monkeypatch.setenv("LAMPPOST_TOKEN_PIN", other.pin)
    assert city.run("roll-issuing", "prepare")["next_authority"] == "issuing-4"
    assert "in a token" in city.run("show")["root_key"]


@pytest.mark.parametrize("way", ["file to token", "token to file", "one token"])
def test_roots_sign_each_other_wherever_their_keys_are(tmp_path: Path, first: SoftToken, way: str) -> None:
    directory = tmp_path / "authority"

    def in_token(key: str) -> Callable[[], root_keys.RootKey]:
        return lambda: root_keys.in_token(parsed(first, f"{way} {key}"), first.pin)

    start, to = way != "file to token" or None, way != "token to file" or None
    before = Authority.init(directory, "Porto", None, make_root_key=start and in_token("old"))
    old = root_keys.root_in(directory / "root", None, lambda _: first.pin)
    made = rollover.prepare_root(directory, lambda: old, SECRET, make_root_key=to and in_token("new"))
    switched = rollover.switch(directory, early=True)
    chain = switched.issue_device(make_request(str(POST))[0], POST)
    verified(chain, before.root)
    verified(chain, switched.root)
    assert directly_issued(x509.load_pem_x509_certificates(chain.encode())[1], before.root)
    assert root_keys.kept(directory / made.described.next_root) is (
        root_keys.Kept.TOKEN if to else root_keys.Kept.LOCKED
    )


def test_the_key_never_leaves_and_nothing_else_takes_its_name(first: SoftToken) -> None:
    key = token_keys.generated(parsed(first, "stays"), first.pin)
    assert first.pin not in repr(key)
    for leave in (key.private_numbers, key.private_bytes, key.exchange):
        with pytest.raises(TokenRefused, match="stays in"):
            leave()
    with pytest.raises(TypeError):
        key.sign(b"", ec.ECDSA(hashes.SHA384()))
    with pytest.raises(TokenRefused, match="already"):
        token_keys.generated(parsed(first, "stays"), first.pin)
    found = token_keys.existing(parsed(first, "stays"), first.pin)
    assert (found.uri, found.public_key()) == (key.uri, key.public_key())
    assert (found.curve.name, found.key_size) == ("secp256r1", 256)
    assert token_keys.public_key(parsed(first, "stays")) == key.public_key()
    import pkcs11

    with tokens.opened(key.uri, first.pin) as session:
        [private] = tokens.objects(session, key.uri, pkcs11.ObjectClass.PRIVATE_KEY)
        for attribute, value in (("SENSITIVE", True), ("EXTRACTABLE", False), ("NEVER_EXTRACTABLE", True)):
            assert private[pkcs11.Attribute[attribute]] is value
        with pytest.raises(pkcs11.PKCS11Error):
            private[pkcs11.Attribute.VALUE]


def test_a_key_in_a_file_moves_into_a_token_and_back_it_does_not_come(
    city: City, first: SoftToken, tmp_path: Path
) -> None:
    secret = closed_file(tmp_path / "secret", SECRET)
    city.run("init", "--city", "Porto", "--passphrase-file", secret)
    away = tmp_path / "stick"
    (city.directory / "root").rename(away)
    moved = city.run("root-to-token", first.uri("moved"), "--root", away, "--passphrase-file", secret)
    assert "object=moved" in moved["moved_to"]
    assert "PRIVATE" not in (away / "root.key").read_text()
    assert city.run("check-root", "--root", away)["signs"] == "yes"
    assert city.run("roll-issuing", "prepare", "--root", away)["phase"] == "prepared"
    assert "no passphrase" in city.refused("check-root", "--root", away, "--passphrase-file", secret)
    assert "already" in city.refused("root-to-token", first.uri("again"), "--root", away)
    away.rename(city.directory / "root")
    assert "PIN locks" in city.refused("lock-root", "--passphrase-file", secret)


def test_a_backup_says_that_the_key_is_not_within_and_its_return_looks_for_it(
    city: City, first: SoftToken, tmp_path: Path
) -> None:
    secret, out = closed_file(tmp_path / "secret", SECRET), tmp_path / "backup"
    by = ("--passphrase-file", secret)
    city.run("init", "--city", "Porto", "--root-key", first.uri("backed up"))
    told = city.run("backup", "--out", out, *by)
    assert told["root_key"] == "not within (in a token)"
    assert "keep the token" in told["not_within"]
    city.directory = tmp_path / "back"
    assert city.run("restore", "--from", out, *by)["tokens"] == "root: here, and its key is the root's"
    assert city.run("check-root")["signs"] == "yes"
    reference = city.directory / "root" / "root.key"
    token_keys.generated(parsed(first, "another"), first.pin)
    for uri, said in (
        (replace(parsed(first, "x"), token="lost"), "not seen: the token 'lost' is not here"),
        (parsed(first, "gone"), "PIN only"),
    ):
        reference.write_text(str(uri))
        assert said in root_keys.seen_in_token(reference.parent)
    reference.write_text(first.uri("another"))
    with pytest.raises(AuthorityMismatch, match="not the key"):
        root_keys.seen_in_token(reference.parent)
    assert "not the root's" in city.refused("check-root")
    city.run("backup", "--out", out, *by)
    city.directory = tmp_path / "wrong"
    assert "not the key" in city.refused("restore", "--from", out, *by)
    assert not list(tmp_path.glob("wrong*")), "nothing that was unpacked is left"


def test_an_address_that_is_garbled_keeps_no_authority_from_its_backup(city: City, tmp_path: Path) -> None:
    secret, out = closed_file(tmp_path / "secret", SECRET), tmp_path / "backup"
    by = ("--passphrase-file", secret)
    city.run("init", "--city", "Porto", "--without-passphrase")
    (city.directory / "root" / "root.key").write_text(f"{pkcs11_uri.EXAMPLE}&pin-value=4711")
    assert "no address" in city.run("backup", "--out", out, *by)["not_within"]
    city.directory = tmp_path / "back"
    told = city.run("restore", "--from", out, *by)["tokens"]
    assert "root: not seen" in told
    assert "4711" not in told


def test_what_was_prepared_in_a_token_and_given_up_is_told(
    city: City, soft_tokens: Tokens, first: SoftToken, tmp_path: Path
) -> None:
    pin = closed_file(tmp_path / "pin", soft_tokens["second one"].pin + "\n")
    address = soft_tokens["second one"].uri("given up", f"&pin-source=file:{pin}")
    city.run("init", "--city", "Porto", "--root-key", first.uri("keeps"))
    city.run("roll-root", "prepare", "--new-root-key", address)
    assert "object=given%20up" in city.run("roll-root", "abandon")["left_over"]
    assert "already" in city.refused("roll-root", "prepare", "--new-root-key", address)
    again = city.run("roll-root", "prepare", "--new-root-key", address, "--existing-key")
    assert again["phase"] == "prepared"
    assert f"pin-source=file:{pin}" in (city.directory / "root-3" / "root.key").read_text()


def other_key(token: SoftToken, label: str, curve: str = "secp256r1", **private: bool) -> None:
    """A key that somebody else has made in the token; its public half has another label, as on a PIV card."""
    import pkcs11
    from pkcs11.util.ec import encode_named_curve_parameters

    with tokens.opened(parsed(token, label), token.pin, write=True) as session:
        session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}, local=True
        ).generate_keypair(
            label=label, id=os.urandom(4), store=True,
            public_template={pkcs11.Attribute.LABEL: f"public half of {label}"},
            private_template={pkcs11.Attribute[name]: value for name, value in private.items()},
        )  # fmt: skip


def test_a_key_that_asks_for_the_pin_each_time_gets_it(first: SoftToken) -> None:
    other_key(first, "careful", ALWAYS_AUTHENTICATE=True)
    assert token_keys.existing(parsed(first, "careful"), first.pin).uri.id


def test_a_key_that_is_no_root_s_is_refused(first: SoftToken) -> None:
    other_key(first, "384", "secp384r1")
    other_key(first, "open", EXTRACTABLE=True)
    other_key(first, "readable", SENSITIVE=False)
    other_key(first, "mute", SIGN=False, DERIVE=True)
    other_key(first, "pair")
    other_key(first, "pair")
    for label, told in (
        ("384", "not on P-256"), ("open", "taken out"), ("readable", "taken out"), ("mute", "may not sign"),
        ("pair", "id=%.*id=%"), ("none", "no private key 'none'"),
    ):  # fmt: skip
        with pytest.raises(TokenRefused, match=told):
            token_keys.existing(parsed(first, label), first.pin)
    import pkcs11

    other_key(first, "half")
    with tokens.opened(parsed(first, "half"), first.pin, write=True) as session:
        half = parsed(first, "public half of half")
        tokens.objects(session, half, pkcs11.ObjectClass.PUBLIC_KEY)[0].destroy()
    with pytest.raises(TokenMissing, match="private key only"):
        token_keys.existing(parsed(first, "half"), first.pin)


Change = Callable[[str], str]
WRONG: list[tuple[str, Change, str]] = [
    ("token gone", lambda uri: uri.replace("token=first", "token=lost"), "'lost' is not here.*'first'"),
    ("two tokens", lambda uri: uri.replace("token=first", "token=twin"), "2 tokens.*serial="),
    ("not its serial", lambda uri: uri.replace("token=first", "token=first;serial=0"), "not here"),
    ("no library", lambda uri: uri.split("?")[0] + "?module-path=/nowhere.so", "softhsm2 has"),
    ("a folder", lambda uri: uri.split("?")[0] + "?module-path=/usr/lib", "no file"),
    ("no code", lambda uri: uri.split("?")[0] + "?module-path={tmp}/text.so", "no PKCS #11 library"),
    ("anybody's", lambda uri: uri.split("?")[0] + "?module-path={tmp}/open.so", "chmod go-w"),
    ("PIN in the URI", lambda uri: uri + "&pin-value=1234", "list of processes"),
    ("PIN's file gone", lambda uri: uri + "&pin-source=file:{tmp}/none", "No such file"),
    ("PIN's file open", lambda uri: uri + "&pin-source=file:{tmp}/shared", "chmod 600"),
    ("PIN's file empty", lambda uri: uri + "&pin-source=file:{tmp}/empty", "empty"),
    ("wrong PIN", lambda uri: uri + "&pin-source=file:{tmp}/wrong", "refuses the PIN"),
    ("short PIN", lambda uri: uri + "&pin-source=file:{tmp}/short", "PIN"),
]


@pytest.mark.parametrize(("what", "change", "told"), WRONG, ids=[each[0] for each in WRONG])
def test_each_way_a_token_fails_has_its_own_line(
    city: City, first: SoftToken, tmp_path: Path, what: str, change: Change, told: str
) -> None:
    for name, text in (("wrong", "98765432"), ("short", "1"), ("empty", ""), ("shared", "1234")):
        closed_file(tmp_path / name, text).chmod(0o644 if name == "shared" else 0o600)
    closed_file(tmp_path / "text.so", "no library")
    closed_file(tmp_path / "open.so", "no library").chmod(0o666)
    uri = change(first.uri("wrong")).replace("{tmp}", str(tmp_path))
    said = city.refused("init", "--city", "Porto", "--root-key", uri)
    assert re.search(told, said), said
    assert "1234" not in said
    assert not city.directory.exists()


def test_without_a_pin_and_a_terminal_it_says_which_variable(
    city: City, soft_tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = soft_tokens["first"].uri("asked")
    assert "LAMPPOST_TOKEN_PIN" in city.refused("init", "--city", "Porto", "--root-key", address)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked: list[str] = []

    def typed(prompt: str) -> str:
        asked.append(prompt)
        return soft_tokens["first"].pin

    def left(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", left)
    assert "the PIN is empty" in city.refused("init", "--city", "Porto", "--root-key", address)
    monkeypatch.setattr("getpass.getpass", typed)
    city.run("init", "--city", "Porto", "--root-key", address)
    assert asked == ["PIN of the token first: "]


def test_without_the_extra_it_says_which(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    monkeypatch.setenv("LAMPPOST_TOKEN_PIN", "x")
    told = city.refused("init", "--city", "Porto", "--root-key", pkcs11_uri.EXAMPLE)
    assert "pip install '.[server,pkcs11]'" in told


def test_options_that_do_not_go_together_are_refused(city: City, tmp_path: Path) -> None:
    secret = closed_file(tmp_path / "secret", SECRET)
    assert "--root-key" in city.refused("init", "--city", "P", "--without-passphrase", "--existing-key")
    city.run("init", "--city", "Porto", "--without-passphrase")
    new = ("--new-passphrase-file", secret, "--existing-key")
    assert "--new-root-key" in city.refused("roll-root", "prepare", *new)
    stranger = tmp_path / "stranger"
    Authority.init(stranger, "Porto")
    assert "none of those" in city.refused("check-root", "--root", stranger / "root")
    reference = city.directory / "root" / "root.key"
    reference.write_text("# note\npkcs11:token=t;object=o\n")
    assert "root.key: the PKCS #11 URI does not name the token's library" in city.refused("check-root")
    reference.write_text(pkcs11_uri.EXAMPLE)
    with pytest.raises(BadSetting, match="nobody gives its PIN"):
        root_keys.root_in(reference.parent, None)


def test_a_pin_that_somebody_wrote_into_root_key_is_told_to_nobody(city: City) -> None:
    city.run("init", "--city", "Porto", "--without-passphrase")
    reference = city.directory / "root" / "root.key"
    reference.write_text(f"{pkcs11_uri.EXAMPLE}&pin-value=4711")
    assert "no address" in city.run("show")["root_key"]
    assert cli.main(["show", "--directory", str(city.directory)]) == 0
    assert "4711" not in city.capsys.readouterr().out
    assert "4711" not in city.refused("check-root")


def test_a_pin_that_is_no_text_is_refused_in_a_line(
    city: City, first: SoftToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMPPOST_TOKEN_PIN", os.fsdecode(b"47\xff11"))
    said = city.refused("init", "--city", "Porto", "--root-key", first.uri("never"))
    assert "LAMPPOST_TOKEN_PIN is no text" in said
    assert "47" not in said


def test_a_move_into_a_token_that_was_cut_short_is_made_again(
    city: City, first: SoftToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is in the token, its address not in the file yet. Another key there is never taken for it."""
    city.run("init", "--city", "Porto", "--without-passphrase")

    def torn(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as power:
        power.setattr(root_keys, "write_atomically", torn)
        with pytest.raises(KeyboardInterrupt):
            city.run("root-to-token", first.uri("cut short"))
    assert root_keys.kept(city.directory / "root") is root_keys.Kept.OPEN
    other = City(tmp_path / "other", city.capsys)
    other.run("init", "--city", "Porto", "--without-passphrase")
    assert "already" in other.refused("root-to-token", first.uri("cut short"))
    city.run("root-to-token", first.uri("cut short"))
    assert city.run("check-root")["signs"] == "yes"


def test_an_init_that_was_cut_short_is_made_again_with_the_key_in_the_token(
    city: City, first: SoftToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its first, second, third, last file: it says what to do, and doing that makes the authority."""
    from provisioning import authority, storage

    for files in (0, 1, 2, 6):
        left = iter(range(files))

        def torn(*given: Any, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            storage.write_atomically(*given)

        init = ("init", "--city", "Porto", "--root-key", first.uri(f"cut {files}"))
        with monkeypatch.context() as power:
            power.setattr(authority, "write_atomically", torn)
            with pytest.raises(KeyboardInterrupt):
                city.run(*init)
        said = city.refused(*init)
        if "cut short" in said:
            assert "--existing-key" in said
            shutil.rmtree(city.directory)
            said = city.refused(*init)
        assert "--existing-key" in said
        city.run(*init, "--existing-key")
        assert city.run("check-root")["signs"] == "yes"
        shutil.rmtree(city.directory)


def test_a_library_is_the_same_under_each_of_its_names_and_in_nobody_else_s_folder(
    first: SoftToken, tmp_path: Path
) -> None:
    key = token_keys.generated(parsed(first, "two names"), first.pin)
    link = tmp_path / "link.so"
    link.symlink_to(first.module)
    assert token_keys.existing(replace(key.uri, module_path=str(link)), first.pin).public == key.public
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "own").mkdir()
    copied = str(shutil.copy(first.module, shared / "own" / "copy.so"))
    shared.chmod(0o777)
    with pytest.raises(TokenRefused, match=r"others can change .*shared,"):
        token_keys.existing(replace(key.uri, module_path=copied), first.pin)


def test_a_key_of_which_the_token_does_not_say_that_it_stays_is_refused(
    first: SoftToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = token_keys.generated(parsed(first, "says nothing"), first.pin)
    for silent in ("EXTRACTABLE", "SENSITIVE"):

        def told(of: Any, name: str, otherwise: Any, silent: str = silent) -> Any:
            return otherwise if name == silent else tokens.attribute(of, name, otherwise)

        monkeypatch.setattr(token_keys, "attribute", told)
        with pytest.raises(TokenRefused, match="taken out"):
            token_keys.existing(key.uri, first.pin)


class Stub:
    """A token that SoftHSM cannot play: it answers with one error."""

    def __init__(self, error: Exception, flags: int = 0) -> None:
        self.label, self.serial, self.manufacturer_id, self.model = "lamppost-root", b"", "", ""
        self.error, self.flags, self.slot = error, flags, self

    def get_token(self) -> Stub:
        return self

    def open(self, **_: object) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "flags", "kind", "told"),
    [
        ("PinLocked", 0, PinRefused, "locked itself.*security officer"),
        ("PinIncorrect", 0x20000, PinRefused, "refuses.*One more"),
        ("PinExpired", 0, PinRefused, "run out"),
        ("UserPinNotInitialized", 0, PinRefused, "no PIN yet"),
        ("TokenWriteProtected", 0, TokenRefused, "read-only.*--existing-key"),
        ("SessionReadOnly", 0, TokenRefused, "read-only.*--existing-key"),
        ("UserNotLoggedIn", 0, TokenRefused, "security officer"),
        ("DeviceRemoved", 0, TokenMissing, "taken out"),
        ("TokenNotPresent", 0, TokenMissing, "gone"),
        ("MechanismInvalid", 0, TokenRefused, "P-256"),
        ("DeviceMemory", 0, TokenRefused, "full"),
        ("FunctionRejected", 0, TokenRefused, "says FunctionRejected"),
    ],
)
def test_what_a_token_answers_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, error: str, flags: int, kind: type[ProvisioningError], told: str
) -> None:
    pkcs11 = pytest.importorskip("pkcs11")
    assert set(tokens.SAID) <= {name for name in dir(pkcs11) if not name.startswith("_")}
    monkeypatch.setattr(tokens, "_tokens", lambda _: [Stub(getattr(pkcs11, error)(), flags)])
    with pytest.raises(kind, match=told) as refused:
        token_keys.generated(pkcs11_uri.parse(pkcs11_uri.EXAMPLE), "1234")
    assert type(refused.value) is kind
    assert "1234" not in str(refused.value)
