"""A wrong configuration names the file, the key, the value and what is allowed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_server.config import explained, load_config
from fleet_server.config_rules import RULES, Refused
from fleet_server.errors import ConfigurationError, WrongValue

GARBAGE = [
    ("api.listen", '[api]\nlisten = "everywhere"', "'everywhere'", "an address with a port"),
    ("api.listen", '[api]\nlisten = "127.0.0.1:99999"', "'127.0.0.1:99999'", "port from 1 to 65535"),
    ("api.listen", '[api]\nlisten = "::1:80"', "'::1:80'", "[::1]:8000"),
    ("api.listen", "[api]\nlisten = 8000", "8000", "an address with a port"),
    ("api.max_body_bytes", "[api]\nmax_body_bytes = 1", "1", "1024 to 104857600"),
    ("api.behind_tls", '[api]\nbehind_tls = "yes"', "'yes'", "true or false"),
    ("broker.port", "[broker]\nport = 0", "0", "1 to 65535"),
    ("broker.port", "[broker]\nport = true", "True", "whole number"),
    ("broker.port", '[broker]\nport = "8883"', "'8883'", "whole number"),
    ("broker.managed", "[broker]\nmanaged = 1", "1", "true or false"),
    ("broker.host", '[broker]\nhost = "a b"', "'a b'", "a host name or an address"),
    ("broker.key_file", "[broker]\nkey_file = 3", "3", "a path in quotes"),
    ("broker.ports", "[broker]\nports = 3", "3", "broker.port"),
    ("brokr.port", "[brokr]\nport = 3", "3", "only a key that exists"),
    ("api", "api = 3", "3", "api.listen"),
    ("database.url", '[database]\nurl = "mysql://a:secret@h/db"', "mysql://a:***@h/db", "embedded:"),
    ("database.url", '[database]\nurl = "postgresql://h:port/db"', "h:port", "postgresql://user"),
    ("database.url", '[database]\nurl = "postgresql://host"', "'postgresql://host'", "/database"),
    ("database.timescale", "[database]\ntimescale = true", "True", '"auto" or "off"'),
    ("database.timescale", '[database]\ntimescale = "on"', "'on'", '"auto" or "off"'),
    ("tenant.name", '[tenant]\nname = "Köln"', "'Köln'", "lower-case letters"),
    ("tenant.name", '[tenant]\nname = "a-"', "'a-'", "no hyphen at an end"),
    ("ingest.workers", "[ingest]\nworkers = 1.5", "1.5", "0 to 64"),
    ("ingest.group_age_ms", "[ingest]\ngroup_age_ms = 0", "0", "1 to 5000"),
    ("authority.server_names", '[authority]\nserver_names = ["a b"]', "['a b']", "a list of host names"),
    ("ui.map_tiles", '[ui]\nmap_tiles = "https://t.example/{z}/{x}.png"', "{x}.png'", "{z}, {x} and {y}"),
    ("ui.map_tiles", '[ui]\nmap_tiles = "ftp://t.example/{z}/{x}/{y}"', "'ftp://", "https://HOST/"),
    ("ui.map_tiles", '[ui]\nmap_tiles = "https://a; script-src *"', "script-src", "https://HOST/"),
    (
        "ui.map_tiles",
        '[ui]\nmap_tiles = "https://t.example/{z}/{x}/{y};img-src"',
        ";img-src",
        "https://HOST/",
    ),
    ("ui.map_tiles", "[ui]\nmap_tiles = 1", "1", "https://HOST/"),
    ("ui.map_attribution", '[ui]\nmap_attribution = "a\\nb"', "a\\nb", "200 printable characters"),
    ("authority.server_names", "[authority]\nserver_names = []", "[]", "a list of host names"),
]


@pytest.mark.parametrize(("key", "text", "value", "allowed"), GARBAGE)
def test_a_wrong_value_is_told_in_full(tmp_path: Path, key: str, text: str, value: str, allowed: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    with pytest.raises(WrongValue) as caught:
        load_config(file)
    told = str(caught.value)
    assert told.startswith(f"{file}: {key} = ")
    assert value in told
    assert allowed in told
    assert "a:secret" not in told


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"a = [", "is not TOML"), (b"\xff\xfe", "cannot be read"), (b"[api]\n[api]\n", "is not TOML")],
)
def test_a_file_that_is_no_toml_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "server.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=told):
        load_config(file)


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file"):
        load_config(tmp_path / "nowhere.toml")


def test_every_key_is_documented_with_its_default() -> None:
    lines = explained().splitlines()
    keys, section, after_text = [], "", False
    for line in lines:
        if line.startswith("["):
            section = line.strip("[]") + "."
        elif "=" in line and not line.startswith("#"):
            keys.append(section + line.partition(" =")[0])
            assert after_text, f"{keys[-1]} has no words before it"
            continue
        after_text = line.startswith("#") or (after_text and line != "")
    assert keys == list(RULES)


def test_the_documented_file_is_itself_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(explained())
    assert load_config(file, data_dir=tmp_path) == load_config(file, data_dir=tmp_path)
    plain = load_config(None, data_dir=tmp_path)
    assert load_config(file, data_dir=tmp_path).api == plain.api
    assert plain.database.url == f"embedded:{tmp_path}/postgres"


def test_paths_are_taken_from_the_folder_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(
        'data_dir = "state"\n[database]\nurl = "embedded:pg"\n[bench]\nclock_file = "/abs/clock.json"'
    )
    config = load_config(file)
    assert config.data_dir == tmp_path / "state"
    assert config.database.embedded_directory == tmp_path / "pg"
    assert config.authority.directory == tmp_path / "state" / "authority"
    assert config.bench.clock_file == Path("/abs/clock.json")


ANY_TOML_VALUE = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(RULES)), ANY_TOML_VALUE)
def test_a_rule_accepts_or_refuses_and_does_nothing_else(key: str, value: object) -> None:
    try:
        RULES[key](value)
    except Refused:
        return


def test_defaults_pass_their_rules() -> None:
    sections = tomllib.loads(explained())
    for section, keys in sections.items():
        for key, value in keys.items() if isinstance(keys, dict) else ():
            RULES[f"{section}.{key}"](value)
