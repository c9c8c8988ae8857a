"""Whom a lamppost believes while the authority gives way: real handshakes, by what it had learned by then."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.errors import AgentError, BrokerUntrusted, ClockUnknown, EnrolmentUnreachable
from edge_agent.io.city_tls import city_context
from edge_agent.io.enrol_http import EstEnroller
from edge_agent.io.first_time import FirstTime
from edge_agent.io.identity_files import IdentityFiles, ensure_key, learn_trust, make_csr
from edge_agent.io.paho_broker import BrokerAddress, PahoBroker
from edge_agent.ports import BrokerEvents, Session
from provisioning import certificates, rollover, root_keys
from provisioning.authority import Authority, Identity, utc_now
from tests.edge_agent.making import ADDRESS

RETIRED = "not trusted any longer"


class Server:
    """Shakes hands with whoever comes, as `shows` says, and hangs up."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def shows(self, identity: Identity) -> None:
        identity.save(self._folder / "server.pem", self._folder / "server.key")
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
        self._context = made
        if not self._thread.is_alive():
            self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed: it is over
            while True:
                came, _ = self._listener.accept()
                with came, suppress(OSError):
                    came.settimeout(30)
                    self._context.wrap_socket(came, server_side=True).close()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(30)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.stop()


@dataclass
class City:
    """An authority that goes on from step to step: what was trusted at each, and what each has signed."""

    folder: Path
    trust: dict[str, Path] = field(default_factory=dict)
    shown: dict[str, Identity] = field(default_factory=dict)
    signers: dict[str, Authority] = field(default_factory=dict)

    def is_at(self, name: str, authority: Authority) -> None:
        self.trust[name] = self.folder / f"{name}.pem"
        self.trust[name].write_text(authority.trust_bundle())
        self.shown[name] = authority.issue_server("broker", ["127.0.0.1"])
        self.signers[name] = authority


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    """The second issuing authority comes below the same root, the third with another root."""
    made = City(tmp_path_factory.mktemp("city"))
    directory = made.folder / "authority"
    made.is_at("first", Authority.init(directory, "Porto"))
    root = lambda: root_keys.root_in(directory / "root", None)  # noqa: E731
    made.is_at("prepared", rollover.prepare(directory, root))
    made.is_at("switched", rollover.switch(directory, early=True))
    made.is_at("retired", rollover.retire(directory, early=True))
    rollover.prepare_root(directory, root, None)
    made.is_at("crossed", rollover.switch(directory, early=True))
    made.is_at("other root", rollover.retire(directory, early=True))
    return made


def refusal(context: ssl.SSLContext, server: Server) -> str:
    """Why this client does not take the server's certificate; "" where it does."""
    plain = socket.create_connection(("127.0.0.1", server.port), 10)
    try:
        context.wrap_socket(plain, server_hostname="127.0.0.1").close()
    except ssl.SSLCertVerificationError as refused:
        return refused.verify_message
    finally:
        plain.close()
    return ""


UNKNOWN = "unable to get"


@pytest.mark.parametrize(
    ("learned", "shown", "why"),
    [
        ("first", "first", ""),
        ("prepared", "first", ""),
        ("prepared", "switched", ""),
        ("first", "switched", ""),  # it was away while the second one took over
        ("first", "retired", ""),
        ("first", "crossed", ""),  # and the third
        ("retired", "crossed", ""),
        ("retired", "retired", ""),
        ("switched", "first", ""),
        ("retired", "first", RETIRED),
        ("crossed", "first", RETIRED),
        ("crossed", "retired", ""),
        ("other root", "first", UNKNOWN),
        ("other root", "retired", UNKNOWN),
        ("other root", "other root", ""),
    ],
)
def test_whom_a_lamppost_believes(city: City, server: Server, learned: str, shown: str, why: str) -> None:
    server.shows(city.shown[shown])
    told = refusal(city_context(city.trust[learned]), server)
    assert told.startswith(why) if why == UNKNOWN else why in told
    assert bool(told) is bool(why), told


def test_a_lamppost_that_has_not_renewed_learns_of_it_and_then_refuses(
    city: City, server: Server, tmp_path: Path
) -> None:
    """Once a day it asks what the city trusts, whoever has signed its own certificate."""
    files = IdentityFiles(tmp_path / "own.key", tmp_path / "own.pem", tmp_path / "ca.pem")
    csr = make_csr(ensure_key(files.key), ADDRESS)
    files.certificate.write_text(city.signers["first"].issue_device(csr, ADDRESS))
    files.ca.write_text(city.trust["first"].read_text())
    server.shows(city.shown["first"])
    assert refusal(city_context(files.ca), server) == ""
    assert learn_trust(files, city.trust["retired"].read_text())
    assert RETIRED in refusal(city_context(files.ca), server)


def test_others_than_lampposts_need_another_root(city: City, server: Server) -> None:
    """curl, openssl, a program of somebody's: what docs/certificates.md says of a stolen issuing key."""
    server.shows(city.shown["first"])
    assert refusal(ssl.create_default_context(cafile=city.trust["retired"]), server) == ""
    assert UNKNOWN in refusal(ssl.create_default_context(cafile=city.trust["other root"]), server)


def test_a_thief_cannot_give_himself_a_later_number(city: City, server: Server) -> None:
    first = city.signers["first"]
    key, valid = certificates.new_key(), certificates.validity(utc_now(), timedelta(days=9))
    false = certificates.authority_certificate(
        "Porto issuing authority 9", key.public_key(), first.issuing, first._key, valid
    )
    own = certificates.new_key()
    leaf = certificates.server_certificate("broker", ["127.0.0.1"], own.public_key(), false, key, valid)
    chain = certificates.pem(leaf, false, first.issuing)
    server.shows(Identity(chain, certificates.key_pem(own)))
    assert "path length" in refusal(city_context(city.trust["retired"]), server)


def test_every_way_of_a_lamppost_refuses_it(city: City, server: Server, tmp_path: Path) -> None:
    server.shows(city.shown["first"])
    trust, own, key = city.trust["retired"], tmp_path / "own.pem", tmp_path / "own.key"
    csr = make_csr(ensure_key(key), ADDRESS)
    own.write_text(city.signers["retired"].issue_device(csr, ADDRESS))
    url = f"https://127.0.0.1:{server.port}"
    broker = PahoBroker(BrokerAddress("127.0.0.1", server.port, "post-1", trust, own, key, 60))
    events = BrokerEvents(lambda: None, lambda *_: None, lambda _: None, lambda _: None)
    ways: list[tuple[Callable[[], object], type[AgentError]]] = [
        (lambda: broker.connect(Session("w", b"", ""), events), BrokerUntrusted),
        (EstEnroller(url, str(trust)).challenge, EnrolmentUnreachable),
        (FirstTime(url, [trust], own, clock_s=lambda: 7.0).now_s, ClockUnknown),
    ]
    for ask, refused in ways:
        with pytest.raises(refused, match=r"retired|any longer"):
            ask()
