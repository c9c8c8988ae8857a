"""The authority: what its certificates say, and one clear error for each way its directory can be wrong."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from provisioning import certificates, revocation
from provisioning.authority import Authority
from provisioning.authority_files import Described
from provisioning.errors import (
    AuthorityCorrupt,
    AuthorityError,
    AuthorityExists,
    AuthorityExposed,
    AuthorityMismatch,
    AuthorityMissing,
    AuthorityOutOfTime,
    BadSetting,
    WrongName,
)
from tests.support.mosquitto import make_request
from wire_contract.topics import Address

ONE = Address("city", "lamp-01")
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.init(tmp_path / "authority", "Porto", clock=lambda: NOW)


def chain_of(pem: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem.encode())


def extension(of: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.Extension[x509.ExtensionType]:
    return of.extensions.get_extension_for_class(kind)


def test_a_device_s_certificate_says_who_it_is_and_nothing_more(authority: Authority) -> None:
    request, _ = make_request(str(ONE))
    leaf, issuing = chain_of(authority.issue_device(request, ONE))
    assert issuing == authority.issuing
    leaf.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(authority.root)
    assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "city/lamp-01"
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier("urn:lamppost:city:lamp-01")]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    key_usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert key_usage.digital_signature
    assert not key_usage.key_cert_sign
    issuer_id = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert issuer_id == issuing.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert leaf.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert leaf.not_valid_after_utc == NOW + timedelta(days=90)
    assert leaf.serial_number.bit_length() > 100


def test_it_is_backdated_by_five_minutes_at_most(authority: Authority) -> None:
    later = replace(authority, clock=lambda: NOW + timedelta(days=1))
    leaf = chain_of(later.issue_device(make_request(str(ONE))[0], ONE))[0]
    assert leaf.not_valid_before_utc == NOW + timedelta(days=1) - timedelta(minutes=5)


def test_the_chain_of_authority_is_as_long_as_it_has_to_be(authority: Authority) -> None:
    for each, path_length in ((authority.root, 1), (authority.issuing, 0)):
        constraints = each.extensions.get_extension_for_class(x509.BasicConstraints)
        assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (
            True,
            True,
            path_length,
        )
        usage = each.extensions.get_extension_for_class(x509.KeyUsage).value
        assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)


def test_an_independent_verifier_agrees(authority: Authority) -> None:
    leaf, issuing = chain_of(authority.issue_server("broker", ["mqtt.example", "10.0.0.5"]).chain_pem)
    builder = PolicyBuilder().store(Store([authority.root])).time(NOW + timedelta(days=1))
    for name in (x509.DNSName("mqtt.example"),):
        builder.build_server_verifier(name).verify(leaf, [issuing])
    client, issuing = chain_of(authority.issue_device(make_request(str(ONE))[0], ONE))
    verified = builder.build_client_verifier().verify(client, [issuing])
    assert verified.subjects == [x509.UniformResourceIdentifier("urn:lamppost:city:lamp-01")]


def test_an_authority_that_its_issuer_s_key_has_not_signed_is_not_given_out(authority: Authority) -> None:
    other = certificates.new_key()
    with pytest.raises(InvalidSignature):
        certificates.authority_certificate(
            "Porto issuing authority 2", other.public_key(), authority.root, other,
            certificates.validity(NOW, certificates.ISSUING_LIFE, authority.root),
        )  # fmt: skip


def test_no_certificate_outlives_its_issuer(authority: Authority) -> None:
    late = replace(authority, clock=lambda: authority.issuing.not_valid_after_utc - timedelta(days=1))
    leaf = chain_of(late.issue_device(make_request(str(ONE))[0], ONE))[0]
    assert leaf.not_valid_after_utc == authority.issuing.not_valid_after_utc


@pytest.mark.parametrize("clock", [datetime(1970, 1, 1, 12, tzinfo=UTC), datetime(2090, 1, 1, tzinfo=UTC)])
def test_a_clock_out_of_time_is_told(authority: Authority, clock: datetime) -> None:
    with pytest.raises(AuthorityOutOfTime, match="clock"):
        replace(authority, clock=lambda: clock).issue_device(make_request(str(ONE))[0], ONE)


def test_a_request_for_another_name_is_refused(authority: Authority) -> None:
    with pytest.raises(WrongName):
        authority.issue_device(make_request("city/lamp-02")[0], ONE)


@pytest.mark.parametrize("name", ["", "a/b", "A", "x" * 65, "-a", "a\nb"])
def test_a_role_is_never_mistaken_for_a_device(authority: Authority, name: str) -> None:
    with pytest.raises(BadSetting):
        authority.issue_client(name)


@pytest.mark.parametrize("hosts", [[], ["exämple.org"]])
def test_a_server_without_a_good_host_is_refused(authority: Authority, hosts: list[str]) -> None:
    with pytest.raises(BadSetting):
        authority.issue_server("broker", hosts)


@pytest.mark.parametrize("city", ["", "  ", "x" * 41, "a\nb"])
def test_a_city_without_a_name_gets_no_authority(tmp_path: Path, city: str) -> None:
    with pytest.raises(BadSetting):
        Authority.init(tmp_path / "authority", city)
    assert not (tmp_path / "authority").exists()


def test_keys_are_closed_to_others_and_identities_keep_their_secret(
    authority: Authority, tmp_path: Path
) -> None:
    made = authority.issue_client("lamppost-ingest")
    made.save(tmp_path / "c.pem", tmp_path / "c.key")
    files = authority.files
    for path in (files.root_key, files.issuing_key, tmp_path / "c.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (files.directory, files.root_key.parent, files.issuing_key.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "PRIVATE" not in repr(made)
    assert "PRIVATE" not in repr(authority)


def test_the_root_s_key_is_encrypted_by_the_passphrase(tmp_path: Path) -> None:
    made = Authority.init(tmp_path / "authority", "Porto", "a long walk")
    content = made.files.root_key.read_bytes()
    with pytest.raises(TypeError):
        serialization.load_pem_private_key(content, None)
    key = serialization.load_pem_private_key(content, b"a long walk")
    assert key.public_key() == made.root.public_key()


def test_the_root_may_be_away(authority: Authority) -> None:
    shutil.rmtree(authority.files.root_key.parent)
    loaded = Authority.load_issuing(authority.files.directory, lambda: NOW)
    loaded.issue_device(make_request(str(ONE))[0], ONE)
    assert loaded.trust_bundle() == authority.files.trust.read_text()


def test_an_authority_is_never_overwritten(authority: Authority) -> None:
    before = authority.files.issuing_key.read_bytes()
    with pytest.raises(AuthorityExists):
        Authority.init(authority.files.directory, "Porto")
    assert authority.files.issuing_key.read_bytes() == before


Damage = Callable[[Authority, Authority], object]
NO_HIGHEST: list[object] = [-1, 0, 1, 2.5, True, "3", [], 10_000]
DAMAGES: list[tuple[str, Damage, type[AuthorityError]]] = [
    ("no directory", lambda a, b: shutil.rmtree(a.files.directory), AuthorityMissing),
    ("no key", lambda a, b: a.files.issuing_key.unlink(), AuthorityMissing),
    ("no list", lambda a, b: a.files.crl.unlink(), AuthorityMissing),
    ("no description", lambda a, b: a.files.description.unlink(), AuthorityMissing),
    ("empty key", lambda a, b: a.files.issuing_key.write_bytes(b""), AuthorityCorrupt),
    ("half a certificate", lambda a, b: _halve(a.files.issuing_certificate), AuthorityCorrupt),
    ("half a list", lambda a, b: _halve(a.files.crl), AuthorityCorrupt),
    ("garbled description", lambda a, b: a.files.description.write_bytes(b"\xff["), AuthorityCorrupt),
    ("later format", lambda a, b: a.files.description.write_text('{"format": 2}'), AuthorityCorrupt),
    *(
        (f"numbered {wrong}", partial(lambda wrong, a, b: _numbered(a, wrong), wrong), AuthorityCorrupt)
        for wrong in NO_HIGHEST
    ),
    ("half the trust", lambda a, b: _copy(a.files.issuing_certificate, a.files.trust), AuthorityCorrupt),
    ("another's key", lambda a, b: _copy(b.files.issuing_key, a.files.issuing_key), AuthorityMismatch),
    ("another's trust", lambda a, b: _copy(b.files.trust, a.files.trust), AuthorityMismatch),
    ("another's list", lambda a, b: _copy(b.files.crl, a.files.crl), AuthorityMismatch),
    ("open key", lambda a, b: a.files.issuing_key.chmod(0o640), AuthorityExposed),
]  # fmt: skip


def _numbered(authority: Authority, numbered: object) -> None:
    """As if "issuing-2" signed, and this was the highest number that was ever given."""
    told = json.loads(Described("Porto", numbered=2).as_json())
    told |= {"issuing": "issuing-2", "numbered": numbered}
    authority.files.description.write_text(json.dumps(told))


def _halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


@pytest.mark.parametrize(("what", "damage", "error"), DAMAGES, ids=[each[0] for each in DAMAGES])
def test_each_damage_has_its_error_that_says_what_to_do(
    authority: Authority, tmp_path: Path, what: str, damage: Damage, error: type[AuthorityError]
) -> None:
    damage(authority, Authority.init(tmp_path / "other", "Porto"))
    with pytest.raises(error) as told:
        Authority.load_issuing(authority.files.directory)
    assert type(told.value) is error
    assert str(authority.files.directory) in str(told.value)
    assert told.value.remedy


def test_revocations_add_up(authority: Authority) -> None:
    assert authority.revoke(5)
    assert not authority.revoke(5)
    assert Authority.load_issuing(authority.files.directory).revoke(7)
    crl = authority.revocation_list()
    assert sorted(each.serial_number for each in crl) == [5, 7]
    assert crl.is_signature_valid(authority.issuing.public_key())  # type: ignore[arg-type]
    assert crl.next_update_utc == authority.issuing.not_valid_after_utc


def test_what_is_on_hold_is_refused_and_may_come_back_and_what_is_revoked_may_not(
    authority: Authority,
) -> None:
    def listed() -> dict[int, bool]:
        return {each.serial_number: revocation.on_hold(each) for each in authority.revocation_list()}

    assert authority.revoke(5, hold=True)
    assert authority.revoke(7)
    assert not authority.revoke(5, hold=True)
    assert not authority.revoke(7, hold=True)
    assert listed() == {5: True, 7: False}
    assert authority.release(5)
    assert not authority.release(5)
    assert not authority.release(7)
    assert listed() == {7: False}
    assert authority.revoke(5, hold=True)
    assert authority.revoke(5)
    assert not authority.release(5)
    assert listed() == {7: False, 5: False}


def test_the_constants_are_what_the_promise_says() -> None:
    assert timedelta(minutes=5) == certificates.BACKDATED
