"""A device whose clock says 1970: it enrols and connects by the server's time, and takes nobody else's word.

OpenSSL reads the system's clock, so it is the certificates that are far away here: they begin in five years.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edge_agent import doctor
from edge_agent.core import first_time as core
from edge_agent.core.stamping import CLOCK_LATEST_MS, CLOCK_SET_MS
from edge_agent.errors import BrokerUntrusted, ClockUnknown, EnrolmentUnreachable
from edge_agent.io.enrol_http import EstEnroller
from edge_agent.io.first_time import FirstTime
from edge_agent.io.paho_broker import BrokerAddress, PahoBroker
from edge_agent.ports import BrokerEvents, Session
from provisioning.authority import Authority, utc_now
from tests.edge_agent.making import ADDRESS, make_config
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until

AHEAD = timedelta(days=5 * 365)  # within the issuing authority's ten years
MADE_S = CLOCK_SET_MS / 1000
DAY_S = 86_400


@pytest.mark.parametrize(
    ("told_s", "floor_s", "from_s", "until_s", "taken"),
    [
        (MADE_S + 10, MADE_S, MADE_S, MADE_S + DAY_S, True),
        (MADE_S - 299, MADE_S, 0, MADE_S + DAY_S, True),
        (MADE_S - 301, MADE_S, 0, MADE_S + DAY_S, False),  # before this program was made
        (MADE_S + 10, MADE_S + DAY_S, MADE_S, MADE_S + DAY_S, False),  # before our own certificate
        (MADE_S + 10, MADE_S, MADE_S + 11, MADE_S + DAY_S, False),  # before its own
        (MADE_S + DAY_S + 1, MADE_S, MADE_S, MADE_S + DAY_S, False),  # after its own
        (CLOCK_LATEST_MS / 1000, MADE_S, MADE_S, 1e12, False),
        (0.0, MADE_S, 0, 1e12, False),
    ],
)
def test_whose_word_counts(told_s: float, floor_s: float, from_s: float, until_s: float, taken: bool) -> None:
    assert (core.doubt(told_s, floor_s, from_s, until_s) == "") is taken


def test_a_clock_is_behind_when_it_was_never_set_or_put_back() -> None:
    assert core.floor_s(None) == core.floor_s(0.0) == MADE_S
    assert core.floor_s(MADE_S + DAY_S) == MADE_S + DAY_S
    assert [core.is_behind(at, MADE_S) for at in (0.0, MADE_S - 301, MADE_S, MADE_S + 1)] == [
        True,
        True,
        False,
        False,
    ]


class TimeServer:
    """HTTPS with a certificate of `then`; tells `tells` in its Date."""

    def __init__(self, folder: Path, authority: Authority, then: datetime) -> None:
        self.tells, self.asked = then, 0
        certificate, key = folder / "then.pem", folder / "then.key"
        made = replace(authority, clock=lambda: then).issue_server("api", ["127.0.0.1"])
        made.save(certificate, key)
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked += 1
                self.send_response_only(200)
                self.send_header("Date", format_datetime(server.tells, usegmt=True))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.init(tmp_path / "authority", "Testing")


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Iterator[TimeServer]:
    made = TimeServer(tmp_path, authority, (utc_now() + AHEAD).replace(microsecond=0))
    yield made
    made.stop()


def in_1970(server: TimeServer, trust: Path, certificate: Path = Path("none")) -> FirstTime:
    return FirstTime(server.url, [trust], certificate, clock_s=lambda: 7.0)


def test_a_device_in_1970_takes_the_time_of_a_server_that_it_trusts(
    server: TimeServer, authority: Authority, tmp_path: Path
) -> None:
    trust = authority.files.trust
    with pytest.raises(EnrolmentUnreachable, match="not yet valid"):
        EstEnroller(server.url, str(trust)).challenge()
    first = in_1970(server, trust)
    assert first.behind()
    assert abs(first.now_s() - server.tells.timestamp()) < 30
    with pytest.raises(EnrolmentUnreachable, match="no challenge"):  # it is asked: this server has none
        EstEnroller(server.url, str(trust), first_time=first).challenge()
    asked = server.asked
    first.now_s()
    assert server.asked == asked, "asked once"
    stranger = Authority.init(tmp_path / "stranger", "Elsewhere")
    with pytest.raises(ClockUnknown, match="certificate verify failed"):
        in_1970(server, stranger.files.trust).now_s()
    with pytest.raises(ClockUnknown, match="no \\[enrolment\\] url"):
        FirstTime("", [trust], Path("none"), clock_s=lambda: 7.0).now_s()


def test_a_server_cannot_tell_a_time_beside_its_own_certificate(
    server: TimeServer, authority: Authority
) -> None:
    then = server.tells
    for told in (then - timedelta(days=1), then + timedelta(days=400), datetime(1999, 1, 1, tzinfo=UTC)):
        server.tells = told
        with pytest.raises(ClockUnknown, match="is not taken"):
            in_1970(server, authority.files.trust).now_s()


def test_other_connections_are_checked_by_the_time_that_was_told(
    server: TimeServer, authority: Authority, tmp_path: Path
) -> None:
    """The key of a certificate that ran out is no good to a thief who meets a device without a clock."""
    stale = TimeServer(tmp_path / "authority", authority, utc_now())
    try:
        first = in_1970(server, authority.files.trust)
        first.now_s()
        with pytest.raises(EnrolmentUnreachable, match="not valid at the time"):
            EstEnroller(stale.url, str(authority.files.trust), first_time=first).challenge()
    finally:
        stale.stop()


def test_a_device_in_1970_connects_to_its_broker(tmp_path: Path, broker: MosquittoBroker) -> None:
    then = (utc_now() + AHEAD).replace(microsecond=0)
    later = replace(broker.authority, clock=lambda: then)
    later.issue_server("broker", ["127.0.0.1"]).save(
        broker.settings.certificate_file, broker.settings.key_file
    )
    broker.reload()
    server = TimeServer(tmp_path, broker.authority, then)
    identity = broker.device_identity(ADDRESS)

    def connect(first: FirstTime | None) -> None:
        paho = PahoBroker(
            BrokerAddress(
                "127.0.0.1",
                broker.port,
                "x",
                identity.ca,
                identity.certificate,
                identity.key,
                30,
                first_time=first,
            )
        )
        nothing = BrokerEvents(lambda: None, lambda *_: None, lambda _: None, lambda _: None)
        paho.connect(Session("", b"", ""), nothing)
        paho.disconnect()

    def strictly_refused() -> bool:
        try:
            connect(None)
        except BrokerUntrusted as refused:
            return "not yet valid" in refused.detail
        return False

    try:
        wait_until(strictly_refused, 20, "the broker to have its new certificate")
        with pytest.raises(BrokerUntrusted, match="not yet valid"):
            connect(FirstTime(server.url, [identity.ca], identity.certificate, clock_s=time.time))
        connect(in_1970(server, identity.ca, identity.certificate))
    finally:
        server.stop()


def test_the_doctor_says_what_time_the_server_has(
    server: TimeServer, authority: Authority, tmp_path: Path
) -> None:
    config = make_config(tmp_path)
    told = doctor._clock(config, in_1970(server, authority.files.trust))
    assert not told.ok
    assert f"the server says {server.tells:%Y-%m-%d}" in told.detail
    alone = doctor._clock(config, FirstTime("", [], Path("none"), clock_s=lambda: 7.0))
    assert "no [enrolment] url" in alone.detail
    assert doctor._clock(config).ok
