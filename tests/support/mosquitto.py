"""A real Mosquitto with the configuration that `provisioning` generates, an authority of its own, in a
folder of its own, on a free port of the loopback interface.

`broker` is a running one, fresh for each test. Identities are made on demand:
`broker.device_identity(Address("city", "lamp-01"))`, `broker.server_identity()`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from provisioning.authority import Authority, utc_now
from provisioning.broker import SERVER_ROLES, BrokerSettings, render_mosquitto
from provisioning.storage import write_atomically
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from wire_contract.topics import Address

START_TIMEOUT_S = 60.0
AUTHORITY_AGE = timedelta(
    days=200
)  # older than a device's certificate lives, as in any city: some have expired


class IdentityFiles(NamedTuple):
    """Paths of PEM files."""

    ca: Path
    certificate: Path
    key: Path

    @property
    def serial(self) -> int:
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()).serial_number


def mosquitto_program() -> str:
    """The broker's program, on PATH, in /usr/sbin, or unpacked under .tools of the checkout; else skip."""
    root = Path(__file__).resolve().parents[2]
    local = [root / ".tools" / each / "mosquitto" for each in ("usr/sbin", "sbin", "bin")]
    found = shutil.which("mosquitto") or next(
        (str(path) for path in (Path("/usr/sbin/mosquitto"), *local) if path.exists()), None
    )
    if found is None:
        pytest.skip("Mosquitto is not installed (make test installs it)")
    return found


def make_request(name: str, key: ec.EllipticCurvePrivateKey | None = None) -> tuple[bytes, str]:
    """A new key's certificate request (DER) for the common name, and the key as PEM."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return request.public_bytes(serialization.Encoding.DER), pem.decode()


class MosquittoBroker:
    """One broker and its authority. Make, `start()`, use, `stop()`; kill it and wipe its state between.

    own_socket: server roles have a listener of their own, as in `lamppost serve`.
    """

    host = "127.0.0.1"

    def __init__(
        self, directory: Path, server_roles: tuple[str, ...] = SERVER_ROLES, own_socket: bool = False
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.authority = Authority.init(
            directory / "authority", "Testing", clock=lambda: utc_now() - AUTHORITY_AGE
        )
        self.authority = replace(self.authority, clock=utc_now)
        self._identities = directory / "identities"
        self._identities.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        own = self._identities / "broker.pem", self._identities / "broker.key"
        self.authority.issue_server("broker", ["127.0.0.1", "localhost"]).save(*own)
        self.settings = BrokerSettings(
            directory=directory,
            host=self.host,
            port=self.port,
            trust_file=self.authority.files.trust,
            certificate_file=own[0],
            key_file=own[1],
            crl_file=self.authority.files.crl,
            server_roles=server_roles,
            server_socket=directory / "server.sock" if own_socket else None,
        )
        for name, text in render_mosquitto(self.settings).items():
            write_atomically(directory / name, text.encode())
        self.settings.state_directory.mkdir(exist_ok=True)

    @property
    def log_file(self) -> Path:
        return self.directory / "mosquitto.log"

    def start(self) -> None:
        """Start it and wait until it shakes hands over TLS."""
        assert self._process is None
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [mosquitto_program(), "-c", str(self.directory / "mosquitto.conf")], stdout=log, stderr=log
            )
        wait_until(self._answers, START_TIMEOUT_S, f"Mosquitto on port {self.port} (see {self.log_file})")

    def stop(self, timeout_s: float = 10.0) -> None:
        self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """kill -9: nothing is saved."""
        self._end(signal.SIGKILL, 10.0)

    def restart(self) -> None:
        """Stop in order and start again: sessions and retained messages survive."""
        self.stop()
        self.start()

    def reload(self) -> None:
        """Have it read the revocation list again (SIGHUP); it does so a little later: poll."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def wipe_state(self) -> None:
        """Forget sessions and retained messages. Only while it is not running."""
        assert self._process is None, "stop or kill the broker first"
        shutil.rmtree(self.settings.state_directory)
        self.settings.state_directory.mkdir()

    def device_identity(self, address: Address, authority: Authority | None = None) -> IdentityFiles:
        """A new key and certificate for the device, issued by the broker's authority or the given one."""
        request, key = make_request(str(address))
        chain = (authority or self.authority).issue_device(request, address)
        return self._saved(f"{address.tenant}-{address.device}", chain, key)

    def expired_identity(self, address: Address) -> IdentityFiles:
        """A device's identity that ran out ten days ago."""
        past = replace(self.authority, clock=lambda: utc_now() - timedelta(days=100))
        return self.device_identity(address, past)

    def server_identity(self, role: str = SERVER_ROLES[0]) -> IdentityFiles:
        """An identity of a server role; it reads and writes every device's topics."""
        made = self.authority.issue_client(role)
        return self._saved(role, made.chain_pem, made.key_pem)

    def _saved(self, name: str, chain_pem: str, key_pem: str) -> IdentityFiles:
        stem = f"{name}-{os.urandom(4).hex()}"
        files = IdentityFiles(
            self.authority.files.trust, self._identities / f"{stem}.pem", self._identities / f"{stem}.key"
        )
        write_atomically(files.certificate, chain_pem.encode())
        write_atomically(files.key, key_pem.encode())
        return files

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"Mosquitto ended at once:\n{self.log_file.read_text()}")
        probe: IdentityFiles = getattr(self, "_probe", None) or self.server_identity()
        self._probe = probe
        context = ssl.create_default_context(cafile=str(probe.ca))
        context.load_cert_chain(probe.certificate, probe.key)
        try:
            with (
                socket.create_connection((self.host, self.port), timeout=2) as plain,
                context.wrap_socket(plain, server_hostname=self.host),
            ):
                return True
        except OSError:
            return False

    def _end(self, how: signal.Signals, timeout_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MosquittoBroker]:
    """A running broker of this test's own."""
    made = MosquittoBroker(tmp_path_factory.mktemp("broker"))
    made.start()
    try:
        yield made
    finally:
        made.stop()
