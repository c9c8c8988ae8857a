"""A wrong configuration names the file, the key, the value and what is allowed; every key is documented."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import edge_agent
from edge_agent.config import check, explain, load
from edge_agent.config_keys import SECTIONS, AgentConfig
from edge_agent.errors import ConfigError

SHIPPED = Path(edge_agent.__file__).with_name("agent.toml")
GOOD: dict[str, Any] = {
    "device": {"tenant": "city", "name": "post-1"},
    "server": {"host": "lamppost.example"},
    "sensor": [{"name": "front", "kind": "pms5003", "port": "/dev/ttyUSB0"}],
}


def with_key(section: str, key: str, value: Any) -> dict[str, Any]:
    if section == "sensor":
        return {**GOOD, "sensor": [{**GOOD["sensor"][0], key: value}]}
    return {**GOOD, section: {**GOOD.get(section, {}), key: value}}


def test_the_least_there_must_be_is_enough() -> None:
    config = check(GOOD, Path("agent.toml"))
    assert config.sensors[0].every_s == 60.0
    assert config.telemetry.flush_interval_s == 10.0
    assert config.key_file == Path("/var/lib/lamppost/identity/device.key")


WRONG = [
    ("server", "port", 0, "[server] port = 0: must be a whole number from 1 to 65535"),
    ("server", "port", "8883", "[server] port = '8883': must be a whole number from 1 to 65535"),
    ("server", "port", True, "[server] port = true: must be a whole number from 1 to 65535"),
    ("server", "host", "", "[server] host = '': must be not empty"),
    ("server", "host", "https://x:8883", "must be a host name or an address, without https:// and port"),
    ("sensor", "name", "x" * 65, "must be at most 64 characters, none of them a control character"),
    ("sensor", "serial", "a\0b", "must be at most 64 characters, none of them a control character"),
    ("server", "hots", "x", "[server] hots: there is no such key; did you mean host?"),
    ("device", "name", "Post 1", "[device] name = 'Post 1': must be 1 to 63 of a-z, 0-9 and '-'"),
    ("device", "data_dir", 7, "[device] data_dir = 7: must be text in quotes"),
    ("sensor", "kind", "pms", "[[sensor]] number 1 kind = 'pms': must be one of pms5003, pms7003"),
    ("sensor", "every_s", 0.5, "[[sensor]] number 1 every_s = 0.5: must be a number from 1 to 3600"),
    ("sensor", "every_s", 3601, "must be a number from 1 to 3600"),
    ("sensor", "duty_cycle", "yes", "[[sensor]] number 1 duty_cycle = 'yes': must be true or false"),
    ("sensor", "evry_s", 5, "[[sensor]] number 1 evry_s: there is no such key; did you mean every_s?"),
    ("telemetry", "flush_interval_s", 61, "flush_interval_s = 61: must be a number from 1 to 60"),
    ("spool", "max_bytes", 1.5, "[spool] max_bytes = 1.5: must be a whole number from 1048576"),
    ("spool", "history_ttl_days", 0, "[spool] history_ttl_days = 0: must be a number from 0.01 to 3650"),
    (
        "enrolment",
        "url",
        "http://x",
        "[enrolment] url = 'http://x': must be an address that begins with https://",
    ),
    ("enrolment", "claim", "nodot", "[enrolment] claim = 'nodot': must be <id>.<secret> as it was given"),
    ("telemtry", "x", 1, "[telemtry]: there is no such section; did you mean telemetry?"),
]


@pytest.mark.parametrize(("section", "key", "value", "told"), WRONG)
def test_a_wrong_key_is_named_with_what_is_allowed(section: str, key: str, value: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(with_key(section, key, value), Path("/etc/lamppost/agent.toml"))
    (line,) = caught.value.detail.splitlines()
    assert line.startswith("/etc/lamppost/agent.toml: ")
    assert told in line


def test_every_mistake_is_told_at_once() -> None:
    wrong = {"device": {"tenant": "C", "name": ""}, "sensor": {"name": "x"}, "server": "x"}
    with pytest.raises(ConfigError) as caught:
        check(wrong, Path("a.toml"))
    told = caught.value.detail
    assert len(told.splitlines()) == 4
    assert "double brackets" in told
    assert "[server]: is not a table" in told


def test_two_sensors_on_one_port_are_refused() -> None:
    one = GOOD["sensor"][0]
    with pytest.raises(ConfigError, match="port = '/dev/ttyUSB0': given to more than one sensor"):
        check({**GOOD, "sensor": [one, {**one, "name": "back"}]}, Path("a.toml"))


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "there is no such file"), (b"[device", "not valid TOML"), (b"\xff\xfe", "cannot be read")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "agent.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=told) as caught:
        load(path)
    assert str(path) in caught.value.detail


def test_the_shipped_file_documents_every_key_and_no_other() -> None:
    assert SHIPPED.read_text() == explain(), "write it anew: lamppost agent config --explain"
    # A key whose default is to be left out is shown as a comment: read those too.
    tables = tomllib.loads(re.sub(r"^# (\w+ = )", r"\1", SHIPPED.read_text(), flags=re.MULTILINE))
    assert set(tables) == set(SECTIONS)
    for section, (_, kind) in SECTIONS.items():
        table = tables[section][0] if section == "sensor" else tables[section]
        assert list(table) == [entry.name for entry in fields(kind)]
    for line in SHIPPED.read_text().splitlines():
        assert " = " not in line or len(line.split("  # ", 1)[1]) > 10, line


def test_the_shipped_file_is_itself_well(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(SHIPPED.read_text())
    config = load(path)
    assert config.device.name == "post-0042"
    assert config.spool.max_bytes == 512 << 20
    assert config.device.latitude is None
    assert config.cell == ""


def with_place(**keys: Any) -> AgentConfig:
    return check({**GOOD, "device": {**GOOD["device"], **keys}}, Path("a.toml"))


def test_a_place_gives_a_cell_as_coarse_as_configured() -> None:
    berlin = {"latitude": 52.516275, "longitude": 13.377704}
    assert with_place(**berlin).cell == "u33db2"
    assert with_place(**berlin, cell_precision=4).cell == "u33d"
    assert with_place(latitude=0, longitude=-180).cell == "800000"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"latitude": 52.5}, "give both or neither"),
        ({"longitude": 13.4}, "give both or neither"),
        ({"latitude": 91.0, "longitude": 0.0}, "a number from -90 to 90"),
        ({"latitude": float("nan"), "longitude": 0.0}, "a number from -90 to 90"),
        ({"latitude": "52.5", "longitude": 13.4}, "a number from -90 to 90"),
        ({"latitude": True, "longitude": 13.4}, "a number from -90 to 90"),
        ({"cell_precision": 7}, "a whole number from 1 to 6"),
    ],
)
def test_a_place_that_is_none_and_a_cell_that_is_too_fine_are_refused(
    keys: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        with_place(**keys)


def test_a_file_that_a_windows_editor_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SHIPPED.read_bytes().replace(b"\n", b"\r\n"))
    assert load(path).device.tenant == "city"
