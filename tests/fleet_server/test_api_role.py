"""The role `api` as a process: two listeners, enrolment alone on the one with TLS, renewed certificates."""

from __future__ import annotations

import socket
import ssl
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from fleet_server import api_role
from fleet_server.config import load_config
from fleet_server.setup_role import certify
from provisioning.authority import Authority
from tests.support.serve import Serve
from tests.support.waiting import wait_until


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[Serve]:
    serve = Serve(tmp_path, database=database_url)
    certify(load_config(serve.file))
    serve.start("--role", "api")
    try:
        wait_until(lambda: serial(serve), 60, "the device listener")
        yield serve
        assert serve.stop() == 0
    finally:
        serve.kill_all()


def trust(serve: Serve) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(serve.data / "certificates" / "ca.pem"))


def serial(serve: Serve) -> int:
    """Serial number of the certificate that the device listener shows; 0 while nobody listens."""
    try:
        with (
            socket.create_connection(("127.0.0.1", serve.device_port), timeout=30) as plain,
            trust(serve).wrap_socket(plain, server_hostname="127.0.0.1") as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
    except OSError:
        return 0
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def status(url: str, context: ssl.SSLContext | None = None) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def test_devices_find_enrolment_and_nothing_else(api: Serve) -> None:
    base = f"https://127.0.0.1:{api.device_port}"
    assert status(f"{base}/.well-known/est/cacerts", trust(api)) == 200
    for path in (
        "/healthz",
        "/readyz",
        "/api/v1/session",
        "/api/v1/devices",
        "/api/v1/openapi.json",
        "/docs",
    ):
        assert status(base + path, trust(api)) == 404, path


def test_people_do_not_find_enrolment(api: Serve) -> None:
    assert status(f"{api.api}/healthz") == 200
    assert status(f"{api.api}/.well-known/est/cacerts") == 404


def test_old_tls_is_refused(api: Serve) -> None:
    old = trust(api)
    warnings.simplefilter("ignore", DeprecationWarning)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", api.device_port), timeout=30) as plain,
        pytest.raises(OSError),  # noqa: PT011 - a reset or an alert, by version of OpenSSL
    ):
        old.wrap_socket(plain, server_hostname="127.0.0.1")


def test_a_renewed_certificate_is_served_without_a_restart_and_a_broken_one_is_not(api: Serve) -> None:
    first = serial(api)
    folder = api.data / "certificates"
    key_before = (folder / "server.key").read_bytes()
    (folder / "server.pem").write_text("cut sh")
    wait_until(lambda: "The old one stays in use" in api.said(), 60, "the broken certificate to be told")
    assert key_before == (folder / "server.key").read_bytes()
    authority = Authority.load_issuing(api.data / "authority")
    (folder / "server.pem").unlink()
    authority.issue_server("lamppost-api", ["127.0.0.1"]).save(folder / "server.pem", folder / "server.key")
    wait_until(lambda: serial(api) not in (first, 0), 60, "the new certificate")


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x00\x05hello", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 2000])
def test_garbage_on_the_device_listener_stops_nobody(api: Serve, garbage: bytes) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", api.device_port), timeout=30) as connection:
            connection.sendall(garbage)
    assert serial(api)
    assert status(f"{api.api}/healthz") == 200


@pytest.mark.parametrize(("behind_proxy", "seen"), [(True, "203.0.113.9"), (False, "127.0.0.1")])
def test_failed_sign_ins_count_for_the_person_s_address_not_the_proxy_s(
    behind_proxy: bool, seen: str
) -> None:
    """Else a stranger's failures behind the proxy would keep the administrator out."""
    app = FastAPI()

    def who(request: Request) -> str:
        assert request.client is not None
        return request.client.host

    app.add_api_route("/who", who)
    served = api_role._server(app, behind_proxy=behind_proxy).config.loaded_app
    browser = TestClient(served, client=("127.0.0.1", 40000))
    assert browser.get("/who", headers={"X-Forwarded-For": "203.0.113.9"}).json() == seen
