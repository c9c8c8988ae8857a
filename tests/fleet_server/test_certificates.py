"""The server's own certificates: made once, renewed when due, and the operator's own left alone."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from fleet_server.certificates import ensure_authority, ensure_certificates
from fleet_server.config import ServerConfig, load_config
from fleet_server.errors import ConfigurationError
from fleet_server.renewal import Renewal
from fleet_server.setup_role import certify
from provisioning.authority import Authority

ALL = ["broker.pem", "ingest.pem", "server.pem"]


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    return load_config(data_dir=tmp_path / "data")


def made(paths: list[Path]) -> list[str]:
    return sorted(path.name for path in paths)


def leaf(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_everything_is_made_once(config: ServerConfig) -> None:
    authority, new = ensure_authority(config)
    assert new
    assert made(ensure_certificates(config, authority)) == ALL
    again, new = ensure_authority(config)
    assert not new
    assert ensure_certificates(config, again) == []
    folder = config.certificates_directory
    assert (folder / "ca.pem").read_text() == authority.trust_bundle()
    for name in ALL:
        assert (folder / name).with_suffix(".key").stat().st_mode & 0o077 == 0
    names = leaf(folder / "server.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_renewed_at_two_thirds_of_their_life_and_not_before(config: ServerConfig) -> None:
    authority, _ = ensure_authority(config)
    ensure_certificates(config, authority)
    now = datetime.now(UTC)
    assert ensure_certificates(config, authority, now + timedelta(days=240)) == []
    assert made(ensure_certificates(config, authority, now + timedelta(days=246))) == ALL


def test_made_anew_for_another_name_another_authority_or_a_damage(config: ServerConfig) -> None:
    authority, _ = ensure_authority(config)
    ensure_certificates(config, authority)
    named = replace(config, authority=replace(config.authority, server_names=("city.example", "127.0.0.1")))
    assert made(ensure_certificates(named, authority)) == ["broker.pem", "server.pem"]
    (config.certificates_directory / "ingest.pem").write_text("cut sh")
    assert made(ensure_certificates(named, authority)) == ["ingest.pem"]
    (config.certificates_directory / "ingest.key").unlink()
    assert made(ensure_certificates(named, authority)) == ["ingest.pem"]
    other = Authority.init(config.data_dir / "other", "other")
    assert made(ensure_certificates(named, other)) == ALL
    assert (config.certificates_directory / "ca.pem").read_text() == other.trust_bundle()


def test_made_anew_where_it_was_revoked(config: ServerConfig) -> None:
    """A role's key that was stolen with a disk: its successor's turn would come in eight months."""
    authority, _ = ensure_authority(config)
    ensure_certificates(config, authority)
    authority.revoke(leaf(config.certificates_directory / "ingest.pem").serial_number)
    assert made(ensure_certificates(config, authority)) == ["ingest.pem"]
    assert ensure_certificates(config, authority) == []


def test_the_operators_own_files_are_never_written(config: ServerConfig, tmp_path: Path) -> None:
    own = tmp_path / "own"
    named = replace(
        config,
        api=replace(config.api, device_certificate_file=own / "a.pem", device_key_file=own / "a.key"),
        broker=replace(config.broker, ca_file=own / "ca.pem", managed=False),
    )
    authority, _ = ensure_authority(named)
    assert made(ensure_certificates(named, authority)) == ["ingest.pem"]
    assert not own.exists()


def test_a_first_start_that_was_killed_does_not_lock_the_next_one_out(config: ServerConfig) -> None:
    half = config.authority.directory.with_name("authority.making")
    (half / "root").mkdir(parents=True)
    (half / "root" / "root.key").write_text("cut sh")
    _, new = ensure_authority(config)
    assert new


def test_a_damaged_authority_is_told_and_never_replaced(config: ServerConfig) -> None:
    certify(config)
    key = config.authority.directory / "issuing" / "issuing.key"
    before = key.read_bytes()
    key.write_bytes(before[:20])
    with pytest.raises(ConfigurationError, match=r"issuing\.key"):
        certify(config)
    assert key.read_bytes() == before[:20]


def test_who_has_to_read_a_changed_file_is_told_once(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet_server.renewal.LOOK_EVERY_S", 0.0)
    certify(config)
    renewal = Renewal(config)
    renewal.begin()
    assert list(renewal.look()) == []
    authority = config.authority.directory
    for path, told in (
        (config.certificates_directory / "broker.pem", [("broker", signal.SIGHUP)]),
        (authority / "trust.pem", [("broker", signal.SIGTERM)]),  # ends who is trusted no longer
        (authority / "issuing" / "revoked.crl", []),  # written anew, with nothing new on it
        (config.broker.certificate_file, [("ingest", signal.SIGTERM)]),
    ):
        content = path.read_bytes()
        path.unlink()
        assert list(renewal.look()) == [], "nobody can start without it: it is waited for"
        path.write_bytes(content)
        os.utime(path, ns=(1, 1))
        assert list(renewal.look()) == told
        assert list(renewal.look()) == []
    renewal.stop()


def test_what_is_due_is_renewed_while_the_server_runs(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.waiting import wait_until

    monkeypatch.setattr("fleet_server.renewal.LOOK_EVERY_S", 0.0)
    monkeypatch.setattr("fleet_server.renewal.RENEW_EVERY_S", 0.0)
    certify(config)
    config.broker.certificate_file.unlink()
    renewal = Renewal(config)
    renewal.begin()
    list(renewal.look())
    wait_until(config.broker.certificate_file.exists, 30, "the certificate that was missing")
    renewal.stop()
