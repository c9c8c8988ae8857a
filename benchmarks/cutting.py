"""From a person's decision to the end of a stolen lamppost's connection, in a real `lamppost serve`.

Lampposts that do nothing but be connected, over mutual TLS. Five are quarantined one after another, then a
hundred in one command; one more looks on, and must keep the connection that it has.

    python -m benchmarks.cutting [--quick]
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import ssl
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import report
from benchmarks.report import Figure, at_most, shown
from fleet_server.access.rules import CONSOLE
from fleet_server.config import load_config
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import issuing, standing, store
from provisioning.authority import Authority
from tests.security.raw_mqtt import Closed, Raw
from tests.support.mosquitto import make_request
from tests.support.serve import Serve
from wire_contract.topics import Address

ALONE, TOGETHER, QUICK_TOGETHER = 5, 100, 10
BAR_S = 60.0  # within a minute
PATIENCE_S = 90.0


@dataclass
class Street:
    """Lampposts with certificates of the city's, and the server they connect to."""

    serve: Serve
    folder: Path
    ctx: Context
    authority: Authority

    def build(self, number: int) -> Address:
        address = Address("city", f"lamp-{number:03}")
        request, key = make_request(str(address))
        chain = self.authority.issue_device(request, address)
        devices.register(self.ctx, CONSOLE, address)
        with self.ctx.db.session() as session:
            store.insert_certificate(session, issuing.certificate(address, chain, datetime.now(UTC)))
        (self.folder / f"{number}.pem").write_text(chain)
        (self.folder / f"{number}.key").write_text(key)
        return address

    def connected(self, number: int) -> Raw:
        tls = ssl.create_default_context(cafile=str(self.ctx.config.broker.ca_file))
        tls.load_cert_chain(self.folder / f"{number}.pem", self.folder / f"{number}.key")
        plain = socket.create_connection(("127.0.0.1", self.serve.broker_port))
        raw = Raw(tls.wrap_socket(plain, server_hostname="127.0.0.1"))
        raw.socket.settimeout(PATIENCE_S)
        assert raw.opened() == 0
        return raw


def cut(street: Street, together: int) -> tuple[list[float], float, int]:
    """Seconds from each decision to the end of that connection; from one about many to the last end; and how
    many others lost theirs."""
    names = [street.build(number) for number in range(ALONE + together + 1)]
    looks_on = street.connected(ALONE + together)
    broker = street.serve.pid_of("broker")
    alone = []
    for number in range(ALONE):
        raw, began = street.connected(number), time.perf_counter()
        standing.change_state(street.ctx, CONSOLE, names[number], DeviceState.QUARANTINED)
        _ends(raw)
        alone.append(time.perf_counter() - began)
    many = [street.connected(number) for number in range(ALONE, ALONE + together)]
    began = time.perf_counter()
    standing.change_states(street.ctx, CONSOLE, names[ALONE : ALONE + together], DeviceState.QUARANTINED)
    for raw in many:
        _ends(raw)
    took = time.perf_counter() - began
    assert street.serve.pid_of("broker") == broker
    return alone, took, int(_lost(looks_on))


def _lost(raw: Raw) -> bool:
    try:
        raw.answers()
    except Closed:
        return True
    return False


def _ends(raw: Raw) -> None:
    with contextlib.suppress(Closed):
        while True:
            raw.read()


def figures(*, quick: bool = False) -> list[Figure]:
    together = QUICK_TOGETHER if quick else TOGETHER
    with tempfile.TemporaryDirectory(prefix="lamppost-cut-") as name:
        serve = Serve(Path(name))
        serve.start()
        try:
            serve.wait_ready()
            config = load_config(serve.file)
            ctx = Context.of(config)
            street = Street(serve, Path(name), ctx, Authority.load_issuing(config.authority.directory))
            alone, many, lost = cut(street, together)
            ctx.db.close()
        finally:
            serve.stop()
            serve.kill_all()
    return [
        at_most("a stolen lamppost out, from the decision, median", statistics.median(alone), "s", BAR_S),
        shown("  the slowest of five", max(alone), "s"),
        at_most(f"{together} in one decision, all out", many, "s", BAR_S),
        at_most("  others that lost their connection", lost, "lampposts", 0),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cutting")
    parser.add_argument("--quick", action="store_true")
    print("\n".join(report.lines(figures(quick=parser.parse_args(arguments).quick))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
