"""A bundle is what the agent takes, goes where it should, and to nothing else; labels are read back."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config import check
from provisioning.claims import new_token
from provisioning.errors import BadSetting
from provisioning.technician import agent_check, at_the_post, delivering, label
from provisioning.technician import bundle as bundles
from provisioning.technician.at_the_desk import NO_CLAIM
from provisioning.technician.bundle import Bundle, Sensor
from provisioning.technician.errors import LamppostUnreachable, WrongInput
from provisioning.technician.home import Settings
from provisioning.technician.lamppost import Lamppost
from wire_contract.topics import Address

TOKEN = new_token()
SETTINGS = Settings(
    tenant="porto",
    pages_url="https://lamps.porto.example",
    enrolment_url="https://fleet.porto.example:8443",
    broker_host="fleet.porto.example",
    trust_pem="-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
)
BUNDLE = Bundle(
    Address("porto", "lamp-07"),
    SETTINGS,
    str(TOKEN),
    'Market "Square" 3, \\ Praça',
    (Sensor("pm", "pms5003", "/dev/ttyAMA0"), Sensor("pm 2", "sds011", "/dev/ttyUSB0", "a1b2")),
    41.1496,
    -8.6109,
)


def test_the_agent_takes_the_configuration_as_it_is() -> None:
    config = check(tomllib.loads(bundles.agent_toml(BUNDLE)), Path("agent.toml"))
    assert (config.device.tenant, config.device.name) == ("porto", "lamp-07")
    assert config.device.site == BUNDLE.site
    assert (config.device.latitude, config.device.longitude) == (41.1496, -8.6109)
    assert config.device.wait_for_time_sync
    assert config.enrolment.claim == str(TOKEN)
    assert config.enrolment.url == SETTINGS.enrolment_url
    assert [(s.name, s.kind, s.port, s.serial) for s in config.sensors] == [
        ("pm", "pms5003", "/dev/ttyAMA0", ""),
        ("pm 2", "sds011", "/dev/ttyUSB0", "a1b2"),
    ]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["C"]), max_size=60))
def test_any_words_come_out_as_they_went_in(site: str) -> None:
    assert tomllib.loads(bundles.agent_toml(replace(BUNDLE, site=site)))["device"]["site"] == site


def test_a_site_in_many_words_is_taken_by_the_agent() -> None:
    told = tomllib.loads(bundles.agent_toml(replace(BUNDLE, site="second post on the left, " * 8)))
    assert check(told, Path("agent.toml")).device.site.startswith("second post on the left")


def test_the_secret_is_in_one_file_and_in_no_repr() -> None:
    files = bundles.files(BUNDLE)
    assert [name for name, content in files.items() if TOKEN.secret.encode() in content] == ["agent.toml"]
    assert TOKEN.secret not in repr(BUNDLE)
    assert subprocess.run(["sh", "-n"], input=files["install.sh"], check=False).returncode == 0


@pytest.mark.parametrize(
    "wrong",
    [
        replace(BUNDLE, claim="7k3m9qxd"),
        replace(BUNDLE, site="a\nb"),
        replace(BUNDLE, settings=replace(SETTINGS, trust_pem="")),
        replace(BUNDLE, settings=replace(SETTINGS, enrolment_url="")),
        replace(BUNDLE, settings=replace(SETTINGS, pages_url="javascript:alert(1)")),
    ],
)
def test_what_is_no_bundle(wrong: Bundle) -> None:
    with pytest.raises(BadSetting):
        bundles.files(wrong)


@pytest.mark.parametrize(
    "text", ["", "pm", "pm:pms5003", "pm:p-s:/dev/x", "pm:pms5003:ttyUSB0", "a:b:/dev/x y"]
)
def test_what_is_no_sensor(text: str) -> None:
    with pytest.raises(BadSetting, match="the port from the / on"):
        bundles.sensor_of(text)


def test_an_emulated_sensor_has_any_path() -> None:
    assert bundles.sensor_of("pm:pms5003:/tmp/pms") == Sensor("pm", "pms5003", "/tmp/pms")


PM = Sensor("pm", "pms5003", "/dev/ttyAMA0")


@pytest.mark.parametrize(
    ("sensors", "told"),
    [
        ((PM,), ()),
        ((replace(PM, kind="pms500"),), ("kind = 'pms500'", "did you mean pms5003?")),
        ((replace(PM, kind="PMS5003"),), ("did you mean pms5003?",)),
        ((PM, replace(PM, port="/dev/ttyUSB0")), ("name = 'pm': given to more than one sensor",)),
        (
            (replace(PM, kind="xyz"), replace(PM, name="pm" * 40)),
            ("number 1 kind = 'xyz': must be one of", "number 2 name = 'pmpm"),
        ),
    ],
)
def test_what_the_agent_would_not_take_is_told_at_the_desk(
    sensors: tuple[Sensor, ...], told: tuple[str, ...]
) -> None:
    given = bundles.files(replace(BUNDLE, claim=NO_CLAIM, sensors=sensors))["agent.toml"]
    if not told:
        agent_check.check(given)
        return
    with pytest.raises(BadSetting) as refused:
        agent_check.check(given)
    assert all(each in refused.value.what for each in told), refused.value.what
    assert "/tmp" not in refused.value.what, "no path of a file that is gone"


def test_a_units_serial_is_changed_and_nothing_else() -> None:
    text = bundles.agent_toml(BUNDLE) + "# a remark\n"
    for name, serial in (("pm", "2F81"), ("pm 2", "c3")):
        changed = bundles.with_serial(text, name, serial)
        before, after = tomllib.loads(text), tomllib.loads(changed)
        for sensor in before["sensor"]:
            if sensor["name"] == name:
                sensor["serial"] = serial
        assert after == before
        assert changed.endswith("# a remark\n")
    with pytest.raises(BadSetting, match="It has 'pm', 'pm 2'"):
        bundles.with_serial(text, "front", "1")
    with pytest.raises(BadSetting, match="It has none"):
        bundles.with_serial("", "front", "1")


def test_a_folder_is_private_and_another_bundle_is_kept(tmp_path: Path) -> None:
    folder = delivering.to_folder(bundles.files(BUNDLE) | {"packages/a.whl": b"x"}, tmp_path / "b")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "agent.toml").stat().st_mode & 0o777 == 0o600
    assert (folder / "packages" / "a.whl").read_bytes() == b"x"
    with pytest.raises(WrongInput):
        delivering.check_folder(folder)
    delivering.check_folder(folder, replace=True)


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ssh` that runs the command here, in a folder of its own; the folder."""
    there = tmp_path / "there"
    there.mkdir()
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
        'while [ "$1" != -- ]; do [ "$1" = -O ] && exit 0; shift; done\n'
        f'[ "$2" = gone ] && {{ echo "no route to host" >&2; exit 255; }}\ncd {there} && exec sh -c "$3"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return there


def test_over_ssh_it_is_as_private_and_no_secret_is_in_the_command_line(ssh: Path, tmp_path: Path) -> None:
    with Lamppost("pi@lamp.local") as post:
        delivering.over_ssh(bundles.files(BUNDLE), post)
    folder = ssh / "lamppost-bundle"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "agent.toml").stat().st_mode & 0o777 == 0o600
    assert {each.name for each in folder.iterdir()} == set(bundles.files(BUNDLE))
    assert TOKEN.secret not in (tmp_path / "asked").read_text()
    with Lamppost("gone") as post, pytest.raises(LamppostUnreachable, match="no route to host"):
        delivering.over_ssh(bundles.files(BUNDLE), post)
    with pytest.raises(WrongInput):
        Lamppost("-oProxyCommand=true")


def test_the_archive_has_no_other_names() -> None:
    with tarfile.open(fileobj=io.BytesIO(delivering.archive(bundles.files(BUNDLE)))) as tar:
        assert {entry.name for entry in tar if entry.isfile()} == set(bundles.files(BUNDLE))


def test_a_label_says_the_claim_and_never_its_secret() -> None:
    made = BUNDLE.label
    assert made.url == f"https://lamps.porto.example/c/{TOKEN.id}"
    drawn = label.svg(replace(made, site="<b>&"))
    ElementTree.fromstring(drawn)
    assert TOKEN.secret not in drawn
    assert TOKEN.id in drawn
    assert "<b>" not in drawn
    dark = sum(map(sum, segno.make(made.url, error="q", micro=False).matrix))
    again = label._code(made)
    assert sum(map(sum, again.matrix)) == dark
    assert again.error == "Q"
    assert made.url in label.terminal(made)
    assert label.html([made, made]).count("<li>") == 2


@pytest.mark.parametrize(
    "wrong",
    [
        label.Label("https://x.example", str(TOKEN), "a"),
        label.Label("https://x.example", "../../x", "a"),
        label.Label("", TOKEN.id, "a"),
        label.Label("ftp://x", TOKEN.id, "a"),
        label.Label('https://x"y', TOKEN.id, "a"),
    ],
)
def test_what_is_no_label(wrong: label.Label) -> None:
    with pytest.raises(BadSetting):
        label.svg(wrong)


def test_the_clock_and_the_configuration_are_reached_over_ssh_too(ssh: Path) -> None:
    config = ssh / "agent.toml"
    config.write_text(bundles.agent_toml(BUNDLE))
    config.chmod(0o640)
    with Lamppost("pi@lamp.local") as post:
        ahead, unsure = post.clock()
        at_the_post.change_serial(post, "agent.toml", "pm", "2F81")
        with pytest.raises(BadSetting):
            at_the_post.change_serial(post, "agent.toml", "none", "1")
        with pytest.raises(LamppostUnreachable, match=r"No such file or directory.*--config FILE"):
            at_the_post.change_serial(post, "nothing.toml", "pm", "1")
    assert abs(ahead) <= unsure + 0.5
    assert tomllib.loads(config.read_text())["sensor"][0]["serial"] == "2F81"
    assert config.stat().st_mode & 0o777 == 0o640, "whose file it was, it is"


def test_the_installer_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """With a `lamppost` that writes down what it is asked, and fails once."""
    folder = delivering.to_folder(bundles.files(BUNDLE), tmp_path / "b")
    programs, asked = tmp_path / "bin", tmp_path / "asked"
    programs.mkdir()
    (programs / "id").write_text("#!/bin/sh\necho 0\n")
    (programs / "lamppost").write_text(
        f'#!/bin/sh\necho "$2" >> {asked}\n[ "$2" != enrol ] || [ -f {tmp_path}/accepted ]\n'
    )
    for each in programs.iterdir():
        each.chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "LAMPPOST_ETC": str(tmp_path / "e t c")}
    kept = tmp_path / "as the card keeps it"
    kept.hardlink_to(folder / "agent.toml")
    (folder / ".agent.toml.0123456789ab").write_bytes(b"half of it")

    def install() -> int:
        return subprocess.run(
            ["sh", "install.sh"], cwd=folder, env=environment, capture_output=True, check=False
        ).returncode

    assert install() != 0, "nobody has accepted it"
    assert not list(folder.glob(".agent*")), "what a power cut left of it"
    assert not (folder / "agent.toml").exists(), "the claim does not wait on a card"
    assert (tmp_path / "e t c" / "agent.toml").stat().st_mode & 0o777 == 0o600
    assert kept.read_bytes() == bytes(kept.stat().st_size), "FAT keeps a removed file's bytes"
    (tmp_path / "accepted").touch()
    assert install() == 0
    assert install() == 0, "again, from what is installed"
    assert asked.read_text().split()[-4:] == ["config", "enrol", "install", "doctor"]


def test_a_lamppost_itself_has_no_server_extra_and_tests_itself_all_the_same(tmp_path: Path) -> None:
    """With what `lamppost[edge]` brings and no more: neither QR codes nor a client of HTTP."""
    code = (
        "import sys; sys.modules['httpx'] = sys.modules['segno'] = None\n"
        "from provisioning.technician import cli\n"
        f"sys.exit(cli.main(['test', '--home', {str(tmp_path / 'h')!r}, '--program', '/nowhere', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "/nowhere: there is no such program" in done.stdout) == (1, True), done.stderr


def test_packages_without_lamppost_itself_are_of_no_use(tmp_path: Path) -> None:
    (tmp_path / "numpy-2.4.6-cp311-cp311-manylinux_2_28_aarch64.whl").write_bytes(b"n")
    with pytest.raises(WrongInput, match="no wheel of lamppost"):
        delivering.packages(tmp_path)
    (tmp_path / "lamppost-0.1.0-py3-none-any.whl").write_bytes(b"l")
    assert [name.partition("-")[0] for name in delivering.packages(tmp_path)] == [
        "packages/lamppost",
        "packages/numpy",
    ]
