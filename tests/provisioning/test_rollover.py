"""The authority gives way to the next one, and comes back from its backup; with a broker and a lamppost."""

from __future__ import annotations

import base64
import fcntl
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from edge_agent.config import load
from edge_agent.config_keys import AgentConfig
from edge_agent.io.identity_files import ensure_key, make_csr
from edge_agent.renewal import files_of, request
from firmware_bridge.kinds import SensorKind
from provisioning import backup, cli, revocation, rollover, rollover_rules, root_keys
from provisioning.authority import Authority, Signer
from provisioning.authority_files import Generation, directly_issued
from provisioning.errors import (
    AuthorityExists,
    AuthorityMismatch,
    BackupRefused,
    BadSetting,
    ProvisioningError,
    RolloverRefused,
)
from provisioning.rollover_rules import RETIRED_AFTER, SETTLED_AFTER, Phase, Step
from provisioning.storage import write_atomically
from tests.edge_agent.making import ADDRESS, codes, counting, running
from tests.provisioning.mqtt_client import may_connect
from tests.support.acking_server import AckingServer
from tests.support.mosquitto import IdentityFiles, MosquittoBroker, make_request
from tests.support.waiting import wait_until
from wire_contract.authorities import is_retired, issuing_name
from wire_contract.messages import CertificateIssued
from wire_contract.topics import Down

SECRET = "four words of passphrase"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def at(when: datetime) -> Callable[[], datetime]:
    return lambda: when


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    Authority.init(tmp_path / "authority", "Porto", SECRET, at(NOW))
    return tmp_path / "authority"


def root(directory: Path, secret: str | None = SECRET, name: str = "root") -> rollover.OldRoot:
    return lambda: root_keys.root_in(directory / name, secret)


def leaf_of(chain_pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(chain_pem.encode())


def trusted(authority: Authority) -> list[str]:
    found = x509.load_pem_x509_certificates(authority.trust_bundle().encode())
    return [each.subject.rfc4514_string().removeprefix("CN=Porto ") for each in found]


def test_every_step_is_listed_and_steps_come_in_one_order() -> None:
    assert set(rollover_rules.TABLE) == set(product(Phase, Step))
    assert all(rollover_rules.step(phase, Step.POWER_LOSS) is phase for phase in Phase)
    going = {
        (p, s): to for (p, s), to in rollover_rules.TABLE.items() if isinstance(to, Phase) and to is not p
    }
    assert going == {
        (Phase.STEADY, Step.PREPARE): Phase.PREPARED,
        (Phase.PREPARED, Step.SWITCH): Phase.SWITCHED,
        (Phase.PREPARED, Step.ABANDON): Phase.STEADY,
        (Phase.SWITCHED, Step.RETIRE): Phase.STEADY,
    }
    assert all(f"{p} --> {to}: {s}" in rollover_rules.diagram() for (p, s), to in going.items())


def test_the_issuing_authority_is_rolled_over_and_revocation_goes_on(directory: Path) -> None:
    before = Authority.load_issuing(directory, at(NOW))
    old = leaf_of(before.issue_device(make_request(str(ADDRESS))[0], ADDRESS))
    prepared = rollover.prepare(directory, root(directory), at(NOW))
    assert prepared.issuing == before.issuing, "the old one signs on"
    assert trusted(prepared) == ["root authority", "issuing authority", "issuing authority 2"]
    with pytest.raises(RolloverRefused, match="10 minutes"):
        rollover.switch(directory, clock=at(NOW))
    switched = rollover.switch(directory, clock=at(NOW + SETTLED_AFTER))
    new = leaf_of(switched.issue_device(make_request(str(ADDRESS))[0], ADDRESS))
    assert directly_issued(new, switched.issuing)
    assert not directly_issued(new, before.issuing)
    assert switched.signer(old) is Signer.TRUSTED
    assert switched.revoke_all([old.serial_number, new.serial_number]) == {
        old.serial_number,
        new.serial_number,
    }
    assert [len(each) for each in switched.revocation_lists()] == [2, 2], "whosever they are"
    later = NOW + SETTLED_AFTER + RETIRED_AFTER
    with pytest.raises(RolloverRefused, match="days"):
        rollover.retire(directory, clock=at(later - timedelta(days=2)))
    retired = rollover.retire(directory, clock=at(later))
    assert trusted(retired) == ["root authority", "issuing authority 2"]
    assert [len(each) for each in retired.revocation_lists()] == [2]
    assert not (directory / "issuing" / "issuing.key").exists()
    assert retired.signer(old) is Signer.RETIRED, "what it signed long ago is still known as ours"
    assert retired.signer(new) is Signer.TRUSTED
    assert retired.signer(retired.root) is Signer.UNKNOWN
    again = rollover.prepare(directory, root(directory), at(later))
    assert again.described.next == "issuing-3"


def test_a_root_is_rolled_over_with_both_ways_open_between(directory: Path) -> None:
    before = Authority.load_issuing(directory, at(NOW))
    rollover.prepare_root(directory, root(directory), SECRET + "2", at(NOW))
    switched = rollover.switch(directory, early=True, clock=at(NOW))
    assert switched.root != before.root
    leaf, cross, issuing = x509.load_pem_x509_certificates(
        switched.issue_device(make_request(str(ADDRESS))[0], ADDRESS).encode()
    )
    assert directly_issued(leaf, cross)
    assert directly_issued(leaf, issuing)
    assert directly_issued(cross, before.root), "for who knows the old root alone"
    assert directly_issued(issuing, switched.root)
    retired = rollover.retire(directory, early=True, clock=at(NOW))
    assert trusted(retired) == ["root authority 2", "issuing authority 2"]
    assert len(x509.load_pem_x509_certificates(retired.issue_client("x").chain_pem.encode())) == 2
    with pytest.raises(BadSetting, match="not the one"):
        rollover.prepare(directory, root(directory), at(NOW))
    rollover.prepare(directory, root(directory, SECRET + "2", "root-2"), at(NOW))


def test_what_was_prepared_can_be_abandoned_and_a_cut_step_is_taken_again(directory: Path) -> None:
    rollover.prepare_root(directory, root(directory), SECRET, at(NOW))
    abandoned = rollover.abandon(directory, at(NOW))
    assert trusted(abandoned) == ["root authority", "issuing authority"]
    assert sorted(each.name for each in directory.iterdir() if each.is_dir()) == ["issuing", "root"]
    before = (directory / "authority.json").read_bytes()
    rollover.prepare_root(directory, root(directory), SECRET, at(NOW))
    (directory / "authority.json").write_bytes(before)  # as if the power had gone before it was written down
    assert Authority.load_issuing(directory).described.phase is Phase.STEADY
    prepared = rollover.prepare(directory, root(directory), at(NOW))
    assert trusted(prepared) == ["root authority", "issuing authority", "issuing authority 4"]
    assert len(prepared.revocation_lists()) == 2, "none of the step that was cut short"
    assert not (directory / "issuing-3" / "issuing.key").exists()
    assert rollover.switch(directory, early=True, clock=at(NOW)).described.phase is Phase.SWITCHED
    for refused in (lambda: rollover.abandon(directory), lambda: rollover.switch(directory, early=True)):
        with pytest.raises(RolloverRefused):
            refused()
    (directory / "issuing-4" / "issuing.key").unlink()
    with pytest.raises(ProvisioningError):
        Authority.load_issuing(directory)


def named(crl: x509.CertificateRevocationList) -> dict[int, tuple[datetime, x509.ReasonFlags]]:
    """Serial -> since when, and why."""
    return {each.serial_number: (each.revocation_date_utc, revocation.reason_of(each)) for each in crl}


def rolled(directory: Path, with_root: bool, begun_empty: bool = False) -> Authority:
    """begun_empty: the next authority's list was, as by an older program."""
    if with_root:
        rollover.prepare_root(directory, root(directory), SECRET, at(NOW))
    else:
        rollover.prepare(directory, root(directory), at(NOW))
    prepared = Authority.load_issuing(directory, at(NOW))
    one, other = map(named, prepared.revocation_lists())
    assert one == other, "nothing is missing while there are two"
    if begun_empty:
        current, following = prepared.signing()
        empty = revocation.first_list(following.certificate, following.key, NOW)
        lists = [each for each in prepared.revocation_lists() if each.issuer == current.certificate.subject]
        prepared.files.crl.write_bytes(revocation.pem([*lists, empty]))
    rollover.switch(directory, early=True, clock=at(NOW))
    return rollover.retire(directory, early=True, clock=at(NOW))


@pytest.mark.parametrize(("with_root", "begun_empty"), [(False, False), (True, False), (False, True)])
def test_what_was_on_hold_or_revoked_before_stays_so(
    directory: Path, with_root: bool, begun_empty: bool
) -> None:
    day = timedelta(days=1)
    authority, compromise = Authority.load_issuing(directory, at(NOW + day)), x509.ReasonFlags.key_compromise
    authority.revoke_all([1, 2, 3], hold=True)
    authority.revoke_all([3, 4], reason=compromise)
    before = named(authority.revocation_list())
    hold = x509.ReasonFlags.certificate_hold
    assert [why for _, why in (before[serial] for serial in (1, 2, 3, 4))] == [
        hold,
        hold,
        compromise,
        compromise,
    ]
    after = rolled(directory, with_root, begun_empty)
    assert [named(each) for each in after.revocation_lists()] == [before]
    assert after.release_all([1, 3, 4]) == {1}
    assert [after.is_revoked(serial) for serial in (1, 2, 3, 4)] == [False, True, True, True]


def test_of_two_lists_for_good_goes_before_on_hold_and_nothing_is_lost(directory: Path) -> None:
    rollover.prepare(directory, root(directory), at(NOW))
    one, two = Authority.load_issuing(directory, at(NOW)).signing()

    def listing(by: Generation, held: list[int], gone: list[int]) -> x509.CertificateRevocationList:
        empty = revocation.first_list(by.certificate, by.key, NOW)
        with_held = revocation.with_revoked(empty, held, by.certificate, by.key, NOW, hold=True)
        return revocation.with_revoked(with_held, gone, by.certificate, by.key, NOW)

    def handed(
        current: x509.CertificateRevocationList, other: x509.CertificateRevocationList
    ) -> x509.CertificateRevocationList:
        return revocation.with_entries(current, revocation.entries_of([other]), two.certificate, two.key, NOW)

    former, following = listing(one, [1, 2, 5], [3]), listing(two, [3, 5], [2, 4])
    after = handed(following, former)
    told = {each.serial_number: revocation.on_hold(each) for each in after}
    assert told == {1: True, 2: False, 3: False, 4: False, 5: True}
    assert after.is_signature_valid(two.certificate.public_key())  # type: ignore[arg-type]
    assert revocation.list_number(after) == revocation.list_number(following) + 1
    assert handed(after, former) is after, "nothing is news"
    both = {
        each.serial_number: revocation.on_hold(each) for each in revocation.entries_of([former, following])
    }
    assert both == told


@pytest.mark.usefixtures("quick")
def test_a_number_is_never_given_twice(directory: Path, tmp_path: Path) -> None:
    """The key of what was abandoned may have been copied: it is refused once the next one has taken over."""
    rollover.prepare(directory, root(directory), at(NOW))
    given_up = issuing_name("Porto", 2)
    rollover.abandon(directory, at(NOW))
    assert not is_retired(given_up, [issuing_name("Porto", 1)]), "it could be the next one"
    backup.back_up(directory, SECRET, tmp_path / "backup")
    backup.restore(tmp_path / "backup", SECRET, tmp_path / "back")
    for here in (directory, tmp_path / "back"):
        rollover.prepare(here, root(here), at(NOW))
        rollover.switch(here, early=True, clock=at(NOW))
        after = rollover.retire(here, early=True, clock=at(NOW))
        assert trusted(after) == ["root authority", "issuing authority 3"]
        assert is_retired(given_up, [f"Porto {each}" for each in trusted(after)])
    assert rollover.prepare_root(directory, root(directory), SECRET, at(NOW)).described.next_root == "root-2"
    rollover.abandon(directory, at(NOW))
    again = rollover.prepare_root(directory, root(directory), SECRET, at(NOW))
    assert trusted(again)[-2:] == ["root authority 3", "issuing authority 5"]


def test_a_number_is_used_up_before_a_key_is_made_by_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as power:
        power.setattr(rollover, "_make_issuing", cut)
        with pytest.raises(KeyboardInterrupt):
            rollover.prepare(directory, root(directory), at(NOW))
    assert rollover.prepare(directory, root(directory), at(NOW)).described.next == "issuing-3"


def test_a_description_of_before_numbers_were_counted_goes_by_what_is_there(directory: Path) -> None:
    rolled(directory, True)
    described = directory / "authority.json"
    told = json.loads(described.read_text())
    assert (told.pop("numbered"), told.pop("numbered_root")) == (2, 2)
    described.write_text(json.dumps(told))
    (directory / "root-2").rename(directory / "stick")
    (directory / "issuing-7").mkdir()
    (directory / "issuing-8.old").mkdir()
    prepared = rollover.prepare_root(directory, root(directory, name="stick"), SECRET, at(NOW))
    assert (prepared.described.next, prepared.described.next_root) == ("issuing-8", "root-3")
    told = json.loads(described.read_text())
    described.write_text(json.dumps(told | {"numbered": 9999}))
    rollover.abandon(directory, at(NOW))
    with pytest.raises(RolloverRefused, match="no number is left"):
        rollover.prepare(directory, root(directory, name="stick"), at(NOW))


def test_a_key_that_a_power_cut_left_is_destroyed_and_nothing_that_is_revoked_meanwhile_is_lost(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former, written = directory / "issuing" / "issuing.key", []

    def write(path: Path, *rest: Any) -> None:
        if path.name == "revoked.crl":
            with (path.parent / ".lock").open("w") as file, pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a server that revokes now waits
            written.append(path)
        write_atomically(path, *rest)

    monkeypatch.setattr(rollover, "write_atomically", write)
    rollover.prepare(directory, root(directory), at(NOW))
    rollover.switch(directory, clock=at(NOW + SETTLED_AFTER))
    with monkeypatch.context() as cut:
        cut.setattr(Path, "unlink", lambda *_a, **_k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            rollover.retire(directory, early=True)
    assert former.exists()
    with pytest.raises(RolloverRefused):
        rollover.retire(directory, early=True)
    assert not former.exists()
    assert Authority.load_issuing(directory).described.phase is Phase.STEADY
    assert len(written) >= 3


def test_a_lists_file_without_the_signers_list_is_a_mismatch(directory: Path) -> None:
    first = (directory / "issuing" / "revoked.crl").read_bytes()
    rollover.prepare(directory, root(directory), at(NOW))
    (directory / "issuing" / "revoked.crl").write_bytes(first)
    with pytest.raises(AuthorityMismatch, match="no list"):
        Authority.load_issuing(directory)


@pytest.mark.parametrize("secret", [None, "", "wrong"])
def test_a_root_needs_its_passphrase(directory: Path, secret: str | None) -> None:
    with pytest.raises(BadSetting, match="passphrase"):
        root(directory, secret)()
    with pytest.raises(BadSetting, match="--root"):
        root_keys.root_in(directory / "elsewhere", SECRET)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase's key in milliseconds."""
    monkeypatch.setattr(backup, "COST", 1 << 10)


@pytest.mark.usefixtures("quick")
def test_a_backup_comes_back_and_is_proven(directory: Path, tmp_path: Path) -> None:
    authority = Authority.load_issuing(directory)
    authority.revoke(77)
    rollover.prepare(directory, root(directory), at(NOW))
    file = tmp_path / "authority.backup"
    told = backup.back_up(directory, SECRET, file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" not in file.read_bytes()
    assert told["root_key"] == "within"
    authority.revoke(78)
    with pytest.raises(AuthorityExists):
        backup.restore(file, SECRET, directory)
    back = tmp_path / "back"
    assert backup.restore(file, SECRET, back)["issuing"] == told["issuing"]
    restored = Authority.load_issuing(back)
    assert restored.is_revoked(77)
    assert not restored.is_revoked(78)
    assert restored.described.phase is Phase.PREPARED
    assert rollover.switch(back, early=True, clock=at(NOW)).described.phase is Phase.SWITCHED
    shutil.rmtree(directory / "root")
    assert backup.back_up(directory, SECRET, file)["root_key"].startswith("not within")
    with pytest.raises(BadSetting):
        backup.back_up(directory, "short", file)


@pytest.mark.usefixtures("quick")
def test_a_backup_that_is_none_is_refused(directory: Path, tmp_path: Path) -> None:
    file, back = tmp_path / "authority.backup", tmp_path / "back"
    backup.back_up(directory, SECRET, file)
    whole = file.read_bytes()
    head, _, sealed = whole.partition(b"\n")
    renamed = json.dumps(json.loads(head) | {"city": "Lisbon"}).encode()
    for content in (
        b"", b"\n", b"garbage", b"[" * 100_000, b"{}\n", head, head + b"\n", whole[:-1],
        renamed + b"\n" + sealed,
        whole[: len(head) + 9] + bytes([whole[len(head) + 9] ^ 1]) + whole[len(head) + 10 :],
    ):  # fmt: skip
        file.write_bytes(content)
        with pytest.raises(BackupRefused):
            backup.restore(file, SECRET, back)
    file.write_bytes(whole)
    with pytest.raises(BackupRefused, match="passphrase"):
        backup.restore(file, SECRET + "x", back)
    assert not back.exists()


@pytest.mark.usefixtures("quick")
def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory, secret = tmp_path / "a", tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET + "\n")

    def run(*words: str) -> tuple[int, Any]:
        status = cli.main([*words, "--directory", str(directory), "--json"])
        return status, json.loads(capsys.readouterr().out)

    by = ("--passphrase-file", str(secret))
    assert run("init", "--city", "Porto", "--without-passphrase")[0] == 0
    assert run("lock-root", *by)[0] == 0
    assert "passphrase" in run("roll-issuing", "prepare")[1]["error"]
    assert run("roll-issuing", "prepare", *by)[1]["next_authority"] == "issuing-2"
    assert "due in" in run("roll-issuing", "switch")[1]["error"]
    assert run("roll-issuing", "switch", "--early")[1]["signs"] == "CN=Porto issuing authority 2"
    assert run("show")[1]["rollover"] == "switched"
    assert "roll-root" in run("roll-issuing", "retire", "--early")[1]["still_believed"]
    assert run("roll-root", "prepare", *by, "--new-passphrase-file", str(secret))[0] == 0
    assert "ENCRYPTED" in (directory / "root-2" / "root.key").read_text()
    given_up = run("roll-root", "abandon")[1]
    assert given_up["phase"] == "steady"
    assert "prepare again and switch" in given_up["still_believed"]
    assert "roll-root" in given_up["still_believed"]
    run("roll-root", "prepare", *by, "--new-passphrase-file", str(secret))
    assert "server-cert" in run("roll-root", "switch", "--early")[1]["then"]
    assert "still_believed" not in run("roll-root", "retire", "--early")[1], "its root has gone, too"
    out = str(tmp_path / "backup")
    assert run("backup", "--out", out, *by)[0] == 0
    assert "not empty" in run("restore", "--from", out, *by)[1]["error"]
    directory = tmp_path / "b"
    assert run("restore", "--from", out, *by)[1]["city"] == "Porto"
    assert run("restore", "--from", str(tmp_path / "none"), *by)[0] == 1


def enrolled(path: Path, broker: MosquittoBroker) -> AgentConfig:
    """A lamppost's configuration, and its identity by the authority that signs now."""
    data = path.with_suffix(".data")
    path.write_text(
        f'[device]\ntenant = "city"\nname = "post-1"\ndata_dir = "{data}"\n'
        f'[server]\nhost = "127.0.0.1"\nport = {broker.port}\n'
        '[[sensor]]\nname = "s0"\nkind = "sds011"\nport = "/dev/test0"\nevery_s = 20.0\n'
        "[telemetry]\nflush_interval_s = 1.0\n[bench]\nbackoff_max_s = 0.2\n"
    )
    config = load(path)
    files = files_of(config)
    csr = make_csr(ensure_key(files.key), ADDRESS)
    files.certificate.write_text(broker.authority.issue_device(csr, ADDRESS))
    files.ca.write_text(broker.authority.trust_bundle())
    return config


@pytest.mark.system
def test_a_living_lamppost_passes_from_root_to_root_and_loses_nothing(
    tmp_path: Path, broker: MosquittoBroker
) -> None:
    """It renews once, as each does within 60 days; the broker is restarted at each step."""
    directory, read = broker.authority.files.directory, set[int]()
    config, away = enrolled(tmp_path / "a.toml", broker), enrolled(tmp_path / "b.toml", broker)

    def take(authority: Authority) -> None:
        broker.authority = authority
        authority.issue_server("broker", ["127.0.0.1", "localhost"]).save(
            broker.settings.certificate_file, broker.settings.key_file
        )
        broker.restart()

    def stored(server: AckingServer) -> None:
        """Some readings more have come, and are kept by the server."""
        before = len(server.samples())
        wait_until(lambda: len(server.samples()) >= before + 2, 30, "readings at the server")

    def kept(server: AckingServer) -> None:
        server.stop()
        read.update(values[0] for _, _, _, values, _ in server.samples())

    with running(config, counting(SensorKind.SDS011)) as agent:
        server = AckingServer.on(broker).start()
        stored(server)
        take(rollover.prepare_root(directory, root(directory, None), None))
        stored(server)
        take(rollover.switch(directory, early=True))
        kept(server)
        server = AckingServer.on(broker).start()
        stored(server)  # it knows the old root alone
        former = x509.load_pem_x509_certificates(config.ca_file.read_bytes())
        csr = base64.b64decode(request(config)["csr"])
        chain = broker.authority.issue_device(csr, ADDRESS)
        server.send(Down.CERTIFICATE, CertificateIssued(chain + broker.authority.trust_bundle(), ""))
        wait_until(
            lambda: x509.load_pem_x509_certificates(config.ca_file.read_bytes()) != former, 30, "trust"
        )
        wait_until(lambda: not files_of(config).next_key.exists(), 30, "the new key in its place")
        take(rollover.retire(directory, early=True))
        kept(server)
        server = AckingServer.on(broker).start()
        stored(server)
        assert "broker_untrusted" not in codes(agent)
    kept(server)
    assert read == set(range(1, max(read) + 1)), "every reading, through three restarts and two authorities"
    assert not may_connect(broker, IdentityFiles(away.ca_file, away.certificate_file, away.key_file))


@pytest.mark.system
def test_a_retired_issuing_authoritys_certificate_opens_the_broker_no_more(broker: MosquittoBroker) -> None:
    """Its root is still trusted; but there is no revocation list of it."""
    former = broker.device_identity(ADDRESS)
    directory = broker.authority.files.directory
    rollover.prepare(directory, root(directory, None))
    broker.authority = rollover.switch(directory, early=True)
    broker.restart()
    following = broker.device_identity(ADDRESS)
    assert (may_connect(broker, former), may_connect(broker, following)) == (True, True)
    broker.authority = rollover.retire(directory, early=True)
    broker.restart()
    assert (may_connect(broker, former), may_connect(broker, following)) == (False, True)


@pytest.mark.parametrize("lost", [(), ("authority.json",), ("authority.json", "trust.pem")])
def test_an_authority_whose_first_key_was_destroyed_is_not_overwritten(
    tmp_path: Path, lost: tuple[str, ...]
) -> None:
    """Its root is kept apart, and its first issuing authority retired: neither file says that it is there."""
    directory = tmp_path / "authority"
    before = Authority.init(directory, "Porto")
    rollover.prepare(directory, lambda: root_keys.root_in(directory / "root", None))
    rollover.switch(directory, early=True)
    rollover.retire(directory, early=True)
    (directory / "root").rename(tmp_path / "stick")
    for name in lost:
        (directory / name).rename(tmp_path / name)
    with pytest.raises(AuthorityExists):
        Authority.init(directory, "Porto")
    for name in lost:
        (tmp_path / name).rename(directory / name)
    assert Authority.load_issuing(directory).root == before.root
