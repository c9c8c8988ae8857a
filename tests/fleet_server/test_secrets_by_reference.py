"""Secrets by reference: environment, files, a Vault over real HTTP; faults are told without the value."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from fleet_server.cli import main as serve
from fleet_server.config import load_config, with_password
from fleet_server.errors import ConfigurationError
from fleet_server.secrets_by_reference import is_reference, read_secret

VALUE = "canary: 4$ p@ss/w:rd"
TOKEN = "hvs.canary-token"


class Vault(BaseHTTPRequestHandler):
    """Its key-value engine, version 2 (developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2)."""

    answers: ClassVar[dict[str, object]] = {
        "/v1/secret/data/lamppost/db": {"data": {"data": {"password": VALUE, "port": 5432}, "metadata": {}}},
        "/v1/secret/data/odd": {"data": None},
    }

    def do_GET(self) -> None:
        if self.headers["X-Vault-Token"] != TOKEN:
            return self._send(403, {"errors": ["permission denied"]})
        if self.path == "/v1/secret/data/html":
            return self._send(200, "<html>")
        if self.path == "/v1/secret/data/moved":
            return self._send(302, "")
        found = self.answers.get(self.path)
        return self._send(200 if found else 404, found or {"errors": []})

    def _send(self, status: int, body: object) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def vault() -> Iterator[dict[str, str]]:
    """The environment that finds it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vault)
    thread = threading.Thread(target=server.serve_forever, name="vault", args=(0.01,))
    thread.start()
    yield {"VAULT_ADDR": f"http://127.0.0.1:{server.server_port}", "VAULT_TOKEN": TOKEN}
    server.shutdown()
    thread.join()
    server.server_close()


def secret_file(tmp_path: Path, content: bytes = VALUE.encode() + b"\n", mode: int = 0o600) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_each_kind_is_read(tmp_path: Path, vault: dict[str, str]) -> None:
    assert read_secret("k", "env:SECRET", {"SECRET": VALUE}) == VALUE
    assert read_secret("k", f"file:{secret_file(tmp_path)}") == VALUE
    assert read_secret("k", f"file:{secret_file(tmp_path, mode=0o440)}") == VALUE
    assert read_secret("k", "vault:secret/lamppost/db#password", vault) == VALUE
    by_file = {"VAULT_ADDR": vault["VAULT_ADDR"], "VAULT_TOKEN_FILE": str(tmp_path / "token")}
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "token").chmod(0o600)
    assert read_secret("k", "vault:secret/lamppost/db#password", by_file) == VALUE


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("env:NOT_SET", "NOT_SET is not set"),
        ("env:", "no reference"),
        ("env:A B", "no reference"),
        ("file:relative", "no reference"),
        ("file:/nowhere/at/all", "cannot be read: No such file"),
        ("file:/", "cannot be read: Is a directory"),
        ("vault:secret", "no reference"),
        ("vault:secret/lamppost/db#none", "no value none"),
        ("vault:secret/lamppost/db#port", "is not text"),
        ("vault:secret/none#x", "nothing there"),
        ("vault:secret/odd#x", "no value x"),
        ("vault:secret/html#x", "no value x"),
        ("vault:secret/moved#x", "answers 302"),
        (VALUE, "no reference"),
        ("", "no reference"),
    ],
)
def test_what_is_wrong_is_told_without_the_value(reference: str, told: str, vault: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=told) as wrong:
        read_secret("database.password", reference, vault)
    assert str(wrong.value).startswith("database.password: ")
    assert "canary" not in str(wrong.value)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"VAULT_TOKEN": "hvs.canary-wrong"}, "refuses the token"),
        ({"VAULT_TOKEN": ""}, "neither VAULT_TOKEN nor VAULT_TOKEN_FILE"),
        ({"VAULT_ADDR": "http://127.0.0.1:1"}, "does not answer: ConnectError"),
        ({"VAULT_ADDR": "http://vault.example.org"}, "https address"),
        ({"VAULT_ADDR": ""}, "https address"),
    ],
)
def test_a_vault_that_does_not_tell(environment: dict[str, str], told: str, vault: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=told) as wrong:
        read_secret("k", "vault:secret/lamppost/db#password", vault | environment)
    assert "canary" not in str(wrong.value)


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (VALUE.encode(), 0o644, "everybody on this machine may read"),
        (b"", 0o600, "is empty"),
        (b"\xff\xfe", 0o600, "is not text"),
        (b"x" * 65_537, 0o600, "longer than"),
    ],
)
def test_a_file_that_is_no_secret(tmp_path: Path, content: bytes, mode: int, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as wrong:
        read_secret("k", f"file:{secret_file(tmp_path, content, mode)}")
    assert "canary" not in str(wrong.value)


def test_the_databases_password_comes_from_where_the_configuration_says(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(
        '[database]\nurl = "postgresql://lamp@db.example.org/lamppost"\n'
        f'password = "file:{secret_file(tmp_path)}"\n'
    )
    config = load_config(file)
    assert config.database.url == (
        "postgresql://lamp:canary%3A%204%24%20p%40ss%2Fw%3Ard@db.example.org/lamppost"
    )
    assert "canary" not in repr(config)
    with pytest.raises(ConfigurationError, match="names no account"):
        with_password("postgresql:///lamppost?host=/run", VALUE)
    assert with_password("postgresql://a:old@[::1]:5432/b", "new") == "postgresql://a:new@[::1]:5432/b"


def test_only_a_reference_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    for wrong in ('"canary"', "3", '"file:canary"', '"https://canary"', "true"):
        file.write_text(f"[database]\npassword = {wrong}\n")
        with pytest.raises(ConfigurationError, match="env:NAME"):
            load_config(file)
    assert is_reference("env:A")
    assert not is_reference("ENV:A")


def test_the_check_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "server.toml"
    file.write_text('[database]\nurl = "postgresql://lamp:canary@127.0.0.1:1/lamppost"\n')
    file.chmod(0o644)
    assert serve(["--check", "--json", "--config", str(file), "--data", str(tmp_path)]) == 1
    found = {row["check"]: row for row in json.loads(capsys.readouterr().out)}
    assert found["configuration file"]["verdict"] == "unsound"
    assert "chmod 600" in found["configuration file"]["remedy"]
    assert found["database on the way"]["verdict"] == "sound"
    assert "canary" not in json.dumps(found)
    file.chmod(0o600)
    serve(["--check", "--config", str(file), "--data", str(tmp_path)])
    assert "for its owner's eyes" in capsys.readouterr().out
