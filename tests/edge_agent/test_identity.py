"""Key, request, a person's decision, certificate; renewal; and a power cut in between. EST over real TLS."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from edge_agent import cli
from edge_agent.config import check
from edge_agent.config_keys import AgentConfig
from edge_agent.core.renewing import RENEW_AT, Validity, Way, Ways, advise, renew_at
from edge_agent.enrolment import enrol
from edge_agent.errors import (
    ConfigError,
    EnrolmentPending,
    EnrolmentRefused,
    EnrolmentUnreachable,
    IdentityError,
)
from edge_agent.io.certificate_dates import validity
from edge_agent.io.identity_files import checked_chain, ensure_key, make_csr
from edge_agent.renewal import accept, files_of, request
from firmware_bridge.kinds import SensorKind
from provisioning.authority import Authority, utc_now
from tests.edge_agent.making import ADDRESS, counting, make_config, running
from tests.support.acking_server import AckingServer
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.messages import CertificateIssued
from wire_contract.topics import Address, Down


class EstServer:
    """`answers`: what the next requests get, 202 while a person decides; then certificates."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.authority = Authority.init(
            folder / "authority", "Testing", clock=lambda: utc_now() - timedelta(1)
        )
        self.authority = replace(self.authority, clock=utc_now)
        certificate, key = folder / "server.pem", folder / "server.key"
        self.authority.issue_server("api", ["127.0.0.1", "localhost"]).save(certificate, key)
        self.trust = self.authority.files.trust
        self.answers: list[int] = []
        self.seen: list[dict[str, Any]] = []
        self.issue_for = ADDRESS
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def chain(self, csr: bytes) -> str:
        return self.authority.issue_device(csr, self.issue_for)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._certificates(server.trust.read_text())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.seen.append({**self.headers, "path": self.path})
                status = server.answers.pop(0) if server.answers else 200
                if status == 200:
                    self._certificates(server.chain(base64.b64decode(body)))
                    return
                self.send_response(status)
                self.send_header("Retry-After", "0")
                problem = json.dumps({"title": "No", "detail": "This claim was used before."}).encode()
                self.send_header("Content-Length", str(len(problem)))
                self.end_headers()
                self.wfile.write(problem)

            def _certificates(self, pem: str) -> None:
                chain = x509.load_pem_x509_certificates(pem.encode())
                body = base64.encodebytes(pkcs7.serialize_certificates(chain[::-1], Encoding.DER))
                self.send_response(200)
                self.send_header("Content-Type", "application/pkcs7-mime; smime-type=certs-only")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        return Handler


@pytest.fixture
def est(tmp_path: Path) -> Iterator[EstServer]:
    made = EstServer(tmp_path / "est")
    yield made
    made.stop()


def config_for(folder: Path, est: EstServer, **more: Any) -> AgentConfig:
    keys = {"url": est.url, "claim": "k3m9.s3cr3t.with.dots", "ca_file": str(est.trust), **more}
    return make_config(folder, enrolment=keys)


def quiet(_line: str) -> None:
    """Tell nobody."""


def test_a_device_enrols_when_a_person_has_accepted_it(tmp_path: Path, est: EstServer) -> None:
    config = config_for(tmp_path, est)
    est.answers = [202, 503, 202]
    told: list[str] = []
    enrol(config, wait=True, tell=told.append, sleep=lambda _s: None)
    assert config.key_file.stat().st_mode & 0o777 == 0o600
    leaf = x509.load_pem_x509_certificates(config.certificate_file.read_bytes())[0]
    assert leaf.subject.rfc4514_string() == f"CN={ADDRESS}"
    assert "BEGIN CERTIFICATE" in config.ca_file.read_text()
    sent = est.seen[0]
    assert sent["path"] == "/.well-known/est/simpleenroll"
    assert sent["Content-Type"] == "application/pkcs10"
    assert base64.b64decode(sent["Authorization"].split()[1]) == b"k3m9:s3cr3t.with.dots"
    assert len(est.seen) == 4
    assert len({entry["Authorization"] for entry in est.seen}) == 1
    assert "key fingerprint" in told[0]
    assert len(told[0].rpartition(" ")[2]) == 39, "eight groups of four"


def test_pending_refused_and_unreachable_are_told_apart(tmp_path: Path, est: EstServer) -> None:
    config = config_for(tmp_path, est)
    est.answers = [202, 401]
    with pytest.raises(EnrolmentPending):
        enrol(config, wait=False, tell=quiet)
    with pytest.raises(EnrolmentRefused, match="This claim was used before"):
        enrol(config, wait=True, tell=quiet)
    elsewhere = config_for(tmp_path, est, url="https://127.0.0.1:1")
    with pytest.raises(EnrolmentUnreachable):
        enrol(elsewhere, wait=False, tell=quiet)
    with pytest.raises(EnrolmentUnreachable, match="certificate was not accepted"):
        enrol(config_for(tmp_path, est, ca_file=""), wait=False, tell=quiet)
    assert not config.certificate_file.exists()
    with pytest.raises(ConfigError, match="url is needed"):
        enrol(make_config(tmp_path), wait=False, tell=quiet)


def test_the_key_stays_when_it_is_asked_again(tmp_path: Path, est: EstServer) -> None:
    config = config_for(tmp_path, est)
    est.answers = [202]
    with pytest.raises(EnrolmentPending):
        enrol(config, wait=False, tell=quiet)
    key = config.key_file.read_bytes()
    enrol(config, wait=False, tell=quiet)
    assert config.key_file.read_bytes() == key


def test_a_certificate_that_is_not_ours_is_refused(tmp_path: Path, est: EstServer) -> None:
    config = config_for(tmp_path, est)
    key = ensure_key(config.key_file)
    trust = est.trust.read_text()
    other_key = ensure_key(tmp_path / "other.key")
    with pytest.raises(IdentityError, match="not made for this device's key"):
        checked_chain(est.chain(make_csr(other_key, ADDRESS)), key, ADDRESS, trust)
    other = Address("city", "post-2")
    est.issue_for = other
    with pytest.raises(IdentityError, match="not for city/post-1"):
        checked_chain(est.chain(make_csr(key, other)), key, ADDRESS, trust)
    stranger = Authority.init(tmp_path / "stranger", "Elsewhere")
    with pytest.raises(IdentityError, match="does not lead to the city's authority"):
        checked_chain(stranger.issue_device(make_csr(key, ADDRESS), ADDRESS), key, ADDRESS, trust)


def test_the_command_says_pending_with_a_status_of_its_own(
    tmp_path: Path, est: EstServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(
        f'[device]\ntenant = "city"\nname = "post-1"\ndata_dir = "{tmp_path}/data"\n'
        f'[server]\nhost = "127.0.0.1"\n[enrolment]\nurl = "{est.url}"\nclaim = "a.b"\n'
        f'ca_file = "{est.trust}"\n'
    )
    est.answers = [202]
    assert cli.main(["enrol", "--config", str(path), "--json"]) == cli.PENDING
    assert json.loads(capsys.readouterr().out)["code"] == "enrolment_pending"
    assert cli.main(["enrol", "--config", str(path), "--json"]) == 0


def test_the_dates_of_a_certificate_are_read_without_cryptography(tmp_path: Path, est: EstServer) -> None:
    config = config_for(tmp_path, est)
    enrol(config, wait=False, tell=quiet)
    leaf = x509.load_pem_x509_certificates(config.certificate_file.read_bytes())[0]
    dates = validity(config.certificate_file)
    assert dates.from_s == leaf.not_valid_before_utc.timestamp()
    assert dates.until_s == leaf.not_valid_after_utc.timestamp()
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    with pytest.raises(ValueError, match="DER"):
        validity(broken)


def test_a_renewal_swaps_key_and_certificate_only_when_they_belong_together(
    tmp_path: Path, est: EstServer
) -> None:
    config = config_for(tmp_path, est)
    enrol(config, wait=False, tell=quiet)
    old = config.key_file.read_bytes(), config.certificate_file.read_bytes()
    csr = base64.b64decode(request(config)["csr"])
    assert (config.key_file.read_bytes(), config.certificate_file.read_bytes()) == old
    wrong = est.chain(make_csr(ensure_key(tmp_path / "other.key"), ADDRESS))
    with pytest.raises(IdentityError):
        accept(config, wrong)
    assert (config.key_file.read_bytes(), config.certificate_file.read_bytes()) == old
    accept(config, est.chain(csr))
    assert config.key_file.read_bytes() != old[0]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(config.certificate_file, config.key_file)
    assert not files_of(config).next_key.exists()


def test_a_power_cut_inside_a_renewal_is_mended_at_the_next_start(tmp_path: Path, est: EstServer) -> None:
    config = config_for(tmp_path, est)
    enrol(config, wait=False, tell=quiet)
    csr = base64.b64decode(request(config)["csr"])
    config.certificate_file.write_text(est.chain(csr))  # the power went before the key was moved
    path = tmp_path / "agent.toml"
    path.write_text(
        f'[device]\ntenant = "city"\nname = "post-1"\ndata_dir = "{tmp_path}/data"\n[server]\nhost = "x"\n'
    )
    subprocess.run([sys.executable, "-m", "edge_agent.renewal", "mend", str(path)], check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(config.certificate_file, config.key_file)


BOTH, AWAY, ALONE = Ways(True, True), Ways(False, True), Ways(True, False)


@pytest.mark.parametrize(
    ("used", "left_days", "asked_s_ago", "ways", "renew", "code"),
    [
        (0.1, 81, None, BOTH, Way.NOT, ""),
        (0.66, 31, None, BOTH, Way.NOT, ""),
        (0.67, 29.7, None, BOTH, Way.MQTT, ""),
        (0.67, 29.7, 60, BOTH, Way.NOT, ""),
        (0.67, 29.7, 3600, BOTH, Way.MQTT, ""),
        (0.67, 29.7, 3600, replace(BOTH, mqtt_tries=2), Way.EST, ""),
        (0.67, 29.7, 3600, replace(ALONE, mqtt_tries=2), Way.MQTT, ""),
        (0.67, 29.7, None, AWAY, Way.EST, ""),
        (0.67, 29.7, None, Ways(False, False), Way.NOT, ""),
        (0.9, 9, 60, BOTH, Way.NOT, "certificate_expiring"),
        (1.1, -9, None, BOTH, Way.EST, "certificate_expired"),
        (1.1, -9, 59, AWAY, Way.NOT, "certificate_expired"),
        (1.1, -9, 60, AWAY, Way.EST, "certificate_expired"),
        (1.1, -9, None, ALONE, Way.NOT, "certificate_expired"),
    ],
)
def test_renewal_is_asked_for_at_two_thirds_over_what_is_there(
    used: float, left_days: float, asked_s_ago: float | None, ways: Ways, renew: Way, code: str
) -> None:
    advice = advise(used, left_days, asked_s_ago, ways)
    assert (advice.renew, advice.code) == (renew, code)


def test_certificates_of_one_day_are_renewed_within_an_hour_each_at_its_own_time() -> None:
    dates = Validity(1_780_000_000.0, 1_780_000_000.0 + 90 * 86_400)
    names = [f"city/lamp-{n}" for n in range(1000)]
    due_s = sorted((renew_at(dates, name) - RENEW_AT) * dates.life_s for name in names)
    assert 0 <= due_s[0] < due_s[-1] < 3600
    assert max(sum(at <= other < at + 60 for other in due_s) for at in due_s) < 50, "a minute's share is 17"
    assert renew_at(dates, names[0]) == renew_at(dates, names[0])
    short = Validity(0.0, 600.0)
    assert max(renew_at(short, name) for name in names) < RENEW_AT + 0.05


@pytest.mark.system
def test_a_running_agent_renews_over_the_wire(tmp_path: Path, broker: MosquittoBroker) -> None:
    """Certificates of a minute's remaining life: asked for, answered, swapped, connected again."""
    authority = replace(broker.authority, clock=lambda: utc_now() - timedelta(days=70))
    identity = broker.device_identity(ADDRESS, authority)
    path = tmp_path / "agent.toml"
    identity_dir = tmp_path / "data" / "identity"
    identity_dir.mkdir(parents=True)
    for name, source in (
        ("ca.pem", identity.ca),
        ("device.pem", identity.certificate),
        ("device.key", identity.key),
    ):
        (identity_dir / name).write_bytes(source.read_bytes())
    tables = {
        "device": {"tenant": "city", "name": "post-1", "data_dir": str(tmp_path / "data")},
        "server": {"host": "127.0.0.1", "port": broker.port},
        "sensor": [{"name": "s0", "kind": "sds011", "port": "/dev/test0"}],
        "bench": {"backoff_max_s": 0.5},
    }
    path.write_text(
        f'[device]\ntenant = "city"\nname = "post-1"\ndata_dir = "{tmp_path}/data"\n'
        f'[server]\nhost = "127.0.0.1"\nport = {broker.port}\n'
    )
    config = check(tables, path)
    server = AckingServer.on(broker).start()
    old = config.certificate_file.read_bytes()
    with running(config, counting(SensorKind.SDS011)) as agent:
        wait_until(lambda: agent.link.view.connected, 20, "a connection")
        agent._identity._woken.set()
        wait_until(lambda: server.requests, 30, "a certificate request")
        first = server.presences[-1].session
        chain = broker.authority.issue_device(server.requests[0].csr_der, ADDRESS)
        server.send(Down.CERTIFICATE, CertificateIssued(chain, ""))
        wait_until(lambda: config.certificate_file.read_bytes() != old, 30, "the new certificate")
        wait_until(lambda: server.presences[-1].session > first, 30, "a connection with it")
    server.stop()
