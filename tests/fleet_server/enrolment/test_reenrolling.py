"""Renewal over EST on a real listener: by certificate, by the key of one that ran out; curl, openssl too."""

from __future__ import annotations

import asyncio
import base64
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config_keys import AgentConfig
from edge_agent.errors import EnrolmentPending, EnrolmentRefused, EnrolmentUnreachable
from edge_agent.io.enrol_http import EstEnroller
from edge_agent.io.identity_files import ensure_key, make_csr
from edge_agent.renewal import files_of, reenrol, trust
from firmware_bridge.kinds import SensorKind
from fleet_server import accept_policy, api_role
from fleet_server.api import create_device_app
from fleet_server.config import EnrolmentConfig
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import challenges, reenrolling, relisting, revoking, service, standing
from fleet_server.enrolment.errors import (
    AuthorityUnavailable,
    BadRequest,
    CertificateRefused,
    NotNow,
    RenewalRefused,
    StaleChallenge,
)
from fleet_server.enrolment.rules import State
from fleet_server.enrolment.service import Issued, Waiting
from fleet_server.listening import listening
from provisioning import proofs, rollover, root_keys
from provisioning.authority import Authority, utc_now
from provisioning.authority_files import directly_issued
from provisioning.errors import RequestGarbled
from tests.edge_agent.making import codes, counting, make_config, running
from tests.support.cms import signed_by_ed25519
from tests.support.server_context import ADMIN, OPERATOR, VIEWER
from tests.support.waiting import wait_until
from wire_contract.topics import Address

POST = Address("city", "post-1")
OLD = timedelta(days=120)  # a certificate of then ran out a month ago


@dataclass(frozen=True)
class Listener:
    url: str
    ctx: Context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Older than its certificates live, so that some have run out."""
    made = Authority.init(tmp_path / "authority", "Testing", clock=lambda: utc_now() - timedelta(days=400))
    return replace(made, clock=utc_now)


@pytest.fixture
def listener(ctx: Context, authority: Authority) -> Iterator[Listener]:
    """The device listener as the role `api` sets it up, in a thread."""
    api = ctx.config.api
    api.device_certificate_file.parent.mkdir(parents=True)
    made = authority.issue_server("api", ["127.0.0.1"])
    made.save(api.device_certificate_file, api.device_key_file)
    server = api_role._server(create_device_app(ctx), api_role._tls(ctx.config))
    socket = listening("api.device_listen", replace(api.listen, port=0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[socket])), daemon=True)
    thread.start()
    yield Listener(f"https://127.0.0.1:{socket.getsockname()[1]}", ctx)
    server.should_exit = True
    thread.join(60)


def enrolled(
    folder: Path, listener: Listener, authority: Authority, age: timedelta = timedelta(0)
) -> AgentConfig:
    """A lamppost with key and certificate, as if it had enrolled `age` ago."""
    config = make_config(folder, enrolment={"url": listener.url, "claim": "", "ca_file": ""})
    files = files_of(config)
    csr = make_csr(ensure_key(files.key), POST)
    then = replace(authority, clock=lambda: utc_now() - age)
    chain = then.issue_device(csr, POST)
    files.certificate.write_text(chain)
    files.ca.write_text(authority.trust_bundle())
    devices.register(listener.ctx, OPERATOR, POST)
    with listener.ctx.db.session() as session:
        from fleet_server.enrolment import issuing, store

        store.insert_certificate(session, issuing.certificate(POST, chain, utc_now() - age))
    return config


def leaf(config: AgentConfig) -> x509.Certificate:
    return x509.load_pem_x509_certificates(config.certificate_file.read_bytes())[0]


def ruled(ctx: Context, *rules: str) -> Context:
    enrolment = EnrolmentConfig(accept_policy.read_rules(rules))
    return replace(ctx, config=replace(ctx.config, enrolment=enrolment))


def test_an_agent_renews_over_est_by_its_certificate(
    tmp_path: Path, listener: Listener, authority: Authority
) -> None:
    config = enrolled(tmp_path, listener, authority)
    before, key = leaf(config), config.key_file.read_bytes()
    assert reenrol(config) == {}
    assert leaf(config).serial_number != before.serial_number
    assert config.key_file.read_bytes() != key
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(config.certificate_file, config.key_file)
    assert trust(config) == {"news": False}
    standing.change_state(listener.ctx, OPERATOR, POST, DeviceState.QUARANTINED)
    with pytest.raises(EnrolmentRefused, match="revoked"):
        reenrol(config)
    with pytest.raises(EnrolmentRefused, match="Show your certificate"):
        EstEnroller(listener.url, str(config.ca_file)).reenrol(b"x")


def test_an_agent_that_was_away_renews_by_its_old_key(
    tmp_path: Path, listener: Listener, authority: Authority
) -> None:
    config = enrolled(tmp_path, listener, authority, OLD)
    before = leaf(config)
    assert before.not_valid_after_utc < datetime.now(UTC)
    assert reenrol(config) == {}, "the default lets it in: it ran out a month ago"
    assert leaf(config).not_valid_after_utc > datetime.now(UTC)
    [found] = service.list_enrolments(listener.ctx, VIEWER)
    assert (found.state, found.decided_by) == (State.ISSUED, "policy: expired days=90")
    assert devices.state_of(listener.ctx, VIEWER, POST) is DeviceState.ACTIVE


@pytest.mark.system
def test_a_running_agent_comes_back_by_itself_after_its_certificate_ran_out(
    tmp_path: Path, listener: Listener, authority: Authority
) -> None:
    """Its broker does not even have to be there."""
    config = enrolled(tmp_path, listener, authority, OLD)
    config.source.write_text(
        f'[device]\ntenant = "city"\nname = "post-1"\ndata_dir = "{config.data_dir}"\n'
        f'[server]\nhost = "127.0.0.1"\n[enrolment]\nurl = "{listener.url}"\n'
    )
    with running(config, counting(SensorKind.SDS011)) as agent:
        wait_until(lambda: leaf(config).not_valid_after_utc > datetime.now(UTC), 30, "a new certificate")
        wait_until(
            lambda: not codes(agent) & {"certificate_expired", "enrolment_pending"}, 30, "no complaint"
        )


def test_one_that_was_away_for_long_waits_for_a_person(
    tmp_path: Path, listener: Listener, authority: Authority
) -> None:
    config = enrolled(tmp_path, listener, authority, timedelta(days=300))
    for _ in range(2):
        with pytest.raises(EnrolmentPending):
            reenrol(config)
    [pending] = service.list_enrolments(listener.ctx, VIEWER, (State.PENDING,))
    assert (pending.way, pending.device, pending.known) == (accept_policy.Way.EXPIRED, "post-1", False)
    service.accept(listener.ctx, OPERATOR, pending.id)
    assert reenrol(config) == {}
    assert leaf(config).not_valid_after_utc > datetime.now(UTC)


def test_an_expired_certificate_is_not_taken_in_tls(
    tmp_path: Path, listener: Listener, authority: Authority
) -> None:
    config = enrolled(tmp_path, listener, authority, OLD)
    shown = EstEnroller(listener.url, str(config.ca_file), (config.certificate_file, config.key_file))
    with pytest.raises((EnrolmentUnreachable, EnrolmentRefused)):
        shown.reenrol(make_csr(ensure_key(tmp_path / "next.key"), POST))


def openssl(folder: Path, *words: str) -> bytes:
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def curl(folder: Path, url: str, *words: str) -> tuple[int, bytes]:
    told = subprocess.run(
        ["curl", "-sS", "--cacert", "ca.pem", "-o", "answer", "-w", "%{http_code}", *words, url],
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr.decode()
    return int(told.stdout), (folder / "answer").read_bytes()


def test_curl_and_openssl_renew_before_and_after_the_end(
    tmp_path: Path, listener: Listener, authority: Authority
) -> None:
    config = enrolled(tmp_path / "a", listener, authority, OLD)
    folder, est = config.identity_dir, f"{listener.url}/.well-known/est"
    status, told = curl(folder, f"{est}/csrattrs")
    assert status == 200
    (folder / "attributes").write_bytes(base64.b64decode(told))
    shown = openssl(folder, "asn1parse", "-inform", "DER", "-in", "attributes").decode()
    assert "prime256v1" in shown
    assert "ecdsa-with-SHA256" in shown
    challenge = next(line for line in shown.splitlines() if "PRINTABLESTRING" in line).rpartition(":")[2]
    (folder / "req.cnf").write_text(
        "[req]\nprompt = no\ndistinguished_name = dn\nattributes = more\n[dn]\nCN = city/post-1\n"
        f"[more]\nchallengePassword = {challenge}\n"
    )
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "new.key")
    request = ("req", "-new", "-key", "new.key", "-config", "req.cnf", "-outform", "DER", "-out", "new.csr")
    openssl(folder, *request)
    openssl(
        folder, "cms", "-sign", "-binary", "-nodetach", "-md", "sha256", "-signer", "device.pem",
        "-inkey", "device.key", "-in", "new.csr", "-outform", "DER", "-out", "signed.der",
    )  # fmt: skip
    (folder / "body").write_bytes(base64.encodebytes((folder / "signed.der").read_bytes()))
    kind = ("-H", "Content-Type: application/pkcs7-mime; smime-type=signed-data", "--data-binary", "@body")
    status, told = curl(folder, f"{est}/simplereenroll", *kind)
    assert status == 200
    (folder / "answer.der").write_bytes(base64.b64decode(told))
    chain = openssl(folder, "pkcs7", "-inform", "DER", "-in", "answer.der", "-print_certs").decode()
    (folder / "new.pem").write_text(chain)
    made = x509.load_pem_x509_certificates(chain.encode())
    (folder / "leaf.pem").write_bytes(
        next(each for each in made if "post-1" in each.subject.rfc4514_string()).public_bytes(Encoding.PEM)
    )
    assert b"OK" in openssl(folder, "verify", "-CAfile", "ca.pem", "leaf.pem")
    (folder / "body").write_bytes(base64.encodebytes((folder / "new.csr").read_bytes()))
    by_tls = ("--cert", "leaf.pem", "--key", "new.key", "-H", "Content-Type: application/pkcs10")
    status, told = curl(folder, f"{est}/simplereenroll", *by_tls, "--data-binary", "@body")
    assert status == 200
    assert len(pkcs7.load_der_pkcs7_certificates(base64.b64decode(told))) == 2


def signed(config: AgentConfig, csr: bytes) -> bytes:
    key = ensure_key(config.key_file)
    return proofs.sign(csr, leaf(config), key)


def test_whom_no_old_key_helps(tmp_path: Path, listener: Listener, authority: Authority) -> None:
    ctx = ruled(listener.ctx, "expired days=90")
    config = enrolled(tmp_path, listener, authority, OLD)
    csr = make_csr(ensure_key(tmp_path / "next.key"), POST, "now")

    def ask(proof: bytes, fresh: str = "now", now: datetime | None = None) -> Waiting | Issued:
        return reenrolling.renew_expired(ctx, proof, lambda told: told == fresh, now)

    with pytest.raises(StaleChallenge):
        ask(signed(config, csr), "then")
    with pytest.raises(BadRequest, match="lamp-9"):
        ask(signed(config, make_csr(ensure_key(tmp_path / "k"), Address("city", "lamp-9"), "now")))
    stranger = Authority.init(tmp_path / "stranger", "Testing")
    forged = x509.load_pem_x509_certificate(
        stranger.issue_device(make_csr(ensure_key(config.key_file), POST), POST).encode()
    )
    with pytest.raises(CertificateRefused, match="not from"):
        ask(proofs.sign(csr, forged, ensure_key(config.key_file)))
    with pytest.raises(BadRequest, match="signature is wrong"):
        ask(proofs.sign(csr, leaf(config), ensure_key(tmp_path / "thief.key")))
    devices.change_state(ctx, OPERATOR, POST, DeviceState.QUARANTINED)
    waiting = ask(signed(config, csr))
    assert isinstance(waiting, Waiting), "a person decides about one that was shut out"
    with pytest.raises(NotNow, match="quarantined"):
        service.accept(ctx, OPERATOR, waiting.enrolment.id)
    devices.change_state(ctx, OPERATOR, POST, DeviceState.DECOMMISSIONED)
    with pytest.raises(RenewalRefused, match="decommissioned"):
        ask(signed(config, csr))
    devices.change_state(ctx, OPERATOR, POST, DeviceState.ACTIVE)
    another = make_csr(ensure_key(tmp_path / "another.key"), POST, "now")  # its card was written anew
    assert isinstance(ask(signed(config, another)), Issued)
    assert service.get_enrolment(ctx, VIEWER, waiting.enrolment.id).state is State.WITHDRAWN
    older = ask(signed(config, make_csr(ensure_key(tmp_path / "third.key"), POST, "now")))
    assert isinstance(older, Waiting), "a newer certificate was given: a person looks"
    authority.revoke(leaf(config).serial_number)
    with pytest.raises(CertificateRefused, match="revoked"):
        ask(signed(config, csr))


def test_an_ed25519_key_of_a_certificate_that_ran_out_is_a_proof_too(
    tmp_path: Path, listener: Listener, authority: Authority
) -> None:
    """Our agent makes P-256 keys only: somebody else's device, by an encoder that is not ours (RFC 8419)."""
    config = enrolled(tmp_path, listener, authority, OLD)
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, str(POST))])
    asked = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, None)
    then = replace(authority, clock=lambda: utc_now() - OLD)
    chain = then.issue_device(asked.public_bytes(Encoding.DER), POST)
    with listener.ctx.db.session() as session:
        from fleet_server.enrolment import issuing, store

        store.insert_certificate(session, issuing.certificate(POST, chain, utc_now() - OLD))
    old = x509.load_pem_x509_certificate(chain.encode())
    asker = EstEnroller(listener.url, str(config.ca_file))
    csr = make_csr(ensure_key(tmp_path / "next.key"), POST, asker.challenge())
    with pytest.raises(EnrolmentRefused, match="signature is wrong"):
        asker.reenrol_signed(signed_by_ed25519(csr, old, ed25519.Ed25519PrivateKey.generate()))
    made = x509.load_pem_x509_certificates(asker.reenrol_signed(signed_by_ed25519(csr, old, key)).encode())
    assert ensure_key(tmp_path / "next.key").public_key() in [each.public_key() for each in made]


def test_an_old_key_does_not_undo_what_was_decided_since(
    tmp_path: Path, listener: Listener, authority: Authority
) -> None:
    """Accepted while the authority was away, then shut out; replaced; out while its certificate ran out."""
    ctx = ruled(listener.ctx)
    config = enrolled(tmp_path, listener, authority, OLD)
    proof = signed(config, make_csr(ensure_key(tmp_path / "next.key"), POST, "now"))

    def ask() -> Waiting | Issued:
        return reenrolling.renew_expired(ctx, proof, lambda told: told == "now")

    waiting = ask()
    key = authority.files.issuing_key
    key.rename(tmp_path / "away")
    with pytest.raises(AuthorityUnavailable):
        service.accept(ctx, OPERATOR, waiting.enrolment.id)
    (tmp_path / "away").rename(key)
    standing.change_state(ctx, OPERATOR, POST, DeviceState.QUARANTINED)
    assert isinstance(ask(), Waiting)
    assert devices.state_of(ctx, OPERATOR, POST) is DeviceState.QUARANTINED
    standing.change_state(ctx, OPERATOR, POST, DeviceState.ACTIVE)
    assert isinstance(ask(), Issued)

    third = signed(config, make_csr(ensure_key(tmp_path / "third.key"), POST, "now"))
    former = reenrolling.renew_expired(ctx, third, lambda told: told == "now")
    assert former.enrolment.known, "a newer certificate is out: accepting this one ends it"
    service.reject(ctx, OPERATOR, former.enrolment.id)
    standing.change_state(ctx, OPERATOR, POST, DeviceState.QUARANTINED, utc_now())
    later = utc_now() + timedelta(days=100)
    standing.change_state(ctx, OPERATOR, POST, DeviceState.ACTIVE, later)
    newest = service.certificate_of(ctx, OPERATOR, POST)
    assert newest is not None
    assert newest.revoked_at is None, "on hold when it ran out, and let in again"

    standing.change_state(ctx, OPERATOR, POST, DeviceState.DECOMMISSIONED)
    devices.register(ctx, OPERATOR, POST)  # its name goes to another
    with pytest.raises(CertificateRefused, match="revoked"):
        ask()


def test_an_older_key_takes_back_nothing_that_a_newer_one_has_asked(
    tmp_path: Path, listener: Listener, authority: Authority
) -> None:
    """A card that was copied two certificates ago, against the lamppost itself."""
    ctx = ruled(listener.ctx)
    copied = enrolled(tmp_path / "copied", listener, authority, timedelta(days=300))
    own = enrolled(tmp_path / "own", listener, authority, OLD)

    def ask(config: AgentConfig, name: str) -> Waiting | Issued:
        proof = signed(config, make_csr(ensure_key(tmp_path / name), POST, "now"))
        return reenrolling.renew_expired(ctx, proof, lambda told: told == "now")

    first = ask(copied, "thief.key")
    waiting = ask(own, "next.key")
    assert service.get_enrolment(ctx, VIEWER, first.enrolment.id).state is State.WITHDRAWN
    for name in ("thief.key", "thief-2.key"):
        with pytest.raises(RenewalRefused, match="newer certificate"):
            ask(copied, name)
    assert ask(own, "next.key").enrolment == waiting.enrolment
    again = ask(own, "other.key")  # its card was written anew: by the same certificate
    assert service.get_enrolment(ctx, VIEWER, waiting.enrolment.id).state is State.WITHDRAWN
    service.accept(ctx, OPERATOR, again.enrolment.id)
    assert isinstance(ask(own, "other.key"), Issued)


def test_what_a_person_has_accepted_reaches_the_lamppost_that_asked(
    tmp_path: Path, listener: Listener, authority: Authority
) -> None:
    """Its card was put back from an older copy: the newer certificate ends, and with it the older one."""
    ctx = ruled(listener.ctx)
    older = enrolled(tmp_path / "older", listener, authority, timedelta(days=300))
    enrolled(tmp_path / "newer", listener, authority, OLD)

    def ask(name: str) -> Waiting | Issued:
        proof = signed(older, make_csr(ensure_key(tmp_path / name), POST, "now"))
        return reenrolling.renew_expired(ctx, proof, lambda told: told == "now")

    waiting = ask("next.key")
    assert waiting.enrolment.known
    service.accept(ctx, OPERATOR, waiting.enrolment.id)
    for _ in range(2):  # an answer may be lost
        assert isinstance(ask("next.key"), Issued)
    with pytest.raises(CertificateRefused, match="revoked"):
        ask("another.key")
    standing.change_state(ctx, OPERATOR, POST, DeviceState.QUARANTINED)
    with pytest.raises(CertificateRefused, match="revoked"):
        ask("next.key")


@pytest.mark.parametrize("hold", [False, True])
def test_one_that_was_revoked_and_ran_out_asks_for_nothing_though_no_list_names_it(
    tmp_path: Path, listener: Listener, authority: Authority, hold: bool
) -> None:
    """The list drops who ran out; our record counts. On hold: until it is let in."""
    ctx = ruled(listener.ctx, "expired days=90")
    config = enrolled(tmp_path, listener, authority, OLD)
    then = utc_now() - OLD + timedelta(days=1)
    if hold:
        standing.change_state(ctx, OPERATOR, POST, DeviceState.QUARANTINED, then)
    else:
        serial = f"{leaf(config).serial_number:x}"
        revoking.revoke(ctx, ADMIN, POST, serial, revoking.Reason.KEY_COMPROMISE, then)
    assert authority.is_revoked(leaf(config).serial_number)
    assert relisting.shorten(ctx) == 1
    assert not authority.is_revoked(leaf(config).serial_number)
    assert relisting.list_again(ctx) == 0
    with pytest.raises(EnrolmentRefused, match="revoked"):
        reenrol(config)  # by its key, over HTTPS
    with pytest.raises(CertificateRefused, match="revoked"):
        reenrolling.renew_with_certificate(
            ctx, leaf(config).public_bytes(Encoding.DER), make_csr(ensure_key(tmp_path / "next.key"), POST)
        )
    standing.change_state(ctx, OPERATOR, POST, DeviceState.QUARANTINED)
    standing.change_state(ctx, OPERATOR, POST, DeviceState.ACTIVE)
    proof = signed(config, make_csr(ensure_key(tmp_path / "next.key"), POST, "now"))
    if hold:
        assert isinstance(reenrolling.renew_expired(ctx, proof, lambda told: told == "now"), Issued)
        return
    with pytest.raises(CertificateRefused, match="revoked"):
        reenrolling.renew_expired(ctx, proof, lambda told: told == "now")


def test_what_a_key_asked_before_its_certificate_was_revoked_is_accepted_no_more(
    tmp_path: Path, listener: Listener, authority: Authority
) -> None:
    """A stolen card's key asks first; then somebody revokes its certificate; then somebody else accepts."""
    ctx = ruled(listener.ctx)
    stolen = enrolled(tmp_path / "stolen", listener, authority, OLD)
    own = enrolled(tmp_path / "own", listener, authority)
    proof = signed(stolen, make_csr(ensure_key(tmp_path / "thief.key"), POST, "now"))
    asked = reenrolling.renew_expired(ctx, proof, lambda told: told == "now").enrolment
    revoking.revoke(ctx, ADMIN, POST, f"{leaf(stolen).serial_number:x}", revoking.Reason.KEY_COMPROMISE)
    with pytest.raises(NotNow, match="revoked"):
        service.accept(ctx, OPERATOR, asked.id)
    standings = [each.standing for each in revoking.certificates(ctx, VIEWER, POST)]
    assert standings == ["good", "revoked"], "that of the lamppost itself, and the stolen one's"
    assert not authority.is_revoked(leaf(own).serial_number)
    assert service.reject(ctx, OPERATOR, asked.id, "stolen").state is State.REJECTED


def retire_the_issuing_authority(authority: Authority) -> None:
    directory = authority.files.directory
    rollover.prepare(directory, lambda: root_keys.root_in(directory / "root", None))
    rollover.switch(directory, early=True)
    rollover.retire(directory, early=True)


def test_a_stolen_issuing_key_and_a_known_serial_number_get_no_certificate(
    tmp_path: Path, listener: Listener, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thief signs as the issuing authority: while it is trusted, and when it is retired."""
    ctx = ruled(listener.ctx, "expired days=90")
    expired = enrolled(tmp_path / "expired", listener, authority, OLD)
    own = enrolled(tmp_path / "own", listener, authority)
    thief = ensure_key(tmp_path / "thief.key")

    def forged(config: AgentConfig, key: ec.EllipticCurvePrivateKey, days: float) -> x509.Certificate:
        with monkeypatch.context() as known:
            known.setattr(x509, "random_serial_number", lambda: leaf(config).serial_number)
            chain = authority.issue_device(make_csr(key, POST), POST, days)
        return x509.load_pem_x509_certificate(chain.encode())

    def ask_in_tls(shown: x509.Certificate) -> None:
        reenrolling.renew_with_certificate(ctx, shown.public_bytes(Encoding.DER), make_csr(thief, POST))

    def ask_signed(shown: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        proof = proofs.sign(make_csr(thief, POST, "now"), shown, key)
        reenrolling.renew_expired(ctx, proof, lambda told: told == "now")

    another_key = forged(own, thief, 90)
    longer_life = forged(expired, ensure_key(expired.key_file), 3000)  # the key of a card that was found
    for retired in (False, True):
        if retired:
            retire_the_issuing_authority(authority)
        for shown, key in ((another_key, thief), (longer_life, ensure_key(expired.key_file))):
            with pytest.raises(CertificateRefused, match="retired" if retired else "not the one"):
                ask_in_tls(shown)
            with pytest.raises(CertificateRefused, match="not the one"):
                ask_signed(shown, key)
    assert service.list_enrolments(ctx, VIEWER) == []


def test_a_retired_authoritys_certificate_opens_nothing_and_its_key_asks_when_it_has_run_out(
    tmp_path: Path, listener: Listener, authority: Authority
) -> None:
    """`retire --early` shuts out who has not renewed; nobody has to carry a claim to it in the end."""
    config = enrolled(tmp_path, listener, authority)
    retire_the_issuing_authority(authority)
    with pytest.raises(EnrolmentRefused, match="authority that signed this certificate is retired"):
        reenrol(config)
    ctx, later = ruled(listener.ctx, "expired days=90"), utc_now() + timedelta(days=100)
    proof = signed(config, make_csr(ensure_key(tmp_path / "next.key"), POST, "now"))
    made = reenrolling.renew_expired(ctx, proof, lambda told: told == "now", later)
    assert isinstance(made, Issued)
    issuing = Authority.load_issuing(authority.files.directory).issuing
    assert directly_issued(x509.load_pem_x509_certificate(made.chain_pem.encode()), issuing)


def test_a_challenge_is_good_for_ten_minutes_here_alone() -> None:
    now = [1000.0]
    mine, other = challenges.Challenges(lambda: now[0]), challenges.Challenges(lambda: now[0])
    told = mine.new()
    assert mine.is_fresh(told)
    assert not other.is_fresh(told)
    for garbage in (
        "",
        "x",
        "-",
        told + "0",
        told.replace("-", "", 1),
        "f" * 12 + told[3:],
        "\x00",
        told.upper(),
    ):
        assert not mine.is_fresh(garbage), garbage
    now[0] += challenges.FRESH_S
    assert mine.is_fresh(told)
    now[0] += 1
    assert not mine.is_fresh(told)


CONTENT = b"what is signed"


def made_proof(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "city/post-1")])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(7).not_valid_before(datetime(2026, 1, 1)).not_valid_after(datetime(2027, 1, 1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    builder = pkcs7.PKCS7SignatureBuilder().set_data(CONTENT).add_signer(certificate, key, hashes.SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


PROOF = made_proof(ec.generate_private_key(ec.SECP256R1()))


def test_a_proof_is_read_by_what_it_is() -> None:
    assert proofs.read_proof(PROOF).content == CONTENT
    by_rsa = made_proof(rsa.generate_private_key(65537, 2048))
    assert proofs.read_proof(by_rsa).certificate.serial_number == 7


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_proof_that_was_touched_proves_nothing_else(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(PROOF) - 1))
    touched = PROOF[:at] + bytes([PROOF[at] ^ data.draw(st.integers(1, 255))]) + PROOF[at + 1 :]
    try:
        found = proofs.read_proof(touched)
    except RequestGarbled:
        return
    assert found.content == CONTENT  # what does not count for the signature may differ


@given(
    st.binary(max_size=300) | st.integers(0, len(PROOF)).map(lambda n: PROOF[:n]).filter(lambda p: p != PROOF)
)
@settings(max_examples=100, deadline=None)
def test_garbage_is_no_proof(garbage: bytes) -> None:
    with pytest.raises(RequestGarbled):
        proofs.read_proof(garbage)


def test_the_proofs_of_others_are_refused() -> None:
    with pytest.raises(RequestGarbled):
        proofs.read_proof(bytes(proofs.MAX_PROOF_BYTES + 1))
    with pytest.raises(RequestGarbled):
        proofs.read_proof(PROOF + b"\x30\x00")
